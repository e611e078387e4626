"""Writes tests/fixtures/training/classification/: what transformers' Trainer makes of labelled texts in 20 steps, in float32.

    python tests/oracles/classification_training.py

single.jsonl, multi.jsonl, regression.jsonl   80 rows {text, label} or {text, labels}, four a step, in this order: of one class
                   (by name), of three labels that hold or not (by name), of a number.
score.safetensors  the heads that training starts from, of model/tiny_gqa, by run.
lora/              the PEFT folder (task type SEQ_CLS) that the run of that name starts from.
runs.json          single, lora, multi and regression: `settings`, `id2label`, the config's `problem_type` behind the run, and of
                   each step `losses` and `grad_norms` (before clipping); `eval_loss` and `accuracy` (regression: `mae`) of
                   all rows behind the last step.

The tokenizer is reward/'s: a token a character. single and lora take two micro batches a step. transformers 5.23 adds up the
losses of micro batches, because it takes these classes' forward for one that was told the number of rows in a step, which does
not reach the loss: model_accepts_loss_kwargs says that it was not, and the losses are divided.
The runs are repeated in float64: losses must agree to 1e-5.
Ran with transformers 5.23.0, peft 0.21.0, torch 2.11.0, accelerate 1.15.0.
"""
import json
import os
import tempfile

import torch
from datasets import Dataset
from safetensors.torch import save_file
from transformers import (AutoModelForSequenceClassification, DataCollatorWithPadding, PreTrainedTokenizerFast, Trainer,
                          TrainingArguments)
from transformers.utils import logging

from training import with_sequence_adapter
from training_models import StepLosses

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = os.path.join(HERE, "..", "fixtures", "model", "tiny_gqa")
TOKENIZER = os.path.join(HERE, "..", "fixtures", "training", "reward", "tokenizer")
OUT = os.path.join(HERE, "..", "fixtures", "training", "classification")
STEPS, ROWS = 20, 4
NAMES = {"single": ["letters", "mixed", "numbers"], "multi": ["comma", "digit", "upper"], "regression": None}
RUNS = {
    "single": dict(learning_rate=1e-3, per_device_train_batch_size=2, gradient_accumulation_steps=2),
    "lora": dict(learning_rate=5e-3, per_device_train_batch_size=2, gradient_accumulation_steps=2),
    "multi": dict(learning_rate=1e-3, per_device_train_batch_size=4, gradient_accumulation_steps=1,
                  lr_scheduler_type="cosine", warmup_steps=3),
    "regression": dict(learning_rate=1e-3, per_device_train_batch_size=4, gradient_accumulation_steps=1),
}


def data_of(name):
    return "single" if name == "lora" else name


def make_rows():
    """Texts of letters, digits and commas, and what can be seen of them."""
    generator = torch.Generator().manual_seed(7)

    def draw(low, high):
        return int(torch.randint(low, high, (1,), generator=generator))
    rows = {name: [] for name in NAMES}
    for _ in range(STEPS * ROWS):
        kind, length = draw(0, 3), draw(3, 14)
        alphabet = ("abcdefghij", "abcde01234", "0123456789")[kind]
        text = "".join(alphabet[draw(0, 10)] for _ in range(length))
        rows["single"].append({"text": text, "label": NAMES["single"][kind]})
        marks = [draw(0, 2), int(any(c.isdigit() for c in text)), draw(0, 2)]
        shown = (text.upper() if marks[2] else text) + ("," * marks[0])
        marks[2] = int(any(c.isupper() for c in shown))
        rows["multi"].append({"text": shown, "labels": [n for n, mark in zip(NAMES["multi"], marks) if mark]})
        share = sum(c.isdigit() for c in text) / len(text)
        rows["regression"].append({"text": text, "label": round(2 * share - 0.5, 3)})
    return rows


def features(tokenizer, name, rows):
    out = []
    for row in rows:
        ids = tokenizer(row["text"])["input_ids"]
        if name == "single":
            label = NAMES[name].index(row["label"])
        elif name == "multi":
            label = [float(n in row["labels"]) for n in NAMES[name]]
        else:
            label = float(row["label"])
        out.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": label})
    return Dataset.from_list(out)


