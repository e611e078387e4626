#!/usr/bin/env python3
"""What a constraint costs: a mask along texts with nothing known and again, and the speed of decoding with a JSON schema
and without, beside llama.cpp's.

  constraints.py --model SmolLM2-135M-Instruct.Q4_1.gguf --build build/release [--llama llama.cpp/build/bin] [--threads 2]
                 [--rounds 3]
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile

PEOPLE = {"type": "object", "required": ["people"], "properties": {"people": {"type": "array", "minItems": 12, "maxItems": 12, "items": {
    "type": "object", "required": ["name", "age", "email", "tags"], "additionalProperties": False, "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "email": {"type": "string", "pattern": "^[a-z]{2,12}@[a-z]{2,12}\\.(com|org)$"},
        "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 2}}}}}}
TREE = {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "required": ["v"], "properties": {
    "v": {"type": "string"}, "c": {"type": "array", "items": {"$ref": "#/$defs/t"}}}}}}
ROW = {"name": "Ada Lovelace", "age": 36, "email": "ada@lovelace.org", "tags": ["red", "blue"]}
LONG = "The quick brown fox jumps over the lazy dog, and then it sleeps in the afternoon sun. " * 8
CASES = [
    {"name": "people", "kind": "schema", "text": PEOPLE, "texts": [json.dumps({"people": [ROW] * 12}, separators=(",", ":"))]},
    {"name": "any JSON", "kind": "schema", "text": {}, "texts": [json.dumps({"people": [ROW] * 12, "note": LONG}, separators=(",", ":"))]},
    {"name": "tree", "kind": "schema", "text": TREE, "texts": [json.dumps({"v": "root of it all", "c": [{"v": "a leaf here", "c": [{"v": "deeper still"}]}] * 8}, separators=(",", ":"))]},
    {"name": "bounded string", "kind": "schema", "text": {"type": "string", "maxLength": 900}, "texts": [json.dumps(LONG)]},
    {"name": "words", "kind": "regex", "text": r"(?:\w+[ ,.]*)+", "texts": [LONG]},
]
PROMPT = "A list of people in JSON, each with a name, an age, an email and tags:\n"


def time_masks(arguments):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(CASES, file)
        file.flush()
        tool = os.path.join(arguments.build, "bin", "constraint_tool")
        out = subprocess.run([tool, "time", arguments.model, file.name], capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        one = json.loads(line)
        print(f"{one['case']:15} compiled in {one['compile_us'] / 1000:6.1f} ms; {one['tokens']:4} tokens: "
              f"{one['first_mean_us']:7.1f} us each at first (at most {one['first_max_us']:7.1f}), {one['again_mean_us']:6.1f} again")


def ours(arguments, constrained):
    command = [os.path.join(arguments.build, "bin", "powerhouse"), "generate", "--model", arguments.model, "--prompt", PROMPT, "--json",
               "--max-new-tokens", "200", "--threads", str(arguments.threads)]
    if constrained:
        command += ["--json-schema", json.dumps(PEOPLE), "--compact-json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["new_tokens_per_second"]


def theirs(arguments, constrained):
    command = [os.path.join(arguments.llama, "llama-completion"), "-m", arguments.model, "-p", PROMPT, "-n", "200", "--temp", "0", "-no-cnv",
               "-t", str(arguments.threads), "--ignore-eos"]
    if constrained:
        command.remove("--ignore-eos")
        command += ["--json-schema", json.dumps(PEOPLE)]
    said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL).stderr
    rate = lambda name: re.search(name + r" time =\s*([\d.]+) ms /\s*(\d+)", said)
    run, total = rate("eval"), rate("total")
    prompt = rate("prompt eval")
    tokens = int(re.findall(r"\beval time =\s*[\d.]+ ms /\s*(\d+) runs", said)[-1])
    # All that is not the prompt: with sampling, where the grammar is.
    return 1000 * tokens / (float(total.group(1)) - float(prompt.group(1)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--build", required=True)
    parser.add_argument("--llama")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    time_masks(arguments)
    runs = {(engine, constrained): [] for engine in ([ours, theirs] if arguments.llama else [ours]) for constrained in (False, True)}
    for _ in range(arguments.rounds):
        for (engine, constrained), speeds in runs.items():
            speeds.append(engine(arguments, constrained))
    for engine in {engine for engine, _ in runs}:
        free, held = (statistics.median(runs[engine, constrained]) for constrained in (False, True))
        print(f"{engine.__name__}: {free:.1f} tokens/s without, {held:.1f} with the schema: {100 * (1 - held / free):.1f} % lost")


if __name__ == "__main__":
    main()
