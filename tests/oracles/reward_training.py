"""Writes tests/fixtures/training/reward/: what TRL's RewardTrainer makes of pairs in 20 steps, in float32.

    python tests/oracles/reward_training.py [FOLDER]    # the folder with SmolLM2-135M-Instruct.Q4_1.gguf

pairs.jsonl        80 rows {prompt, chosen, rejected, margin}, two of a micro batch, two micro batches a step, in this order.
tokenizer/         a token a character, "</s>" ends and pads a text; of model/tiny_gqa's vocabulary.
score.safetensors  the head that training starts from, of tiny_gqa.
lora/              the PEFT folder (task type SEQ_CLS) that the run of that name starts from.
runs.json          full, margin (with center_rewards_coefficient) and lora: `settings`, and of each step `losses`,
                   `grad_norms` (before clipping), and TRL's metrics `min_reward`, `mean_reward`, `max_reward`,
                   `accuracy`, `margin`, means over the step's micro batches.
smollm2.json       the same of the real model, dequantized to float32, with LoRA on all linear layers, on conversations,
                   `rows`. Number i of the t-th tensor of PEFT's file, in the order of names, is training_smollm2.hashed.

The tiny runs are repeated in float64: losses must agree to 1e-6.
Ran with trl 1.16.0, transformers 5.23.0, peft 0.21.0, torch 2.11.0, accelerate 1.15.0.
"""
import json
import os
import sys
import tempfile

import torch
from datasets import Dataset
from peft import LoraConfig, TaskType, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import (AutoModelForSequenceClassification, AutoTokenizer, LlamaForCausalLM,
                          LlamaForSequenceClassification, PreTrainedTokenizerFast)
from transformers.utils import logging
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from trl import RewardConfig, RewardTrainer

from smollm2 import FILE
from training import LLAMA, with_sequence_adapter
from training_models import StepLosses
from training_smollm2 import hashed

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = os.path.join(HERE, "..", "fixtures", "model", "tiny_gqa")
OUT = os.path.join(HERE, "..", "fixtures", "training", "reward")
STEPS, MICRO, PAIRS = 20, 2, 2
METRICS = ("min_reward", "mean_reward", "max_reward", "accuracy", "margin")
RUNS = {
    "full": dict(learning_rate=1e-3),
    "margin": dict(learning_rate=1e-3, center_rewards_coefficient=0.05, lr_scheduler_type="cosine", warmup_steps=3),
    "lora": dict(learning_rate=5e-3, center_rewards_coefficient=0.01),
}


def make_tokenizer():
    characters = " abcdefghijklmnopqrstuvwxyz0123456789.,?!:'ABCDEFGHIJKLMNOPQRSTUVWXYZ\n#-"
    vocabulary = {"</s>": 0} | {character: i + 1 for i, character in enumerate(characters)}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    tokenizer.add_special_tokens([AddedToken("</s>", special=True, normalized=False)])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>")
    made.save_pretrained(os.path.join(OUT, "tokenizer"))
    return made


def make_pairs():
    """Counting is better than repeating: something that a model can learn."""
    generator = torch.Generator().manual_seed(4)

    def draw(low, high):
        return int(torch.randint(low, high, (1,), generator=generator))
    pairs = []
    for _ in range(STEPS * MICRO * PAIRS):
        first, length = draw(0, 10), draw(2, 9)
        counted = "".join(str((first + i) % 10) for i in range(length))
        repeated = "".join(str((first + (i if draw(0, 3) == 0 else 0)) % 10) for i in range(draw(2, 9)))
        pairs.append({"prompt": f"Count from {first}: ", "chosen": counted, "rejected": repeated + ".",
                      "margin": draw(0, 5) / 4})
    return pairs


class Recorder(StepLosses, RewardTrainer):
    kept = {"grad_norms": "grad_norm"} | {name: name for name in METRICS}


def train(model, tokenizer, rows, **settings):
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Recorder(model=model, processing_class=tokenizer, train_dataset=Dataset.from_list(rows), args=RewardConfig(
            output_dir=scratch, max_steps=STEPS, per_device_train_batch_size=PAIRS, gradient_accumulation_steps=MICRO,
            optim="adamw_torch", logging_steps=1, save_strategy="no", report_to="none", use_cpu=True, bf16=False,
            gradient_checkpointing=False, train_sampling_strategy="sequential", disable_tqdm=True,
            **{"lr_scheduler_type": "constant", **settings}))
        trainer.parts, trainer.found = [], {name: [] for name in ("losses", "grad_norms", *METRICS)}
        trainer.train()
    assert len(trainer.found["losses"]) == STEPS
    return trainer.found


