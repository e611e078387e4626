"""Writes tests/fixtures/model/families/*: tiny random checkpoints of every decoder family with odd settings, and what
transformers makes of them; fixture.py says what a folder holds. index.json lists them.

    python tests/oracles/families [NAME_PREFIX ...]

Ran with transformers 5.23.0, torch 2.11.0, safetensors 0.8.0; the same versions write the same bytes.
"""
import importlib
import json
import os
import sys
import traceback

from transformers.utils import logging

from fixture import FIXTURES, write

MODULES = ["gpt", "alibi", "llama_like", "gemma", "moe", "more", "extra"]


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    variants = [variant for module in MODULES for variant in importlib.import_module(module).VARIANTS]
    os.makedirs(FIXTURES, exist_ok=True)
    path = os.path.join(FIXTURES, "index.json")
    index = {}
    if os.path.exists(path):
        with open(path) as file:
            index = {line["name"]: line for line in json.load(file)}
    wrong = 0
    for variant in variants:
        if sys.argv[1:] and not variant.name.startswith(tuple(sys.argv[1:])):
            continue
        try:
            index[variant.name], problems = write(variant)
        except Exception:
            problems = [traceback.format_exc()]
            print(f"{variant.name}: {problems[0]}", flush=True)
        wrong += bool(problems)
    lines = [json.dumps(index[variant.name]) for variant in variants if variant.name in index]
    with open(path, "w") as file:
        file.write("[\n" + ",\n".join(lines) + "\n]\n")
    sys.exit(f"{wrong} variants with problems" if wrong else 0)


main()
