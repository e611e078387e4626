"""Writes tests/fixtures/adapters/classifiers/*: LoRA of task type SEQ_CLS that PEFT wrote for the tiny models of
tests/fixtures/model/families with a head over sequences, and what it computes with them.

Each folder holds adapter_config.json and adapter_model.safetensors as `save_pretrained` writes them (the head is in
modules_to_save), and expected.safetensors: `input_ids.0` ..., `logits` [documents, labels], `labels`, `loss` (cross
entropy) and `grad.<tensor of the file>`.

All arithmetic is float32 with attn_implementation="eager". Ran with peft 0.21.0, transformers 5.23.0, torch 2.11.0,
safetensors 0.8.0; the same versions write the same bytes.

    python tests/oracles/classifier_adapters.py
"""
import os
import shutil

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging

from adapters import clean, file_name, fill

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "fixtures", "model", "families")
FIXTURES = os.path.join(HERE, "..", "fixtures", "adapters", "classifiers")
LABELS = 3
CASES = {
    "llama": ("llama_biases", LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", task_type=TaskType.SEQ_CLS)),
    "gpt2": ("gpt2_unscaled", LoraConfig(r=3, task_type=TaskType.SEQ_CLS)),
}


def load(name):
    torch.manual_seed(len(name))
    model = AutoModelForSequenceClassification.from_pretrained(
        os.path.join(MODELS, name), num_labels=LABELS, dtype=torch.float32, attn_implementation="eager").eval()
    model.config.pad_token_id = 0
    return model


def write(name, base, config):
    folder = os.path.join(FIXTURES, name)
    shutil.rmtree(folder, ignore_errors=True)
    model = get_peft_model(load(base), config)
    fill(model, len(name))
    model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "README.md")):
        os.remove(os.path.join(folder, "README.md"))
    clean(folder, base)
    model = PeftModel.from_pretrained(load(base), folder, is_trainable=True).eval()
    generator = torch.Generator().manual_seed(5)
    texts = [torch.randint(3, 40, (length,), generator=generator) for length in (9, 4, 13)]
    logits = torch.cat([model(input_ids=ids[None]).logits for ids in texts])
    labels = torch.tensor([2, 0, 1])
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss.backward()
    out = {f"input_ids.{i}": ids for i, ids in enumerate(texts)}
    out |= {"logits": logits.detach(), "labels": labels, "loss": loss.detach().reshape(1)}
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            out["grad." + file_name(parameter_name)] = parameter.grad.clone()
    save_file({key: value.contiguous() for key, value in out.items()}, os.path.join(folder, "expected.safetensors"))
    print(f"{name}: logits' standard deviation {logits.std():.2f}, {len(out)} tensors", flush=True)


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    os.makedirs(FIXTURES, exist_ok=True)
    for name, (base, config) in CASES.items():
        write(name, base, config)


main()