class Recorder(StepLosses, Trainer):
    pass


def metrics(prediction):
    logits, labels = torch.from_numpy(prediction.predictions), torch.from_numpy(prediction.label_ids)
    if logits.shape[-1] == 1:
        return {"mae": (logits.squeeze(1) - labels).abs().mean().item()}
    right = logits.argmax(-1) == labels if labels.dim() == 1 else ((logits > 0) == (labels > 0.5)).all(-1)
    return {"accuracy": right.double().mean().item()}


def head(name):
    labels = NAMES[data_of(name)]
    return torch.randn((len(labels) if labels else 1, 64), generator=torch.Generator().manual_seed(len(name))) * 0.1


def model_of(name, double):
    labels = NAMES[data_of(name)]
    settings = dict(num_labels=1) if labels is None else dict(
        id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)})
    if name == "multi":
        settings["problem_type"] = "multi_label_classification"
    torch.manual_seed(9)
    model = AutoModelForSequenceClassification.from_pretrained(BASE, dtype=torch.float32, attn_implementation="eager",
                                                               pad_token_id=0, **settings)
    with torch.no_grad():
        model.score.weight.copy_(head(name)[:, :model.score.weight.shape[1]])
    if name == "lora":
        model = with_sequence_adapter(model, os.path.join(OUT, "lora"), fresh=not double)
    return model.double() if double else model


def train(name, tokenizer, rows, double, **settings):
    data = features(tokenizer, data_of(name), rows)
    model = model_of(name, double)
    base = model.get_base_model() if name == "lora" else model

    def collate(batch):
        out = DataCollatorWithPadding(tokenizer)(batch)
        if out["labels"].is_floating_point():
            out["labels"] = out["labels"].to(base.dtype)
        return out
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Recorder(model=model, train_dataset=data, eval_dataset=data, data_collator=collate, compute_metrics=metrics,
                           args=TrainingArguments(
                               output_dir=scratch, max_steps=STEPS, optim="adamw_torch", logging_steps=1, save_strategy="no",
                               report_to="none", use_cpu=True, bf16=False, train_sampling_strategy="sequential",
                               disable_tqdm=True, max_grad_norm=1.0, weight_decay=0.0, seed=1,
                               **{"lr_scheduler_type": "constant", **settings}))
        trainer.parts, trainer.found = [], {"losses": [], "grad_norms": []}
        trainer.model_accepts_loss_kwargs = False
        trainer.train()
        found = trainer.evaluate()
    assert len(trainer.found["losses"]) == STEPS
    wanted = {key.removeprefix("eval_") if key != "eval_loss" else key: found[key]
              for key in ("eval_loss", "eval_accuracy", "eval_mae") if key in found}
    return {"id2label": [base.config.id2label[i] for i in range(base.config.num_labels)],
            "problem_type": base.config.problem_type, **trainer.found, **wanted}


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    os.makedirs(OUT, exist_ok=True)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(TOKENIZER)
    rows, runs, heads = make_rows(), {}, {}
    for name, part in rows.items():
        with open(os.path.join(OUT, name + ".jsonl"), "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in part)
    for name, settings in RUNS.items():
        heads[name] = model_of(name, False).state_dict() if name != "lora" else None
        found, wide = (train(name, tokenizer, rows[data_of(name)], double, **settings) for double in (False, True))
        apart = max(abs(a / b - 1) for a, b in zip(found["losses"], wide["losses"]))
        print(f"{name}: loss {found['losses'][0]:.4f} to {found['losses'][-1]:.4f}, {found.get('accuracy', found.get('mae'))}, "
              f"apart by {apart:.1e}", flush=True)
        assert apart < 1e-5, apart
        runs[name] = {"settings": settings, **found}
    save_file({name: state["score.weight"].clone() for name, state in heads.items() if state is not None},
              os.path.join(OUT, "score.safetensors"))
    with open(os.path.join(OUT, "runs.json"), "w") as file:
        json.dump(runs, file, separators=(",", ":"))
        file.write("\n")


main()
