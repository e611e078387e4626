#!/usr/bin/env python3
"""Writes tests/fixtures/text/chat_inputs.json: what apply_chat_template does with its inputs before the template sees
them: continue_final_message, null members, names of thoughts, several templates, and every place where they are stored.

Ran with: jinja2 3.1.6, transformers 5.23.0, CPython 3.11.7.

    python tests/oracles/chat_inputs.py
"""

import json
import pathlib
import shutil
import tempfile

from transformers import PreTrainedTokenizerFast

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures" / "text"
TOKENIZER = FIXTURES / "smollm" / "tokenizer.json"
PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
TRIM = PLAIN.replace("m.content", "m.content | trim")
PARTS = "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text if 'text' in p else '[image]' }}|{% endfor %}{% endif %}</>{% endfor %}"
THINK = "{% for m in messages %}<{{ m.role }}>{{ m.thinking }}~{{ m.reasoning_content }}~{{ m.content }}</>{% endfor %}"
UPPER = PLAIN.replace("m.content", "m.content | upper")
SHOWN = "{{ messages }}|{{ tools }}|{{ documents }}"
REVERSED = PLAIN.replace("in messages", "in messages[::-1]")


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


TEXTS = {"type": "text", "text": "one"}, {"type": "text", "text": "two "}, {"type": "image"}
CONTINUE = [
    (PLAIN, [turn("user", "Hi"), turn("assistant", "So I ")], "content"),
    (PLAIN, [turn("user", "Hi"), turn("assistant", "So I")], "content"),
    (PLAIN, [turn("user", "Hi"), turn("assistant", "")], "content"),
    (PLAIN, [turn("user", "So"), turn("assistant", "So")], "content"),
    (TRIM, [turn("user", "Hi"), turn("assistant", "So I \n")], "content"),
    (TRIM, [turn("user", "Hi"), turn("assistant", "\u2003So I\u00a0")], "content"),
    (UPPER, [turn("user", "Hi"), turn("assistant", "So")], "content"),
    (REVERSED, [turn("user", "Hi"), turn("assistant", "So")], "content"),
    (PARTS, [turn("user", "Hi"), turn("assistant", list(TEXTS))], "content"),
    (PARTS, [turn("user", "Hi"), turn("assistant", list(TEXTS[2:]))], "content"),
    (THINK, [turn("user", "Hi"), turn("assistant", "C", reasoning_content="R")], "reasoning_content"),
    (THINK, [turn("user", "Hi"), turn("assistant", "C", thinking="R ")], "thinking"),
    (THINK, [turn("user", "Hi"), turn("assistant", "C", reasoning="R")], "reasoning"),
    (THINK, [turn("user", "Hi"), turn("assistant", "C", reasoning="A", thinking="B")], "thinking"),
    (THINK, [turn("user", "Hi"), turn("assistant", "C")], "thinking"),
    (THINK, [turn("user", "Hi"), turn("assistant", "C", thinking="R")], "content"),
    (PLAIN, [turn("user", "Hi"), turn("assistant", "C", note="n")], "note"),
    (PLAIN, [turn("user", "Hi"), turn("assistant", None)], "content"),
    (PLAIN, [turn("user", "Hi"), turn("assistant", 5)], "content"),
    (PLAIN, [turn("user", "CONTINUE_FINAL_MESSAGE_TAG x"), turn("assistant", "C")], "content"),
    ("{{ messages[0].content }}", [turn("user", "Hi"), turn("assistant", "C")], "content"),
]
NONE = [
    [turn("user", None), turn("assistant", "x", tool_calls=None, name=None)],
    [turn("assistant", "x", reasoning=None, thinking="t"), {"role": "tool", "content": {"a": None}}],
    [turn("assistant", None, reasoning_content="r")],
]
SPECIAL = {"bos_token": "<|im_start|>"}
FOLDERS = {
    "config_text": {"tokenizer_config.json": {"chat_template": "config", **SPECIAL}},
    "config_list": {
        "tokenizer_config.json": {
            "chat_template": [{"name": "default", "template": "config default"}, {"name": "tool_use", "template": "config tools"}]
        }
    },
    "config_no_default": {"tokenizer_config.json": {"chat_template": [{"name": "rag", "template": "r"}, {"name": "tool_use", "template": "t"}]}},
    "config_neither": {"tokenizer_config.json": {"chat_template": [{"name": "rag", "template": "r"}, {"name": "b", "template": "t"}]}},
    "file": {"tokenizer_config.json": {"chat_template": "config"}, "chat_template.jinja": "file"},
    "file_and_list": {
        "tokenizer_config.json": {"chat_template": [{"name": "default", "template": "config"}, {"name": "tool_use", "template": "t"}]},
        "chat_template.jinja": "file",
    },
    "files": {
        "tokenizer_config.json": {"chat_template": "config"},
        "chat_template.jinja": "file",
        "additional_chat_templates/tool_use.jinja": "file tools",
        "additional_chat_templates/rag.jinja": "file rag",
    },
    "files_no_default": {"tokenizer_config.json": {"chat_template": "config"}, "additional_chat_templates/rag.jinja": "file rag"},
    "none": {"tokenizer_config.json": {}},
}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]


def attempt(tokenizer, messages, **more):
    try:
        return {"expected": tokenizer.apply_chat_template(messages, tokenize=False, **more)}
    except Exception as error:  # whatever transformers raises
        return {"raises": f"{type(error).__name__}: {str(error)[:100]}"}


def folders():
    cases = []
    for name, files in FOLDERS.items():
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(TOKENIZER, folder)
            for file, content in files.items():
                path = pathlib.Path(folder) / file
                path.parent.mkdir(exist_ok=True)
                path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        messages = [turn("user", "Hi")]
        case = {"name": name, "files": {f: c if isinstance(c, str) else json.dumps(c) for f, c in files.items()}}
        case["plain"] = attempt(tokenizer, messages)
        case["tools"] = attempt(tokenizer, messages, tools=TOOLS)
        # transformers takes a name that it does not know for a template; we refuse it.
        known = isinstance(tokenizer.chat_template, dict) and "rag" in tokenizer.chat_template
        case["rag"] = attempt(tokenizer, messages, chat_template="rag") if known else {"raises": "unknown name"}
        cases.append(case)
    return cases


def main():
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(TOKENIZER))
    continued = [
        {"template": template, "messages": messages, "key": key,
         **attempt(tokenizer, messages, chat_template=template, continue_final_message=key)}
        for template, messages, key in CONTINUE
    ]
    nulls = [{"template": SHOWN, "messages": messages, **attempt(tokenizer, messages, chat_template=SHOWN)} for messages in NONE]
    out = {"continue": continued, "omit_null": nulls, "folders": folders()}
    (FIXTURES / "chat_inputs.json").write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    print(f"{len(continued)} continued, {sum('raises' in case for case in continued)} of them refused; {len(out['folders'])} folders")


if __name__ == "__main__":
    main()
