#!/usr/bin/env python3
"""Writes conversations and what transformers makes of them through every *.jinja of a folder, a file or a wheel.

Kept outside the repository, since the templates belong to others; `chat_template_test` reads the result:

    python tests/oracles/chat_templates.py trl-1.16.0-py3-none-any.whl cases.json
    POWERHOUSE_TEST_JINJA_CASES=cases.json chat_template_test

Every template sees every conversation with and without the generation prompt, tools, documents and further variables.
What a template prints of the date is today's: run both on one day. Messages pass as apply_chat_template passes them,
without keys that hold None.

Ran with: jinja2 3.1.6, transformers 5.23.0, trl 1.16.0, CPython 3.11.7.
"""

import copy
import json
import pathlib
import sys
import zipfile

from transformers.utils.chat_template_utils import render_jinja_template

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, wrapped=True, **more):
    function = {"name": name, "arguments": arguments}
    return {"type": "function", "function": function, **more} if wrapped else {**function, **more}


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place.\nSecond line with \"quotes\", <tags> & ümlauts.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city's name"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "Unit", "default": None},
                "days": {"type": "integer", "minimum": 1},
                "exact": {"type": "boolean"},
                "box": {
                    "type": "object",
                    "properties": {"lat": {"type": ["number", "null"]}, "tags": {"type": "array", "items": {"type": "string"}}},
                    "required": ["lat"],
                },
            },
            "required": ["city"],
        },
        "return": {"type": "string", "description": "What it is like"},
    },
}
PLAIN_TOOL = {
    "type": "function",
    "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}},
}
TOOLS = [WEATHER, PLAIN_TOOL]
DOCUMENTS = [
    {"title": "Paris", "text": "Paris is the capital of France."},
    {"title": "Rome <&>", "text": "Rome wasn't built in a day.\nIt took 2.", "doc_id": 7},
]
ARGUMENTS = {"city": "Zürich", "days": 2, "exact": True, "box": {"lat": 47.5, "tags": ["a", "b'c"]}, "unit": None}
TEXT = {"type": "text", "text": "What is this?"}
CONVERSATIONS = {
    "plain": [turn("user", "What is the capital of France?")],
    "system": [turn("system", "You are a pirate."), turn("user", "  Hello\n")],
    "developer": [turn("developer", "Be brief."), turn("user", "Hello")],
    "multi": [turn("user", "Hi <b>you</b>"), turn("assistant", "Hello! "), turn("user", "Bye"), turn("assistant", " Ciao")],
    "multi_system": [
        turn("system", "S\n\nT"),
        turn("user", "1"),
        turn("assistant", "2"),
        turn("user", "3 世界 👋🏽"),
        turn("assistant", "4"),
        turn("user", "5"),
    ],
    "thinking": [
        turn("user", "1+1?"),
        turn("assistant", "<think>\nadd\n</think>\n\n2"),
        turn("user", "2+2?"),
        turn("assistant", "<think>again</think>4"),
    ],
    "reasoning": [
        turn("user", "1+1?"),
        turn("assistant", "2", reasoning_content="I add."),
        turn("user", "2+2?"),
        turn("assistant", "4", thinking="I add again."),
    ],
    "call": [turn("user", "Weather?"), turn("assistant", "", tool_calls=[call("get_weather", ARGUMENTS, id="abcdefghi")])],
    "call_none": [turn("user", "Weather?"), turn("assistant", None, tool_calls=[call("get_weather", ARGUMENTS)])],
    "call_absent": [turn("user", "Weather?"), {"role": "assistant", "tool_calls": [call("get_weather", ARGUMENTS, id="abcdefghi")]}],
    "call_text": [
        turn("user", "Weather?"),
        turn("assistant", "Let me see.", tool_calls=[call("get_weather", json.dumps(ARGUMENTS), id="call00001")]),
    ],
    "call_bare": [turn("user", "Weather?"), turn("assistant", "", tool_calls=[call("now", {}, wrapped=False)])],
    "result": [
        turn("system", "Use tools."),
        turn("user", "Weather?"),
        turn("assistant", "", tool_calls=[call("get_weather", ARGUMENTS, id="abcdefghi")]),
        turn("tool", '{"sky": "blue", "t": 21.5}', name="get_weather", tool_call_id="abcdefghi"),
    ],
    "result_answered": [
        turn("user", "Weather?"),
        turn("assistant", "", tool_calls=[call("get_weather", ARGUMENTS, id="abcdefghi"), call("now", {}, id="123456789")]),
        turn("tool", "sunny", name="get_weather", tool_call_id="abcdefghi"),
        turn("tool", "12:00", name="now", tool_call_id="123456789"),
        turn("assistant", "It is sunny at noon.", reasoning_content="Noon."),
        turn("user", "Thanks"),
    ],
    "result_object": [
        turn("user", "Weather?"),
        turn("assistant", "", tool_calls=[call("get_weather", {"city": "Bern"}, id="abcdefghi")]),
        turn("tool", {"sky": "blue", "t": [21.5, 1e20, -0.0, True, None]}, name="get_weather", tool_call_id="abcdefghi"),
    ],
    "parts": [
        turn("system", [{"type": "text", "text": "Look."}]),
        turn("user", [{"type": "image"}, TEXT, {"type": "text", "text": " Hm?"}]),
        turn("assistant", [{"type": "text", "text": "A cat."}]),
        turn("user", [{"type": "image", "image": "x.png"}, {"type": "video"}, {"type": "audio"}, TEXT]),
    ],
    "parts_text": [turn("user", [TEXT]), turn("assistant", [{"type": "text", "text": "A cat."}])],
    "two_users": [turn("user", "a"), turn("user", "b")],
    "assistant_first": [turn("assistant", "I begin"), turn("user", "ok")],
    "late_system": [turn("user", "a"), turn("assistant", "b"), turn("system", "c"), turn("user", "d")],
    "strange_role": [turn("narrator", "Once"), turn("user", "upon")],
    "no_content": [{"role": "user"}],
    "number": [turn("user", 12.5), turn("assistant", True), turn("user", 3)],
    "empty_texts": [turn("system", ""), turn("user", ""), turn("assistant", "")],
    "empty": [],
}
VARIANTS = {
    "": {},
    "prompt": {"add_generation_prompt": True},
    "tools": {"tools": TOOLS},
    "tools_prompt": {"tools": TOOLS, "add_generation_prompt": True},
    "documents": {"documents": DOCUMENTS, "add_generation_prompt": True},
    "variables": {
        "add_generation_prompt": True,
        "variables": {"enable_thinking": False, "thinking": True, "reasoning_effort": "high", "preserve_thinking": True,
                      "date_string": "1 Jan 2025", "builtin_tools": ["python", "browser"], "tools_in_user_message": False,
                      "custom_tools": TOOLS, "keep_past_thinking": True, "model_identity": "You are M.", "controls": {"length": "long"}},
    },
    "empty_tools": {"tools": [], "documents": []},
}


