#!/usr/bin/env python3
"""Writes calls of tools as transformers renders them through every *.jinja of folders: what `tool_calls_test` reads back.

    python tests/oracles/tool_calls.py cases.json FOLDER... ; POWERHOUSE_TEST_TOOL_CALLS=cases.json tool_calls_test

Templates of others stay outside the repository; those in tests/fixtures/text/tool_templates are our own, one of each kind
of format, and their cases are tests/fixtures/text/tool_calls.json. A message counts from the end of its generation
prompt, or where that is no beginning of it from the end of the user's; what a template drops or refuses is left out.

Ran with: jinja2 3.1.6, transformers 5.23.0, CPython 3.11.7.
"""
import json
import os
import pathlib
import sys

from transformers.utils.chat_template_utils import render_jinja_template

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def tool(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": []}
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": parameters}}


def kind(name):
    return {"type": name, "description": "x"}


TOOLS = [
    tool("get_weather", city=kind("string"), days=kind("integer"), exact=kind("boolean")),
    tool("search", query=kind("string"), limit=kind("integer")),
    tool("plot", points=kind("array"), style=kind("object"), scale=kind("number")),
    tool("now"),
]
CALLS = [
    [("get_weather", {"city": "Paris"})],
    [("get_weather", {"city": "São Paulo \"centro\"", "days": 3, "exact": True})],
    [("search", {"query": "line one\nline {two} <three> 'four' \\ five", "limit": 10})],
    [("search", {"query": "17"})],
    [("plot", {"points": [1, 2.5, {"x": "y"}], "style": {"color": "red", "dash": [1, 2], "none": None}, "scale": 0.5})],
    [("now", {})],
    [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome", "days": 1})],
    [("search", {"query": "a"}), ("now", {}), ("plot", {"points": [], "style": {}, "scale": 2.0})],
]


def render(source, messages, **more):
    texts, _ = render_jinja_template(conversations=[messages], tools=TOOLS, chat_template=source, **SPECIAL, **more)
    return texts[0]


def assistant(calls, content, as_text):
    functions = [{"name": n, "arguments": json.dumps(a) if as_text else a} for n, a in calls]
    return {"role": "assistant", "content": content,
            "tool_calls": [{"id": f"abcde000{i}", "type": "function", "function": f} for i, f in enumerate(functions)]}


def message_of(source, calls, content):
    user = {"role": "user", "content": "hello"}
    prompt = render(source, [user], add_generation_prompt=True)
    for as_text in (False, True):
        for empty in (content, None) if not content else (content,):
            try:
                text = render(source, [user, assistant(calls, empty, as_text)])
            except Exception:
                continue
            written = text[len(os.path.commonprefix([text, prompt])):]
            names = [name for name, _ in calls]
            if any(written.count(name) < names.count(name) for name in names):
                continue
            return text[len(prompt):] if text.startswith(prompt) else text[text.rindex("hello") + 5:]
    return None


cases = []
for folder in sys.argv[2:]:
    for path in sorted(pathlib.Path(folder).glob("*.jinja")):
        source, texts = path.read_text(), []
        for calls in CALLS:
            try:
                text = message_of(source, calls, "")
            except Exception:
                text = None
            if text is not None:
                texts.append({"text": text, "calls": [{"name": n, "arguments": a} for n, a in calls]})
        cases.append({"name": path.name, "template": source, "messages": texts})
pathlib.Path(sys.argv[1]).write_text(json.dumps({"special": SPECIAL, "tools": TOOLS, "cases": cases}, ensure_ascii=False))
print(len(cases), "templates,", sum(bool(case["messages"]) for case in cases), "of which write calls")
