#!/usr/bin/env python3
"""Writes tests/fixtures/training/judge/: a tiny reward model as transformers saves it, with a tokenizer of characters (as in
tests/training/tiny_run.h) whose padding is "#", and rewards.json: `prompt` and `completion` (EOS included where there is one)
and the `reward` that transformers gives their text.

    python tests/oracles/online_runs.py

Ran with transformers 5.23.0, torch 2.11.0.
"""
import json
import pathlib
import shutil

import torch
from preference_runs import tokenizer_of_characters
from transformers import LlamaConfig, LlamaForSequenceClassification

FOLDER = pathlib.Path(__file__).parent.parent / "fixtures" / "training" / "judge"
ROWS = [("say a:", "abc</s>"), ("say a:", "abc"), ("say a:", "xyz</s>"), ("1 + 1 is", " 2.</s>"), ("x", "</s>"), ("x", "")]


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    tokenizer = tokenizer_of_characters()
    tokenizer.pad_token = "#"
    torch.manual_seed(5)
    config = LlamaConfig(vocab_size=97, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
                         num_key_value_heads=1, num_labels=1, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
                         eos_token_id=tokenizer.eos_token_id, initializer_range=0.3)
    model = LlamaForSequenceClassification(config).eval()
    model.save_pretrained(FOLDER)
    tokenizer.save_pretrained(FOLDER)
    rows = []
    with torch.no_grad():
        for prompt, completion in ROWS:
            ids = torch.tensor([tokenizer.encode(prompt + completion)])
            rows.append({"prompt": prompt, "completion": completion, "reward": model(input_ids=ids).logits.item()})
    (FOLDER / "rewards.json").write_text(json.dumps(rows, separators=(",", ":")) + "\n")
    print(rows, [(path.name, path.stat().st_size) for path in FOLDER.iterdir()])


if __name__ == "__main__":
    main()
