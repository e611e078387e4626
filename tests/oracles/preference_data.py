#!/usr/bin/env python3
"""Writes tests/fixtures/training/preferences.json: rows of preference data with the prompts, completions and cut sequences
that TRL's own preparation and collators make of them, and Axolotl's types in front of TRL.

Ran with: trl 1.16.0, transformers 5.23.0, datasets 5.2.0, CPython 3.11, and the source of Axolotl
(github.com/axolotl-ai-cloud/axolotl, commit 067b021c8b87a9e5e380b9173c704cf7340e30f5) with colorama and addict.

    PYTHONPATH=<axolotl>/src python tests/oracles/preference_data.py
"""

import copy
import json
import types

from axolotl.prompt_strategies.dpo import chat_template as axolotl_chat
from axolotl.prompt_strategies.dpo import chatml, llama3
from axolotl.prompt_strategies.kto import chatml as kto_chatml
from axolotl.utils.dict import DictDefault
from datasets import Dataset
from training_data import CHATML, FIXTURES, TOKENIZERS
from transformers import PreTrainedTokenizerFast
from trl import DPOTrainer, KTOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

# Renders the prompt alone otherwise than in front of an answer, as Gemma 4 does.
THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think></think>\n{% endif %}"
)
TEMPLATES = {"chatml": CHATML, "thinking": THINKING}


def say(role, content):
    return {"role": role, "content": content}


