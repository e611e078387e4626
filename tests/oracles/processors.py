"""Writes tests/fixtures/generation/processors.json: transformers' logits processors on random rows.

Each case: logits, ids seen, options, and what transformers' processors leave (null is -infinity). Written with
transformers 5.23.0, torch 2.11.0.
"""
import json
import math
import os

import torch
from transformers import (LogitsProcessorList, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor,
                          TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "generation")

OPTIONS = [{}, {"repetition_penalty": 1.3}, {"repetition_penalty": 0.7}, {"temperature": 0.7}, {"temperature": 1.9},
           {"top_k": 1}, {"top_k": 7}, {"top_k": 500}, {"top_p": 0.9}, {"top_p": 0.5}, {"top_p": 0.01}, {"top_p": 0.999},
           {"min_p": 0.05}, {"min_p": 0.5}, {"min_p": 1.0},
           {"repetition_penalty": 1.2, "temperature": 0.8, "top_k": 20, "top_p": 0.95, "min_p": 0.02},
           {"temperature": 1.5, "top_k": 50, "top_p": 0.8}, {"top_k": 5, "top_p": 0.6}]


def processors(options):
    """In the order of transformers' GenerationMixin._get_logits_processor."""
    chain = LogitsProcessorList()
    if "repetition_penalty" in options:
        chain.append(RepetitionPenaltyLogitsProcessor(options["repetition_penalty"]))
    if "temperature" in options:
        chain.append(TemperatureLogitsWarper(options["temperature"]))
    if "top_k" in options:
        chain.append(TopKLogitsWarper(options["top_k"]))
    if "top_p" in options:
        chain.append(TopPLogitsWarper(options["top_p"]))
    if "min_p" in options:
        chain.append(MinPLogitsWarper(options["min_p"]))
    return chain


def main():
    os.makedirs(HERE, exist_ok=True)
    generator = torch.Generator().manual_seed(4)
    cases = []
    for number, options in enumerate(OPTIONS * 2):
        logits = torch.randn(120, generator=generator) * (1 + 3 * (number % 3))
        if number % 4 == 3 and "top_p" not in options:  # torch.sort, under top_p, leaves ties in no fixed order
            logits[10:20] = logits[30]  # ties
        ids = torch.randint(0, 120, (15,), generator=generator)
        out = processors(options)(ids[None], logits[None].clone())[0]
        cases.append({"logits": logits.tolist(), "ids": ids.tolist(), "options": options,
                      "expected": [None if math.isinf(x) else x for x in out.tolist()]})
    with open(os.path.join(HERE, "processors.json"), "w") as file:
        json.dump(cases, file)
        file.write("\n")


main()
