"""Writes tests/fixtures/training/smollm2.{json,safetensors}: 20 steps of LoRA on the real model, dequantized to float32.

    python tests/oracles/training_smollm2.py FOLDER    # the folder with SmolLM2-135M-Instruct.Q4_1.gguf

The adapter (rank 8 on all linear layers but the head) would be 10 MB, so that it starts from a formula: number i of the t-th
tensor, in the order of names in PEFT's file, is hashed(t, i) below, at most 1/32 for A and 1/128 for B. json: the run as in
runs.json, `documents` as in rows.json, `order` of them (rows.json has rows in the order of use), and `names` of the tensors.
safetensors, a row for each name: `sums`, `norms` (2-norm) and `samples` of the tensor after the last step, these at eight
positions, flattened: k * (numbers - 1) / 7, rounded down.
Checked as in training.py, against float64.
Ran with transformers 5.23.0, peft 0.21.0, torch 2.11.0, gguf 0.19.0.
"""
import json
import os
import sys
from dataclasses import asdict

import numpy
import torch
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoTokenizer, LlamaForCausalLM
from transformers.utils import logging

from smollm2 import FILE
from training import LLAMA, Run, agreed, train
from training_models import MICRO, OUT, ROWS, STEPS

TEXTS = [
    "Question: What does a miller make?\nAnswer: A miller grinds grain into flour, in a mill driven by wind or water.",
    "The river rose in the night, and by morning the lower fields lay under a sheet of brown water.",
    "def mean(values):\n    return sum(values) / len(values)\n",
    "Question: Why is the sky blue?\nAnswer: Air scatters short waves of light more than long ones.",
    "Nobody in the village had seen it come so fast, and nobody spoke of it afterwards.",
    "1 mile is about 1.609 kilometres; 1 kilogram is about 2.205 pounds.",
    "Question: Who keeps the bees?\nAnswer: The gardener's daughter keeps them, behind the orchard wall.",
]


def hashed(tensor, count, bound):
    """A hash of (tensor, i) with i below count, as float32 in [-bound, bound); the bound is a power of two: no rounding."""
    x = numpy.arange(count, dtype=numpy.uint32) * numpy.uint32(2654435761) + numpy.uint32(tensor * 40503 + 12345)
    for _ in range(2):
        x ^= x >> numpy.uint32(16)
        x *= numpy.uint32(0x45D9F3B)
    x ^= x >> numpy.uint32(16)
    unit = (x >> numpy.uint32(8)).astype(numpy.float32) * numpy.float32(2.0 ** -23) - 1
    return torch.from_numpy(unit * numpy.float32(bound))


def make_documents(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    documents = []
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        question, colon, _ = text.partition("Answer:")
        masked = len(tokenizer(question + colon, add_special_tokens=False).input_ids) if colon else 0
        documents.append({"input_ids": ids, "labels": [-100] * masked + ids[masked:]})
    return documents


def load(folder):
    read = LlamaForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    read.config.quantization_config = None  # Trainer refuses what came out of blocks
    model = LlamaForCausalLM._from_config(read.config, dtype=torch.float32, attn_implementation="eager")
    model.load_state_dict(read.state_dict())
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=LLAMA, task_type="CAUSAL_LM"))
    state = get_peft_model_state_dict(model)  # names of the file, the parameters' own memory
    with torch.no_grad():
        for number, name in enumerate(sorted(state)):
            tensor = state[name]
            tensor.copy_(hashed(number, tensor.numel(), 1 / 32 if "lora_A" in name else 1 / 128).reshape(tensor.shape))
    return model, sorted(state)


def main():
    folder = sys.argv[1]
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    run = Run("smollm2_lora", FILE, target_modules=LLAMA, learning_rate=1e-3, lr_scheduler_type="cosine", warmup_steps=3)
    documents, results = make_documents(folder), []
    order = [number * 5 % len(documents) for number in range(STEPS * MICRO * ROWS)]
    for double in (False, True):
        model, names = load(folder)
        model = model.double() if double else model
        results.append((model, *train(model, run, [documents[number] for number in order])))
    tensors = agreed(run, *results)
    assert sorted(tensors) == names
    samples = [tensors[name].flatten()[[k * (tensors[name].numel() - 1) // 7 for k in range(8)]] for name in names]
    save_file({"sums": torch.stack([tensors[name].double().sum() for name in names]),
               "norms": torch.stack([tensors[name].double().norm() for name in names]),
               "samples": torch.stack(samples)}, os.path.join(OUT, "smollm2.safetensors"))
    with open(os.path.join(OUT, "smollm2.json"), "w") as file:
        json.dump({**asdict(run), **results[0][1], "documents": documents, "order": order, "names": names}, file,
                  separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