TEXT_PAIRS = [
    {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
    {"prompt": "Merges: un", "chosen": "believable", "rejected": " likely"},
    {"prompt": "Ends already", "chosen": " yes<|im_end|>", "rejected": ""},
    {"prompt": "", "chosen": "世界 Grüße", "rejected": "👋🏽"},
    {"prompt": "Same", "chosen": " same", "rejected": " same"},
    {"prompt": "A long prompt of many words that fills the row " * 3, "chosen": " a b c d e f g h", "rejected": " z"},
]
IMPLICIT_PAIRS = [
    {"chosen": "The sky is blue.", "rejected": "The sky is green."},
    {"chosen": "Grüße an 世界", "rejected": "Grüße an 世間"},
    {"chosen": "same text", "rejected": "same text"},
    {"chosen": "begins", "rejected": "begins and goes on"},
    {"chosen": "äx", "rejected": "öx"},
]
CHAT_PAIRS = [
    {
        "prompt": [say("user", "What color is the sky?")],
        "chosen": [say("assistant", "It is blue.")],
        "rejected": [say("assistant", "It is green.")],
    },
    {
        "prompt": [say("system", "Be kind."), say("user", "Hi"), say("assistant", "Hello"), say("user", "Grüße 世界")],
        "chosen": [say("assistant", "")],
        "rejected": [say("assistant", "No."), say("user", "Why?"), say("assistant", "So.")],
    },
]
IMPLICIT_CHATS = [
    {
        "chosen": [say("user", "What color is the sky?"), say("assistant", "It is blue.")],
        "rejected": [say("user", "What color is the sky?"), say("assistant", "It is green.")],
    },
    {
        "chosen": [say("user", "a"), say("assistant", "b")],
        "rejected": [say("user", "a"), say("assistant", "b")],
    },
]
LABELLED = [
    {"prompt": "The sky is", "completion": " blue.", "label": True},
    {"prompt": "The sun is", "completion": " in the sea.", "label": False},
    {"prompt": "One and one is", "completion": " two<|im_end|>", "label": True},
    {"prompt": "A long prompt of many words " * 3, "completion": " short", "label": False},
    {"prompt": "Last", "completion": " of an odd batch", "label": True},
]
LABELLED_CHATS = [
    {"prompt": [say("user", "Hi")], "completion": [say("assistant", "Hello!")], "label": True},
    {"prompt": [say("user", "Bye")], "completion": [say("assistant", "What?")], "label": False},
]
AXOLOTL = [
    ("chatml.default", chatml.default, {"instruction": "Say it", "chosen_response": "it", "rejected_response": "no"}),
    ("chatml.default", chatml.default, {"system": "S", "prompt": "Say it", "chosen": "it", "rejected": "no"}),
    ("chatml.argilla_chat", chatml.argilla_chat,
     {"chosen": [say("user", "a"), say("assistant", "b")], "rejected": [say("user", "a"), say("assistant", "c")]}),
    ("chatml.icr", chatml.icr, {"system": "", "input": "Q", "chosen": "x", "rejected": "y"}),
    ("chatml.intel", chatml.intel, {"system": "Be", "question": "Q", "chosen": "x", "rejected": "y"}),
    ("chatml.prompt_pairs", chatml.prompt_pairs, {"prompt": "Q", "chosen": "x", "rejected": "y"}),
    ("chatml.ultra", chatml.ultra,
     {"prompt": "a", "chosen": [say("user", "a"), say("assistant", "b")], "rejected": [say("user", "a"), say("assistant", "c")]}),
    ("llama3.intel", llama3.intel, {"system": "Be", "question": "Q", "chosen": "x", "rejected": "y"}),
    ("llama3.ultra", llama3.ultra,
     {"prompt": "a", "chosen": [say("user", "a"), say("assistant", "b")], "rejected": [say("user", "a"), say("assistant", "c")]}),
]
AXOLOTL_LABELLED = [
    ("chatml.argilla", kto_chatml.argilla, {"instruction": "Say it", "completion": "it", "label": True}),
    ("chatml.intel", kto_chatml.intel, {"system": "S", "question": "Q", "completion": "x", "label": False}),
    ("chatml.ultra", kto_chatml.ultra, {"prompt": "Q", "completion": "x", "label": False}),
]
AXOLOTL_CHATS = [
    ({"type": "chat_template.default"},
     {"messages": [say("user", "Hi"), say("assistant", "Yes?"), say("user", "  Go on ")],
      "chosen": say("assistant", "All right."), "rejected": say("assistant", "No.")}),
    ({"type": "chat_template.default", "field_messages": "conversation", "field_chosen": "better",
      "field_rejected": "worse", "message_property_mappings": {"role": "from", "content": "value"},
      "roles": {"user": ["human"], "assistant": ["gpt"], "system": ["system"]}},
     {"conversation": [{"from": "human", "value": "Hi"}], "better": {"from": "gpt", "value": "Hello"},
      "worse": {"from": "gpt", "value": "What"}}),
    ({"type": "chat_template.default"}, {"messages": "Only text", "chosen": "good", "rejected": "bad"}),
    ({"type": "chat_template.argilla_chat"},
     {"chosen": [say("user", "a"), say("assistant", "b")], "rejected": [say("user", "a"), say("assistant", "c")]}),
]


def tokenizer_of(name, template=None):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(FIXTURES / "text" / name / "tokenizer.json"), pad_token="<|endoftext|>", **TOKENIZERS[name]
    )
    tokenizer.chat_template = template
    return tokenizer


def arguments(max_length, mode="keep_start", batch=2):
    return types.SimpleNamespace(
        dataset_num_proc=None, max_length=max_length, truncation_mode=mode, per_device_train_batch_size=batch
    )


def rows_of(padded, prefix=""):
    return [
        {
            "ids": [i for i, a in zip(ids.tolist(), mask.tolist()) if a],
            "completion": [c for c, a in zip(done.tolist(), mask.tolist()) if a],
        }
        for ids, mask, done in zip(
            padded[prefix + "input_ids"], padded[prefix + "attention_mask"], padded[prefix + "completion_mask"]
        )
    ]


def pairs(tokenizer, rows, max_length=None, mode="keep_start"):
    """[chosen and rejected as the model sees them] of the rows that are left, with their numbers."""
    owner = types.SimpleNamespace(_tokenizer=tokenizer)
    rows = [{**copy.deepcopy(row), "number": i} for i, row in enumerate(rows)]
    data = DPOTrainer._prepare_dataset(owner, Dataset.from_list(rows), tokenizer, arguments(max_length, mode), "train")
    sequences = rows_of(DataCollatorForPreference(0, max_length, mode)(list(data))) if len(data) else []
    return [
        {"row": row["number"], "chosen": sequences[i], "rejected": sequences[len(data) + i]}
        for i, row in enumerate(data)
    ]


