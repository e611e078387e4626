#!/usr/bin/env python3
"""Writes tests/fixtures/text/chat_formats.json: conversations in the named formats, as the programs write them that
those formats come from. Each is read from its wheel, without installing it.

    python -m pip download --no-deps transformers==4.42.4 fschat==0.2.36 torchtune==0.6.1 trl==1.16.0
    python tests/oracles/chat_formats.py FOLDER_OF_WHEELS

chatml, llama2: the default templates of transformers 4.42. vicuna, zephyr, guanaco, mistral: FastChat's conversations,
with the BOS that its tokenizers add. alpaca: torchtune's AlpacaToMessages. gemma, phi3, llama3: trl's templates.

Ran with: jinja2 3.1.6, transformers 5.23.0 (to render), CPython 3.11.7.
"""

import ast
import json
import pathlib
import re
import sys
import types
import zipfile

from transformers.utils.chat_template_utils import render_jinja_template

LLAMA = {"bos_token": "<s>", "eos_token": "</s>"}
SYSTEM = {"role": "system", "content": "You are a pirate."}
TURNS = [
    {"role": "user", "content": "Hello\nthere"},
    {"role": "assistant", "content": "Ahoy, matey!"},
    {"role": "user", "content": "Grüße 世界"},
    {"role": "assistant", "content": "Bye."},
]
CONVERSATIONS = [TURNS[:1], TURNS[:2], TURNS[:3], TURNS, [SYSTEM, *TURNS[:1]], [SYSTEM, *TURNS[:3]], [SYSTEM, *TURNS]]


def read(wheels, name, path):
    wheel = next(wheels.glob(f"{name}-*.whl"))
    return zipfile.ZipFile(wheel).read(path).decode("utf-8")


def default_template(source, class_name, **attributes):
    """The string that the method default_chat_template of a class returns."""
    tree = ast.parse(source)
    owner = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name)
    method = next(node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name == "default_chat_template")
    method.decorator_list = []
    scope = {"DEFAULT_SYSTEM_PROMPT": ""}
    exec(compile(ast.Module([method], []), class_name, "exec"), scope)
    return scope["default_chat_template"](types.SimpleNamespace(**attributes))


def by_template(template, special, messages, prompt):
    outputs, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=prompt, **special)
    return outputs[0]


def by_fastchat(module, name, messages, prompt):
    conversation = module["get_conv_template"](name)
    for message in messages:
        if message["role"] == "system":
            conversation.set_system_message(message["content"])
        else:
            conversation.append_message(conversation.roles[message["role"] == "assistant"], message["content"])
    if prompt:
        conversation.append_message(conversation.roles[1], None)
    return conversation.get_prompt()


def alpaca_prompts(source):
    """prompt_input and prompt_no_input of torchtune's AlpacaToMessages."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values):
                if isinstance(key, ast.Constant) and key.value in ("prompt_input", "prompt_no_input"):
                    found[key.value] = ast.literal_eval(value)
    return found


def main():
    wheels = pathlib.Path(sys.argv[1])
    cases = []

    def add(name, messages, prompt, expected):
        cases.append({"format": name, "messages": messages, "add_generation_prompt": prompt, "expected": expected})

    base = read(wheels, "transformers", "transformers/tokenization_utils_base.py")
    llama = read(wheels, "transformers", "transformers/models/llama/tokenization_llama.py")
    templates = {
        "chatml": (default_template(base, "PreTrainedTokenizerBase"), {}),
        "llama2": (default_template(llama, "LlamaTokenizer", use_default_system_prompt=False), LLAMA),
    }
    for name, special in {
        "gemma": {"bos_token": "<bos>", "eos_token": "<eos>"},
        "phi3": {"bos_token": "<s>", "eos_token": "<|endoftext|>"},
        "llama3": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    }.items():
        templates[name] = (read(wheels, "trl", f"trl/chat_templates/{name}.jinja"), special)
    for name, (template, special) in templates.items():
        for messages in CONVERSATIONS:
            if name == "gemma" and messages[0] is SYSTEM:
                continue  # refused there
            for prompt in (False, True):
                add(name, messages, prompt, by_template(template, special, messages, prompt))

    module = {"__name__": "conversation"}
    sys.modules["conversation"] = types.ModuleType("conversation")  # dataclasses look their module up
    exec(read(wheels, "fschat", "fastchat/conversation.py"), module)
    theirs = {"vicuna": "vicuna_v1.1", "zephyr": "zephyr", "guanaco": "zero_shot", "mistral": "mistral"}
    for name, conversation in theirs.items():
        bos = "" if name == "zephyr" else "<s>"
        for messages in CONVERSATIONS:
            for prompt in (False, True):
                if prompt and messages[-1]["role"] == "assistant":
                    continue
                if name == "zephyr" and messages[0] is not SYSTEM:
                    continue  # FastChat writes an empty system turn, which the model's own template does not
                if name == "mistral" and not prompt and messages[-1]["role"] == "user":
                    continue  # [/INST], which ends the user's turn, is FastChat's opening of the answer
                add(name, messages, prompt, bos + by_fastchat(module, conversation, messages, prompt))

    prompts = alpaca_prompts(read(wheels, "torchtune", "torchtune/data/_messages.py"))
    for instruction, given in (("Translate.", "Grüße\n世界"), ("Say hi.", "")):
        kind = "prompt_input" if given else "prompt_no_input"
        prompt = "<s>" + prompts[kind].format(instruction=instruction, input=given)
        messages = [{"role": "user", "content": instruction, **({"input": given} if given else {})}]
        add("alpaca", messages, True, prompt)
        add("alpaca", [*messages, {"role": "assistant", "content": "Done."}], False, prompt + "Done.</s>")

    path = pathlib.Path(__file__).parent.parent / "fixtures" / "text" / "chat_formats.json"
    path.write_text(json.dumps({"cases": cases}, indent=1) + "\n", encoding="utf-8")
    print(f"{len(cases)} cases of {len({case['format'] for case in cases})} formats")


if __name__ == "__main__":
    main()
