#!/usr/bin/env python3
"""Writes tests/fixtures/text/chat_masks.json: templates with {% generation %} blocks, conversations, and the ids and
assistant masks that transformers' apply_chat_template makes of them with the tokenizers of the fixtures.

Ran with: jinja2 3.1.6, transformers 5.23.0, tokenizers 0.23.3, CPython 3.11.7.

    python tests/oracles/chat_masks.py
"""

import json
import pathlib

from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures" / "text"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "<|im_end|>\n{% endgeneration %}{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "no_block": "{% for m in messages %}{{ m.content }}{% endfor %}",
    "glued": "{% for m in messages %}{% if m.role == 'assistant' %}{%- generation -%} {{ m.content }} {%- endgeneration -%}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}",
    "leading_blank": "{% for m in messages %}{{ m.role }}:{% generation %} {{ m.content }}{% endgeneration %};{% endfor %}",
    "inside_words": "{% for m in messages %}pre{% generation %}{{ m.content }}{% endgeneration %}post{% endfor %}",
    "all": "{% generation %}{% for m in messages %}{{ m.content }}{% endfor %}{% endgeneration %}",
    "nested": "a{% generation %}b{% generation %}{{ messages[0].content }}{% endgeneration %}c{% endgeneration %}d e f g",
    "macro": "{% macro g(x) %}<<{% generation %}{{ x }}{% endgeneration %}>>{% endmacro %}"
    "{% for m in messages %}{{ m.role }} {{ g(m.content) }}\n{% endfor %}",
    "set_block": "{% set t %}{% generation %}{{ messages[0].content }}{% endgeneration %}{% endset %}xyz {{ t }} {{ t }}",
    "filter_block": "some words {% filter upper %}in {% generation %}{{ messages[0].content }}{% endgeneration %}{% endfilter %} end",
    "recursive": "head {% for m in messages recursive %}{{ m.role }} {% generation %}{{ m.content }}{% endgeneration %}"
    "{% if loop.depth0 == 0 %}{{ loop([m]) }}{% endif %}{% endfor %}tail",
    "with_block": "{% with a = 1 %}w {% generation %}{{ messages[0].content }}{% endgeneration %}{% endwith %} z",
    "call_block": "{% macro f() %}({{ caller() }}){% endmacro %}one {% call f() %}{% generation %}{{ messages[0].content }}"
    "{% endgeneration %}{% endcall %} two",
    "empty_block": "abc def {% generation %}{% endgeneration %} ghi jkl",
    "empty_first": "{% generation %}{% endgeneration %}abc",
    "first_letter": "{% generation %}a{% endgeneration %}bc d e",
    "first_token": "{% generation %}Hello{% endgeneration %} world it is",
    "last": "Hello world{% generation %} it is{% endgeneration %}",
    "beyond": "{% macro g(x) %}{% generation %}{{ x }}{% endgeneration %}{% endmacro %}ab{{ g('long long text')[:2] }}{{ g('x') }}",
}
CONVERSATIONS = {
    "plain": [("user", "Hello there"), ("assistant", "Hi! How are you?"), ("user", "Fine."), ("assistant", " Good ")],
    "unicode": [("user", "Grüße 世界"), ("assistant", "👋🏽 Ääh, 世界! é"), ("user", "😀"), ("assistant", "😀")],
    "blanks": [("user", "  a  \n\n b"), ("assistant", "  \n x  y \t"), ("user", ""), ("assistant", "")],
    "one": [("assistant", "word")],
    "special": [("user", "<|im_end|>"), ("assistant", "a <|im_end|> b<|im_start|>")],
}
TOKENIZERS = ["smollm", "llama3", "qwen2", "gpt2", "gpt2_prefix", "cased", "trimmed"]


def tokenizer_file(name):
    if name != "trimmed":
        return FIXTURES / name / "tokenizer.json"
    # gpt2's with a post-processor that trims offsets.
    description = json.loads((FIXTURES / "gpt2" / "tokenizer.json").read_text(encoding="utf-8"))
    description["post_processor"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    path = FIXTURES / "trimmed" / "tokenizer.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(description, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    return path


def main():
    cases = []
    for name in TOKENIZERS:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file(name)))
        for template, source in TEMPLATES.items():
            for conversation, turns in CONVERSATIONS.items():
                messages = [{"role": role, "content": content} for role, content in turns]
                case = {"tokenizer": name, "template": template, "conversation": conversation}
                text, spans = render_jinja_template([messages], chat_template=source, return_assistant_tokens_mask=True)
                case["text"] = text[0]
                try:
                    out = tokenizer.apply_chat_template(
                        messages, chat_template=source, return_assistant_tokens_mask=True, return_dict=True
                    )
                    case["ids"], case["mask"] = out["input_ids"], out["assistant_masks"]
                except OverflowError as error:
                    case["raises"] = str(error)
                # Byte spans of what was marked, where the marks lie in the text.
                encoded = [len(text[0][:at].encode()) for span in spans[0] for at in span]
                case["spans"] = [encoded[i : i + 2] for i in range(0, len(encoded), 2)]
                cases.append(case)
    conversations = {
        name: [{"role": role, "content": content} for role, content in turns] for name, turns in CONVERSATIONS.items()
    }
    out = {"templates": TEMPLATES, "conversations": conversations, "cases": cases}
    (FIXTURES / "chat_masks.json").write_text(json.dumps(out) + "\n", encoding="utf-8")
    marked = sum(any(case.get("mask", [])) for case in cases)
    print(f"{len(cases)} cases, {marked} with a mask, {sum('raises' in case for case in cases)} refused")


if __name__ == "__main__":
    main()
