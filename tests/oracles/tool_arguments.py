#!/usr/bin/env python3
"""Calls that a model is forced to make, against the `jsonschema` package.

    python tests/oracles/tool_arguments.py build/release/bin/powerhouse MODEL [--count 20] [--templates FOLDER]

Each template of the folder (tests/fixtures/text/tool_templates by default) and each tool below is asked for --count times,
with a temperature and another seed each; every answer must be one call of that tool whose arguments the tool's schema
accepts, or have been cut off by the number of tokens. Templates that write no calls must be an Error.

Ran with: jsonschema 4.26, on SmolLM2-135M-Instruct in Q4_1.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import jsonschema


def tool(name, required, **properties):
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": f"{name} for the user", "parameters": schema}}


TOOLS = [
    tool("get_weather", ["city", "unit"], city={"type": "string", "maxLength": 24}, days={"type": "integer", "minimum": 1, "maximum": 9},
         unit={"type": "string", "enum": ["celsius", "kelvin"]}),
    tool("book_table", ["date", "guests"], date={"type": "string", "format": "date"}, guests={"type": "integer", "minimum": 1, "maximum": 12},
         vegetarian={"type": "boolean"}),
    tool("plot", ["points"], points={"type": "array", "minItems": 2, "maxItems": 3, "items": {
        "type": "object", "properties": {"x": {"type": "number", "minimum": 0, "maximum": 1}, "label": {"type": "string", "maxLength": 8}},
        "required": ["x"], "additionalProperties": False}}),
]

parser = argparse.ArgumentParser()
parser.add_argument("powerhouse")
parser.add_argument("model")
parser.add_argument("--count", type=int, default=20)
parser.add_argument("--templates", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "fixtures/text/tool_templates")
arguments = parser.parse_args()
right = cut = refused = 0
with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
    json.dump(TOOLS, file)
    file.flush()
    for template in sorted(arguments.templates.glob("*.jinja")):
        for number, wanted in enumerate(TOOLS):
            name, schema = wanted["function"]["name"], wanted["function"]["parameters"]
            for seed in range(arguments.count):
                run = subprocess.run([arguments.powerhouse, "chat", "--model", arguments.model, "--chat-template", template, "--tools", file.name,
                                      "--tool-choice", name, "--no-parallel-tool-calls", "--message", f"Please {name} for me, number {seed}.",
                                      "--temperature", "0.8", "--seed", str(100 * number + seed), "--max-new-tokens", "200"],
                                     capture_output=True, text=True)
                if run.returncode != 0:
                    if "writes no calls" in run.stderr or "is not understood" in run.stderr:
                        refused += 1
                        break
                    sys.exit(f"{template.name}: {run.stderr}")
                answer = json.loads(run.stdout)
                if "unfinished" in answer:
                    cut += 1
                    continue
                calls = answer["tool_calls"]
                if len(calls) != 1 or calls[0]["function"]["name"] != name:
                    sys.exit(f"{template.name}: no call of {name}: {run.stdout}")
                jsonschema.validate(json.loads(calls[0]["function"]["arguments"]), schema, format_checker=jsonschema.FormatChecker())
                right += 1
print(f"{right} calls validate, {cut} were cut off, {refused} times a template that writes none was refused")
