#!/usr/bin/env python3
"""Writes the trivia of trivia.py as preference pairs: trivia_pairs.py OUTPUT.jsonl

Chosen is a question's own answer, rejected the answer to another one: {"prompt": [...], "chosen": [...], "rejected": [...]}
with messages, which DPO and ORPO take, and KTO apart. Needs nothing but Python.
"""
import json
import os
import random
import sys

from trivia import conversations, fetch


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: trivia_pairs.py OUTPUT.jsonl")
    turns = [turn for turn in conversations(fetch()) if len(turn) == 2]
    chance = random.Random(7)
    with open(sys.argv[1] + ".part", "w") as file:
        for question, answer in turns:
            wrong = chance.choice([other for _, other in turns if other != answer])
            row = {"prompt": [{"role": "user", "content": question}],
                   "chosen": [{"role": "assistant", "content": answer}],
                   "rejected": [{"role": "assistant", "content": wrong}]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    os.rename(sys.argv[1] + ".part", sys.argv[1])


if __name__ == "__main__":
    main()
