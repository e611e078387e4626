#!/usr/bin/env python3
"""Writes tests/fixtures/training/preference_runs.json and preference_adapter/: 20 steps of TRL's own trainers on a tiny Llama
(tests/fixtures/model/tiny_gqa, float32, with a tokenizer of characters as in tests/training/tiny_run.h).

    python tests/oracles/preference_runs.py           # the tiny model
    python tests/oracles/preference_runs.py FOLDER    # preference_smollm2.json: the real model with LoRA; the folder holds
                                                      # SmolLM2-135M-Instruct.Q4_1.gguf
A run: `trainer`, `arguments` (TRL's names), `adapter` (LoRA, else all weights train), `data` (a list of rows), `steps`: TRL's
log of each step, and `evaluation`: of the data after the last step. Rows come in the data's order.
Ran with trl 1.16.0, transformers 5.23.0, peft 0.21.0, torch 2.11.0, accelerate 1.15.0, datasets 5.2.0.
"""
import argparse
import copy
import json
import os
import pathlib
import shutil
import tempfile

import torch
from datasets import Dataset
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, models
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
TRAINERS = {"dpo": (DPOTrainer, DPOConfig), "kto": (KTOTrainer, KTOConfig), "orpo": (ORPOTrainer, ORPOConfig),
            "cpo": (CPOTrainer, CPOConfig)}
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
STEPS = 20


