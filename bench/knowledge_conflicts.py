"""Decoding by contrast against greedy on questions whose context says other than a model may remember.

    python bench/knowledge_conflicts.py MODEL [--amateur MODEL] [--count 400] [--work FOLDER]

The questions are `contextual_parametric_knowledge_conflicts` of BIG-bench (Srivastava et al. 2022): a question, a passage
in which a name was put in another's place, the answer by the passage, and for some the answer by the world. They are read from
the `bigbench` source package, which is fetched once (358 MB) into the folder of downloads, and not passed on. --count of
them are drawn by seed. Each is asked in the task's own words, without examples; an answer is the first line, 16 tokens at
most, without dots around. Prints, as a Markdown table, of each strategy: how many answers equal the passage's
(exact_str_match), hold it, or hold the remembered one.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import subprocess
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = "bigbench-1.0.0.tar.gz"
HASH = "1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2"
TASK = "bigbench-1.0.0/bigbench/benchmark_tasks/contextual_parametric_knowledge_conflicts/task.json"


def fetched_task(folder):
    kept = folder / "task.json"
    if not kept.exists():
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "powerhouse/downloads"
        subprocess.run(["python3", ROOT / "scripts/fetch_package.py", "bigbench", PACKAGE, HASH, cache], check=True)
        with tarfile.open(cache / PACKAGE) as package:
            kept.write_bytes(package.extractfile(TASK).read())
    return json.loads(kept.read_text())


def asked(task, example):
    """The prompt with its context and without."""
    question, context = example["input"].split("\nContext:", 1)
    prompt = task["task_prefix"] + task["example_input_prefix"]
    return {"with_context": f"{prompt}{question}\nContext:{context}\nAnswer:", "without": f"{prompt}{question}\nAnswer:",
            "answer": example["target"], "remembered": [x for x in example["target_scores"] if x != example["target"]]}


def plain(text):
    return text.strip().strip(".").strip().lower()


parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--amateur")
parser.add_argument("--count", type=int, default=400)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/knowledge-conflicts")
parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/bin/knowledge_conflicts")
arguments = parser.parse_args()
arguments.work.mkdir(parents=True, exist_ok=True)
task = fetched_task(arguments.work)
examples = [example for example in task["examples"] if "\nContext:" in example["input"]]
questions = [asked(task, example) for example in random.Random(arguments.seed).sample(examples, arguments.count)]
asked_file, answers_file = arguments.work / "questions.jsonl", arguments.work / "answers.jsonl"
asked_file.write_text("".join(json.dumps(question) + "\n" for question in questions))
subprocess.run([arguments.program, arguments.model, asked_file, answers_file] + [arguments.amateur] * bool(arguments.amateur),
               check=True)
scores = collections.defaultdict(collections.Counter)
for line in answers_file.read_text().splitlines():
    answer = json.loads(line)
    question, text, score = questions[answer["index"]], plain(answer["text"]), scores[answer["strategy"]]
    score["equal"] += text == plain(question["answer"])
    score["holds"] += plain(question["answer"]) in text
    score["remembered"] += any(plain(other) in text for other in question["remembered"])
known = sum(bool(question["remembered"]) for question in questions)
print(f"{len(questions)} questions, {known} with a remembered answer\n")
print("| strategy | equals the passage's answer | holds it | holds the remembered one |\n|---|---|---|---|")
for strategy, score in scores.items():
    print(f"| {strategy} | {score['equal'] / len(questions):.1%} | {score['holds'] / len(questions):.1%} |"
          f" {score['remembered'] / max(known, 1):.1%} |")