def without_none(messages):
    return [{key: value for key, value in message.items() if value is not None} for message in messages]


def render(template, messages, variant):
    more = {key: value for key, value in variant.items() if key != "variables"}
    outputs, _ = render_jinja_template(
        [copy.deepcopy(without_none(messages))], chat_template=template, **SPECIAL, **variant.get("variables", {}), **more
    )
    return outputs[0]


def templates(path):
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {pathlib.PurePath(name).stem: wheel.read(name).decode() for name in wheel.namelist() if name.endswith(".jinja")}
    paths = sorted(path.glob("*.jinja")) if path.is_dir() else [path]
    return {file.stem: file.read_text(encoding="utf-8") for file in paths}


def main():
    found = templates(pathlib.Path(sys.argv[1]))
    cases = []
    for index, (name, source) in enumerate(found.items()):
        for conversation, messages in CONVERSATIONS.items():
            for label, variant in VARIANTS.items():
                case = {"name": f"{name} {conversation} {label}", "template": index, "messages": messages}
                case |= {key: value for key, value in variant.items() if key != "variables"}
                case["variables"] = {**SPECIAL, **variant.get("variables", {})}
                try:
                    case["expected"] = render(source, messages, variant)
                except Exception as error:  # whatever jinja2 or Python raises
                    case["raises"] = f"{type(error).__name__}: {str(error)[:200]}"
                cases.append(case)
    out = {"omit_null": True, "templates": list(found.values()), "cases": cases}
    pathlib.Path(sys.argv[2]).write_text(json.dumps(out), encoding="utf-8")
    raising = sum("raises" in case for case in cases)
    print(f"{len(found)} templates, {len(cases)} cases, {raising} of them refused")


if __name__ == "__main__":
    main()