def tiny(name, double):
    torch.manual_seed(9)
    model = AutoModelForSequenceClassification.from_pretrained(BASE, num_labels=1, dtype=torch.float32,
                                                               attn_implementation="eager")
    with torch.no_grad():
        model.score.weight.copy_(torch.randn(model.score.weight.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
    if name == "full" and not double:
        save_file({"score.weight": model.score.weight.detach().clone()}, os.path.join(OUT, "score.safetensors"))
    if name == "lora":
        model = with_sequence_adapter(model, os.path.join(OUT, "lora"), fresh=not double)
    return model.double() if double else model


def write_tiny():
    tokenizer, pairs, runs = make_tokenizer(), make_pairs(), {}
    with open(os.path.join(OUT, "pairs.jsonl"), "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in pairs)
    for name, settings in RUNS.items():
        rows = pairs if name == "margin" else [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in pairs]
        found, wide = (train(tiny(name, double), tokenizer, rows, **settings) for double in (False, True))
        apart = max(abs(a / b - 1) for a, b in zip(found["losses"], wide["losses"]))
        print(f"{name}: loss {found['losses'][0]:.4f} to {found['losses'][-1]:.4f}, accuracy {found['accuracy'][-1]}, apart by "
              f"{apart:.1e}", flush=True)
        assert apart < 1e-5, apart
        runs[name] = {"settings": settings, **found}
    with open(os.path.join(OUT, "runs.json"), "w") as file:
        json.dump(runs, file, separators=(",", ":"))
        file.write("\n")


TALKS = [
    ("What does a miller make?", "A miller grinds grain into flour.", "I don't know."),
    ("Name a colour of the sky.", "Blue.", "Wood is a material that burns."),
    ("How much is 2 + 3?", "2 + 3 is 5.", "2 + 3 is 23."),
    ("Who keeps bees?", "A beekeeper keeps bees, in hives.", "Bees keep a beekeeper."),
    ("Say hello politely.", "Good morning! How may I help you today?", "What."),
    ("Give me a fruit.", "An apple.", "A hammer, or perhaps a saw."),
    ("When does the sun rise?", "In the morning.", "It rises at night, when nobody looks at it."),
]


def write_smollm2(folder):
    read = LlamaForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    read.config.quantization_config = None  # Trainer refuses what came out of blocks
    read.config.num_labels = 1
    model = LlamaForSequenceClassification._from_config(read.config, dtype=torch.float32, attn_implementation="eager")
    state = read.state_dict()
    report = model.load_state_dict({name: tensor for name, tensor in state.items() if name != "lm_head.weight"}, strict=False)
    assert report.missing_keys == ["score.weight"] and not report.unexpected_keys, report
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=LLAMA, task_type=TaskType.SEQ_CLS))
    state = get_peft_model_state_dict(model)
    with torch.no_grad():
        for number, name in enumerate(sorted(state)):
            tensor = state[name]
            tensor.copy_(hashed(number, tensor.numel(), 1 / 128 if "lora_B" in name else 1 / 32).reshape(tensor.shape))
    rows = []
    for number in range(STEPS * MICRO * PAIRS):
        question, good, bad = TALKS[number * 5 % len(TALKS)]
        rows.append({"prompt": [{"role": "user", "content": question}],
                     "chosen": [{"role": "assistant", "content": good}],
                     "rejected": [{"role": "assistant", "content": bad}]})
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    settings = dict(learning_rate=1e-3, center_rewards_coefficient=0.01)
    found = train(model, tokenizer, rows, **settings)
    print(f"smollm2: loss {found['losses'][0]:.4f} to {found['losses'][-1]:.4f}, pad {tokenizer.pad_token_id}", flush=True)
    with open(os.path.join(OUT, "smollm2.json"), "w") as file:
        json.dump({"settings": settings, "pad_token_id": tokenizer.pad_token_id, "names": sorted(state), **found,
                   "rows": rows}, file, separators=(",", ":"))
        file.write("\n")


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    os.makedirs(OUT, exist_ok=True)
    write_tiny()
    if len(sys.argv) > 1:
        write_smollm2(sys.argv[1])


main()
