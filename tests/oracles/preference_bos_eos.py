#!/usr/bin/env python3
"""Writes tests/fixtures/training/preferences_bos_eos.json: the pairs of preferences.json as TRL's ORPO trainer (and CPO's, by
the same code) makes sequences of them, with BOS in front and EOS behind wherever they are missing.

Ran with: trl 1.16.0, transformers 5.23.0, CPython 3.11.
"""
import copy
import json
import pathlib
import types

from accelerate import PartialState
from transformers import PreTrainedTokenizerFast
from trl.data_utils import maybe_apply_chat_template, maybe_extract_prompt
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures"
LENGTH = 24  # cuts some; a row whose prompt fills it has empty completions in TRL, and is left out here and with us


def sequence(row, side):
    ids, labels = row[f"{side}_input_ids"], row[f"{side}_labels"]
    return {"ids": ids, "completion": [int(label != -100) for label in labels]}


def rows_of(trainer, tokenizer, data):
    owner = types.SimpleNamespace(processing_class=tokenizer, is_encoder_decoder=False, max_length=LENGTH)
    owner.build_tokenized_answer = types.MethodType(trainer.build_tokenized_answer, owner)
    rows = []
    for number, row in enumerate(copy.deepcopy(data)):
        texts = maybe_apply_chat_template(maybe_extract_prompt(row), tokenizer)
        made = trainer.tokenize_row(owner, texts)
        sides = {side: sequence(made, side) for side in ("chosen", "rejected")}
        if all(any(one["completion"]) for one in sides.values()):
            rows.append({"row": number, **sides})
    return rows


def main():
    PartialState(cpu=True)  # TRL's logger asks for it
    known = json.loads((FIXTURES / "training" / "preferences.json").read_text())
    cases = []
    for case in known["cases"]:
        if "pairs" not in case or case["max_length"] != 0 or case["template"] == "thinking":
            continue
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(FIXTURES / "text" / case["tokenizer"] / "tokenizer.json"), pad_token="<|endoftext|>",
            **known["tokenizers"][case["tokenizer"]])
        tokenizer.chat_template = known["templates"].get(case["template"])
        rows = rows_of(ORPOTrainer, tokenizer, case["data"])
        assert rows == rows_of(CPOTrainer, tokenizer, case["data"])
        cases.append({"tokenizer": case["tokenizer"], "template": case["template"], "max_length": LENGTH,
                      "mode": "keep_start", "data": case["data"], "pairs": rows})
    path = FIXTURES / "training" / "preferences_bos_eos.json"
    path.write_text(json.dumps({"cases": cases}, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(path, len(cases), "cases,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