def labelled(tokenizer, rows, max_length=None, batch=2):
    owner = types.SimpleNamespace(
        _tokenizer=tokenizer, calculate_KL=True, desirable_weight=1.0, undesirable_weight=1.0
    )
    rows = [{**copy.deepcopy(row), "number": i} for i, row in enumerate(rows)]
    data = KTOTrainer._prepare_dataset(
        owner, Dataset.from_list(rows), tokenizer, arguments(max_length, batch=batch), "train"
    )
    padded = DataCollatorForUnpairedPreference(0, max_length)(list(data))
    return [
        {"row": row["number"], "completion": one, "mismatched": other, "label": row["label"]}
        for row, one, other in zip(data, rows_of(padded), rows_of(padded, "KL_"))
    ]


def axolotl_pairs(tokenizer):
    cases = []
    for name, make, row in AXOLOTL:
        texts = make(DictDefault({}))(copy.deepcopy(row))
        texts = {key: texts[key] for key in ("prompt", "chosen", "rejected")}
        cases.append({"source": {"type": name}, "data": row, "rows": pairs(tokenizer, [texts])})
    return cases


def axolotl_labelled(tokenizer):
    cases = []
    for name, make, row in AXOLOTL_LABELLED:
        texts = make(DictDefault({}))(copy.deepcopy(row))
        texts = {key: texts[key] for key in ("prompt", "completion", "label")}
        cases.append({"source": {"type": name}, "data": row, "rows": labelled(tokenizer, [texts])})
    return cases


def axolotl_chats(tokenizer):
    cases = []
    for source, row in AXOLOTL_CHATS:
        make = getattr(axolotl_chat, source["type"].split(".")[1])
        config = DictDefault({"datasets": [source], "chat_template": "tokenizer_default"})
        texts = make(config, 0)[0](copy.deepcopy(row), tokenizer=tokenizer)
        texts = {key: texts[key] for key in ("prompt", "chosen", "rejected")}
        cases.append({"source": source, "data": row, "rows": pairs(tokenizer, [texts])})
    return cases


def main():
    cases = []
    for name in TOKENIZERS:
        for template, source in TEMPLATES.items():
            tokenizer = tokenizer_of(name, source)
            for data in (CHAT_PAIRS, IMPLICIT_CHATS):
                for length, mode in ((None, "keep_start"), (16, "keep_start"), (10, "keep_end")):
                    cases.append({"tokenizer": name, "template": template, "max_length": length or 0, "mode": mode,
                                  "data": data, "pairs": pairs(tokenizer, data, length, mode)})
            cases.append({"tokenizer": name, "template": template, "max_length": 0, "mode": "keep_start",
                          "data": LABELLED_CHATS, "labelled": labelled(tokenizer, LABELLED_CHATS)})
        tokenizer = tokenizer_of(name)
        for data in (TEXT_PAIRS, IMPLICIT_PAIRS):
            for length, mode in ((None, "keep_start"), (8, "keep_start"), (6, "keep_end")):
                cases.append({"tokenizer": name, "template": "", "max_length": length or 0, "mode": mode,
                              "data": data, "pairs": pairs(tokenizer, data, length, mode)})
            cases.append({"tokenizer": name, "template": "", "max_length": 12, "mode": "keep_start", "data": data,
                          "labelled": labelled(tokenizer, data, 12)})
        cases.append({"tokenizer": name, "template": "", "max_length": 10, "mode": "keep_start", "data": LABELLED,
                      "labelled": labelled(tokenizer, LABELLED, 10)})
    plain = tokenizer_of("smollm", CHATML)
    out = {
        "tokenizers": TOKENIZERS,
        "templates": TEMPLATES,
        "cases": cases,
        "axolotl_pairs": axolotl_pairs(plain) + axolotl_chats(plain),
        "axolotl_labelled": axolotl_labelled(plain),
    }
    path = FIXTURES / "training" / "preferences.json"
    path.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(path, len(cases), "cases,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
