#!/usr/bin/env python3
"""Writes tests/fixtures/training/datasets.json: rows of data in the shapes of TRL and Axolotl with the ids and labels that
these make of them, and the bins of TRL's pack_dataset.

Ran with: trl 1.16.0, transformers 5.23.0, datasets 5.2.0, torch 2.11.0, CPython 3.11, and the source of Axolotl
(github.com/axolotl-ai-cloud/axolotl, commit 067b021c8b87a9e5e380b9173c704cf7340e30f5) with colorama and addict.

    PYTHONPATH=<axolotl>/src python tests/oracles/training_data.py
"""

import json
import pathlib
import random
import tempfile

from axolotl.prompt_strategies.chat_template import ChatTemplatePrompter, ChatTemplateStrategy
from axolotl.prompt_strategies.completion import CompletionPrompter, CompletionPromptTokenizingStrategy
from axolotl.prompt_strategies.input_output import RawInputOutputPrompter, RawInputOutputStrategy
from axolotl.prompt_tokenizers import AlpacaPromptTokenizingStrategy
from axolotl.prompters import AlpacaPrompter
from datasets import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer, pack_dataset

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
# The tokenizer.json of tests/fixtures/text, and what a tokenizer_config.json says beside it.
TOKENIZERS = {
    "smollm": {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"},
    "llama3": {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"},
}
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    # A system message of its own where there is none, and content trimmed.
    "default_system": "{% if messages[0].role != 'system' %}<|im_start|>system\nBe brief.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    # Words next to the content: its first token begins with the blank before it.
    "vicuna": "{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }} {% elif m.role == 'assistant' %}"
    "ASSISTANT: {{ m.content }}{{ eos_token }}{% else %}{{ m.content }} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    # The system message inside the first user turn; turns must alternate.
    "folded": "{% set s = messages[0].content if messages[0].role == 'system' else none %}"
    "{% set turns = messages[1:] if s is not none else messages %}{% for m in turns %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}[INST] {% if loop.first and s is not none %}<<{{ s }}>> {% endif %}{{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
    # Two ends: one of the turn and EOS behind it.
    "two_ends": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|endoftext|><|im_end|>\n{% endfor %}",
    # No end of turn at all.
    "endless": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
}
GENERATION = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "<|im_end|>{% endgeneration %}\n{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def turns(*contents, system=None, names=("user", "assistant")):
    out = [{"role": "system", "content": system}] if system else []
    return out + [{"role": names[i % 2], "content": content} for i, content in enumerate(contents)]


CONVERSATIONS = {
    "one": turns("What is two and two?", "Four."),
    "system": turns("Hello there", "Hi! How are you?", "Fine.", "Good to hear.", system="You are kind."),
    "same": turns("yes", "yes", "yes", "yes", "yes", "yes"),
    "unicode": turns("Grüße 世界", "👋🏽 Ääh, 世界! é", "😀", "😀 ja"),
    "blanks": turns("  a  \n\n b", "  \n x  y \t", " c", "d\n"),
    "last_is_user": turns("One", "Two", "Three"),
    "markers": turns("#other#", "# a heading #", "@", "@%#"),
    "digits": turns("1 + 1", "2", "2 + 2", "4"),
}


def tokenizer_of(name):
    return PreTrainedTokenizerFast(
        tokenizer_file=str(FIXTURES / "text" / name / "tokenizer.json"), **TOKENIZERS[name]
    )


def axolotl_chats(name):
    cases = []
    for template, source in TEMPLATES.items():
        for conversation, messages in CONVERSATIONS.items():
            for eos in ("turn", "all", "last", None):
                for inputs, roles in ((False, ["assistant"]), (True, ["assistant"]), (False, ["user"])):
                    if eos != "turn" and (inputs or roles == ["user"]):
                        continue
                    tokenizer = tokenizer_of(name)
                    strategy = ChatTemplateStrategy(
                        ChatTemplatePrompter(tokenizer, chat_template=source),
                        tokenizer=tokenizer,
                        train_on_inputs=inputs,
                        sequence_len=2048,
                        roles_to_train=roles,
                        train_on_eos=eos,
                        eot_tokens=["<|endoftext|>"] if template == "two_ends" else None,
                    )
                    out = strategy.tokenize_prompt({"messages": messages})
                    cases.append(
                        {
                            "tokenizer": name,
                            "template": template,
                            "conversation": conversation,
                            "train_on_eos": eos or "none",
                            "train_on_inputs": inputs,
                            "roles_to_train": roles,
                            "eot_tokens": ["<|endoftext|>"] if template == "two_ends" else [],
                            "ids": out["input_ids"],
                            "labels": out["labels"],
                        }
                    )
    return cases


ALPACA = [
    {"instruction": "Name a colour.", "input": "", "output": "Blue."},
    {"instruction": "Add.", "input": "1 and 2", "output": " 3 \n"},
    {"instruction": "Übersetze", "input": "世界", "output": "world<|im_end|>"},
    {"instruction": "Say nothing.", "output": "ok"},
]
SEGMENTS = [
    [{"label": False, "text": "<|im_start|>user\nhi"}, {"label": True, "text": " there you<|im_end|>"}],
    [{"label": True, "text": "a"}, {"label": False, "text": ""}, {"label": True, "text": " b c"}],
]
TEXTS = ["A text of some words.", "Ends already.<|im_end|>", "世界 " * 40, "x"]


def axolotl_plain(name):
    cases = []
    for inputs in (False, True):
        tokenizer = tokenizer_of(name)
        common = {"tokenizer": name, "train_on_inputs": inputs}
        alpaca = AlpacaPromptTokenizingStrategy(AlpacaPrompter(), tokenizer, inputs, 2048)
        for row in ALPACA:
            out = alpaca.tokenize_prompt(row)
            cases.append({**common, "type": "alpaca", "row": row, "ids": [out["input_ids"]], "labels": [out["labels"]]})
        segments = RawInputOutputStrategy(RawInputOutputPrompter(), tokenizer, inputs, 2048)
        for row in SEGMENTS:
            out = segments.tokenize_prompt({"segments": row})
            case = {**common, "type": "input_output", "row": {"segments": row}}
            cases.append({**case, "ids": [out["input_ids"]], "labels": [out["labels"]]})
        completion = CompletionPromptTokenizingStrategy(CompletionPrompter(), tokenizer, inputs, 16, max_length=16 * 64)
        for text in TEXTS:
            out = completion.tokenize_prompt({"text": [text]})
            case = {**common, "type": "completion", "row": {"text": text}}
            cases.append({**case, "ids": out["input_ids"], "labels": out["labels"]})
    return cases


def trl_rows(name, rows, chat_template, **config):
    tokenizer = tokenizer_of(name)
    tokenizer.chat_template = chat_template
    model = GPT2LMHeadModel(GPT2Config(vocab_size=512, n_embd=8, n_layer=1, n_head=1, n_positions=32))
    with tempfile.TemporaryDirectory() as folder:
        args = SFTConfig(output_dir=folder, max_length=None, report_to=[], use_cpu=True, bf16=False, **config)
        trainer = SFTTrainer(model=model, args=args, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
        made = trainer.train_dataset
    return [(list(row["input_ids"]), list(row["labels"])) for row in made]


def trl_shapes(name):
    strings = [
        {"prompt": "The sky is", "completion": " blue."},
        {"prompt": "2 + 2 = ", "completion": "4"},
        {"prompt": "half a wo", "completion": "rd, and on"},
        {"prompt": "Ends", "completion": " itself<|im_end|>"},
    ]
    chats = [
        {"prompt": messages[:-1], "completion": messages[-1:]}
        for conversation, messages in CONVERSATIONS.items()
        if conversation != "last_is_user"
    ]
    whole = [{"messages": messages} for messages in CONVERSATIONS.values()]
    cases = []
    for rows, template, config in (
        (strings, CHATML, {}),
        (strings, CHATML, {"completion_only_loss": False}),
        (chats, CHATML, {}),
        (chats, TEMPLATES["default_system"], {}),
        (chats, TEMPLATES["vicuna"], {}),
        (whole, GENERATION, {"assistant_only_loss": True}),
    ):
        for row, (ids, labels) in zip(rows, trl_rows(name, rows, template, **config), strict=True):
            cases.append(
                {
                    "tokenizer": name,
                    "template": template,
                    "train_on_inputs": config.get("completion_only_loss") is False,
                    "row": row,
                    "ids": ids,
                    "labels": labels,
                }
            )
    return cases


def packed(lengths, length, strategy):
    rows = [[row * 100000 + i for i in range(count)] for row, count in enumerate(lengths)]
    made = pack_dataset(Dataset.from_dict({"input_ids": rows}), seq_length=length, strategy=strategy)
    bins = []
    for row in made:
        fragments = []  # [row, begin, end]
        documents = row.get("seq_lengths") or [len(row["input_ids"])]
        starts = {sum(documents[:i]) for i in range(len(documents))}
        for at, token in enumerate(row["input_ids"]):
            of, i = divmod(token, 100000)
            if fragments and fragments[-1][0] == of and fragments[-1][2] == i and at not in starts:
                fragments[-1][2] = i + 1
            else:
                fragments.append([of, i, i + 1])
        bins.append(fragments)
    return bins


def packing():
    generator = random.Random(6)
    lists = [[5, 2, 3, 1], [1], [4, 4, 4], [0, 3, 0, 9, 2]]
    lists += [[generator.randint(1, 40) for _ in range(120)] for _ in range(3)]
    lists += [[int(generator.lognormvariate(3, 1)) for _ in range(300)]]
    lists += [[generator.randint(1, 64) for _ in range(2300)]]  # datasets maps 1000 rows at a time
    cases = []
    for lengths in lists:
        for length in (4, 32, 100) if len(lengths) < 1000 else (64,):
            for strategy in ("bfd", "bfd_split", "wrapped"):
                bins = packed(lengths, length, strategy)
                cases.append({"lengths": lengths, "length": length, "strategy": strategy, "bins": bins})
    return cases


def main():
    out = {
        "tokenizers": TOKENIZERS,
        "templates": TEMPLATES,
        "conversations": CONVERSATIONS,
        "axolotl_chats": [case for name in TOKENIZERS for case in axolotl_chats(name)],
        "axolotl_plain": [case for name in TOKENIZERS for case in axolotl_plain(name)],
        "trl": [case for name in TOKENIZERS for case in trl_shapes(name)],
        "packing": packing(),
    }
    path = FIXTURES / "training" / "datasets.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print({key: len(value) for key, value in out.items()}, path.stat().st_size)


if __name__ == "__main__":
    main()