def tokenizer_of_characters():
    characters = " abcdefghijklmnopqrstuvwxyz0123456789.,?!:'ABCDEFGHIJKLMNOPQRSTUVWXYZ\n#-"
    vocabulary = {"</s>": 0, **{c: i + 1 for i, c in enumerate(characters)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.add_special_tokens([AddedToken("</s>", special=True, normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>")


def make_pairs(count):
    """A letter is asked for: the chosen completion repeats it, the rejected one has others. Lengths differ."""
    generator = torch.Generator().manual_seed(3)
    draw = lambda low, high: int(torch.randint(low, high, (1,), generator=generator))
    rows = []
    for i in range(count):
        letter = "abcdefg"[draw(0, 7)]
        rows.append({
            "prompt": "say " + letter * draw(1, 6) + ":",
            "chosen": " " + (letter + str(draw(0, 10))) * draw(1, 6),
            "rejected": " " + "".join("hijklmn"[draw(0, 7)] for _ in range(draw(1, 14))),
        })
    return rows


def make_labelled(count):
    rows = []
    for i, row in enumerate(make_pairs(count)):
        good = i % 3 != 1
        rows.append({"prompt": row["prompt"], "completion": row["chosen" if good else "rejected"], "label": good})
    return rows


def run(name, trainer, arguments, rows, model, tokenizer, adapter=None, prepare=None):
    own, config = TRAINERS[trainer]
    with tempfile.TemporaryDirectory() as folder:
        settings = config(output_dir=folder, max_steps=STEPS, logging_steps=1, save_strategy="no", report_to="none",
                          lr_scheduler_type="constant", disable_tqdm=True, use_cpu=True, bf16=False,
                          gradient_checkpointing=False, train_sampling_strategy="sequential",
                          per_device_eval_batch_size=arguments["per_device_train_batch_size"], **arguments)
        data = Dataset.from_list(copy.deepcopy(rows))
        made = own(model=model, args=settings, train_dataset=data, eval_dataset=data, processing_class=tokenizer,
                   peft_config=adapter)
        if prepare:
            prepare(made.model)
        made.train()
        evaluation = made.evaluate()
    drop = ("num_tokens", "runtime", "per_second")
    if trainer in ("orpo", "cpo"):
        drop += ("logits/",)  # means over prompts and padding too
    keep = lambda row: {k: float(v) for k, v in row.items() if not any(word in k for word in drop)}
    steps = [keep(row) for row in made.state.log_history if "loss" in row]
    assert len(steps) == STEPS
    print(name, *(round(step["loss"], 4) for step in steps), "eval", evaluation["eval_loss"])
    return {"name": name, "trainer": trainer, "arguments": arguments, "adapter": adapter is not None, "steps": steps,
            "evaluation": keep(evaluation)}


def tiny_runs():
    tokenizer = tokenizer_of_characters()
    folder = FIXTURES / "model" / "tiny_gqa"
    adapter = FIXTURES / "training" / "preference_adapter"
    pairs, labelled = make_pairs(80), make_labelled(80)
    two = dict(per_device_train_batch_size=2, gradient_accumulation_steps=2)
    one = dict(per_device_train_batch_size=4, gradient_accumulation_steps=1)
    full, lora = dict(learning_rate=1e-3), dict(learning_rate=5e-3)
    cases = [
        ("dpo_full", "dpo", {**two, **full}, False),
        ("dpo_lora", "dpo", {**two, **lora, "beta": 0.5}, True),
        ("dpo_mixed_lora", "dpo", {**two, **lora, "loss_type": ["sigmoid", "bco_pair", "sft"],
                                   "loss_weights": [0.8, 0.2, 1.0], "ld_alpha": 0.5}, True),
        ("dpo_ipo_lora", "dpo", {**one, **lora, "loss_type": ["ipo"]}, True),
        ("dpo_cut_start", "dpo", {**two, **full, "max_length": 12}, False),
        ("dpo_cut_end", "dpo", {**two, **full, "max_length": 12, "truncation_mode": "keep_end"}, False),
        ("dpo_wpo_full", "dpo", {**two, **full, "use_weighting": True}, False),
        ("dpo_wpo_lora", "dpo", {**one, **lora, "use_weighting": True, "loss_type": ["sigmoid", "ipo"]}, True),
        ("dpo_sync_full", "dpo", {**two, **full, "sync_ref_model": True, "ref_model_mixup_alpha": 0.6,
                                  "ref_model_sync_steps": 4}, False),
        ("orpo_full", "orpo", {**two, **full}, False),
        ("orpo_lora", "orpo", {**one, **lora, "beta": 1.0}, True),
        ("kto_full", "kto", {**two, **full}, False),
        ("kto_lora", "kto", {**one, **lora, "desirable_weight": 1.0, "undesirable_weight": 2.0, "beta": 0.3}, True),
        ("kto_apo_lora", "kto", {**one, **lora, "loss_type": "apo_zero_unpaired"}, True),
        ("cpo_full", "cpo", {**two, **full}, False),
        ("simpo_lora", "cpo", {**one, **lora, "loss_type": "simpo", "cpo_alpha": 0.0, "beta": 2.0}, True),
    ]
    runs = []
    for name, trainer, arguments, with_adapter in cases:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        config, prepare = None, None
        if with_adapter:
            config = LoraConfig(r=4, lora_alpha=8, target_modules=LINEAR, task_type="CAUSAL_LM")
            def prepare(made):
                if not adapter.exists():
                    made.peft_config["default"].base_model_name_or_path = "model/tiny_gqa"
                    made.save_pretrained(adapter)
                    (adapter / "README.md").unlink(missing_ok=True)
                saved = load_file(adapter / "adapter_model.safetensors")
                own = get_peft_model_state_dict(made)
                assert own.keys() == saved.keys()
                with torch.no_grad():
                    for key, tensor in own.items():
                        tensor.copy_(saved[key])
        rows = labelled if trainer == "kto" else pairs
        runs.append(run(name, trainer, arguments, rows, model, tokenizer, config, prepare))
    return {"pairs": pairs, "labelled": labelled, "runs": runs}


QUESTIONS = [
    ("What does a miller make?", " Flour, out of grain.", " Shoes and boots."),
    ("Why is the sky blue?", " Air scatters short waves of light more than long ones.", " It is painted."),
    ("Who keeps the bees?", " The beekeeper does.", " Nobody knows, and nobody has ever asked."),
    ("What is two and two?", " Four", " Five"),
    ("Where does the river end?", " In the sea.", " On a hill, where it turns round."),
]


def smollm2_runs(folder):
    from training_smollm2 import hashed, load
    from smollm2 import FILE
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    tokenizer.bos_token = None  # TRL's ORPO would put it in front; the others do not
    pairs = [{"prompt": f"Question: {q}\nAnswer:", "chosen": good, "rejected": bad} for q, good, bad in QUESTIONS]
    labelled = [{"prompt": p["prompt"], "completion": p["chosen" if good else "rejected"], "label": good}
                for good, p in ((i % 2 == 0, p) for i, p in enumerate(pairs + pairs[1:] + pairs[:1]))]
    common = dict(per_device_train_batch_size=2, gradient_accumulation_steps=1, learning_rate=2e-4)
    runs = []
    for name, trainer, arguments in (("dpo", "dpo", common), ("orpo", "orpo", common), ("kto", "kto", common)):
        model = load(folder)[0].unload()
        config = LoraConfig(r=8, lora_alpha=16, target_modules=LINEAR, task_type="CAUSAL_LM")
        names = []

        def prepare(made):
            state = get_peft_model_state_dict(made)
            names.extend(sorted(state))
            with torch.no_grad():
                for number, key in enumerate(names):
                    tensor = state[key]
                    bound = 1 / 32 if "lora_A" in key else 1 / 128
                    tensor.copy_(hashed(number, tensor.numel(), bound).reshape(tensor.shape))
        runs.append(run(name, trainer, arguments, labelled if trainer == "kto" else pairs, model, tokenizer, config, prepare))
    return {"pairs": pairs, "labelled": labelled, "names": names, "target_modules": LINEAR, "runs": runs}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("smollm2", nargs="?")
    given = parser.parse_args()
    logging.set_verbosity_error()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if not given.smollm2:
        shutil.rmtree(FIXTURES / "training" / "preference_adapter", ignore_errors=True)
    out = smollm2_runs(given.smollm2) if given.smollm2 else tiny_runs()
    path = FIXTURES / "training" / ("preference_smollm2.json" if given.smollm2 else "preference_runs.json")
    path.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
