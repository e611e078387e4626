#!/usr/bin/env python3
"""Real preference pairs, a correct and a wrong answer to the same question: preference_pairs.py FOLDER

Writes FOLDER/train.jsonl and FOLDER/test.jsonl (prompt, chosen, rejected as messages; source, passage) from the natural
instructions (Mishra et al. 2022) that BIG-bench 1.0.0 carries: MultiRC, CosmosQA, MCTACO and QASC. A passage is on one
side alone. BIG-bench marks its data as an evaluation: it is fetched and measured with here, never passed on.
Needs nothing but Python.
"""
import hashlib
import json
import os
import subprocess
import sys
import tarfile

PROJECT = "bigbench"
SDIST = "bigbench-1.0.0.tar.gz"
SHA256 = "1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2"
TASKS = "bigbench-1.0.0/bigbench/benchmark_tasks/natural_instructions"
SOURCES = {"multirc": ("054_multirc_write_correct_answer", "055_multirc_write_incorrect_answer"),
           "cosmosqa": ("024_cosmosqa_answer_generation", "025_cosmosqa_incorrect_answer_generation"),
           "mctaco": ("004_mctaco_answer_generation_event_duration",
                      "005_mctaco_wrong_answer_generation_event_duration"),
           "qasc": ("041_qasc_answer_generation", "042_qasc_incorrect_option_generation")}
LONGEST = 1600  # bytes of a question with its passage: about 400 tokens
TEST_SHARE = 8  # one passage in so many


def fetch():
    """The examples of each task."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    cache = os.environ.get("POWERHOUSE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "powerhouse")
    folder = os.path.join(cache, "downloads")
    subprocess.run([sys.executable, os.path.join(root, "scripts", "fetch_package.py"), PROJECT, SDIST, SHA256, folder],
                   check=True)
    wanted = {f"{TASKS}/subtask{name}/task.json": name for pair in SOURCES.values() for name in pair}
    found = {}
    with tarfile.open(os.path.join(folder, SDIST)) as archive:
        for member in archive:
            if member.name in wanted:
                found[wanted[member.name]] = json.load(archive.extractfile(member))["examples"]
            if len(found) == len(wanted):
                return found
    sys.exit(f"preference_pairs: {SDIST} lacks {sorted(set(wanted.values()) - set(found))}")


def number(*parts):
    return int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:8], "big")


def question_of(text):
    """Without the correct answer that the tasks of wrong answers name."""
    for mark in ("Correct Answer", "Correct answer"):
        text = text.split("\n" + mark, 1)[0].split(mark + ":", 1)[0]
    return text.strip()


def pairs(source, correct, wrong):
    answers = {}
    for example in wrong:
        answers.setdefault(question_of(example["input"]), []).extend(example["target"])
    for example in correct:
        question = question_of(example["input"])
        right = {target.strip() for target in example["target"]} - {""}
        others = [text for text in answers.get(question, []) if text.strip() and text.strip() not in right]
        if not others or not right or len(question.encode()) > LONGEST:
            continue
        passage = question.split("Question:", 1)[0].strip()
        yield {"prompt": [{"role": "user", "content": question}],
               "chosen": [{"role": "assistant", "content": sorted(right, key=lambda t: number(question, t))[0]}],
               "rejected": [{"role": "assistant", "content": min(others, key=lambda t: number(question, t)).strip()}],
               "source": source, "passage": f"{number(passage):016x}"}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: preference_pairs.py FOLDER")
    examples, sides = fetch(), {"train": [], "test": []}
    for source, (correct, wrong) in SOURCES.items():
        seen = set()
        for row in pairs(source, examples[correct], examples[wrong]):
            question = row["prompt"][0]["content"]
            if question in seen:
                continue
            seen.add(question)
            sides["test" if int(row["passage"], 16) % TEST_SHARE == 0 else "train"].append(row)
    os.makedirs(sys.argv[1], exist_ok=True)
    for side, rows in sides.items():
        rows.sort(key=lambda row: number(row["prompt"][0]["content"]))
        path = os.path.join(sys.argv[1], side + ".jsonl")
        with open(path + ".part", "w") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        os.rename(path + ".part", path)
        counts = {source: sum(row["source"] == source for row in rows) for source in SOURCES}
        print(f"{path}: {len(rows)} pairs, {counts}")


if __name__ == "__main__":
    main()
