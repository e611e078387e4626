"""`compare.py --train`: fine-tuning SmolLM2 against transformers + PEFT, eager and under torch.compile.

Batches of 4 x 512 tokens of real text, bf16, AdamW, 24 steps, two threads; ours by train_bench, theirs by
train_transformers.py, which also prepares rows, folder and first adapter in build/compare-train. Of a run count the median
tokens/s of the steps behind the third (compiling is in the first), the peak resident size of the process and the last loss.
Runs alternate, each is a process; medians. A section is what is like: method, checkpointing, type of parameters and states.

    lora full                          bf16 parameters and states; `lora` also QLoRA on the file's Q4_1 blocks
    lora-checkpointing ...             with activation checkpointing of every layer, on both sides
    dpo                                a step of DPO on an adapter: two pairs of 512 tokens, half of them their prompt
    lora-float32 ...                   float32 adapters (or masters) and states, shown beside without a bar

Figures are kept in build/compare-train/results.json, each with its commit, so that a long run may be made in parts
(--train-sections); the report, bench/results/training.md, is written of all that are there.
"""
import json
import os
import shlex
import statistics
import subprocess
import sys

import cpu_report
import train_report
from cpu_tools import alternate

SECTIONS = [f"{method}{kind}{checkpointing}" for kind in ("", "-float32") for checkpointing in ("", "-checkpointing")
            for method in ("lora", "full")] + ["dpo"]
WARM_UP, TOKENS = 3, 4 * 512


def add_arguments(group):
    group.add_argument("--train-sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    group.add_argument("--bf16-model", help="the same weights as --model in a bf16 GGUF file; the folder made of --model where not given")
    group.add_argument("--steps", type=int, default=24, help="20 at least; fewer only to see that all works")
    group.add_argument("--train-bench", help="the program; build/release/bin/train_bench where not given")
    group.add_argument("--wrapper", default="", help="a command before each measured one, e.g. 'taskset -c 0,1'")


class Bench:
    def __init__(self, tools, folder, arguments):
        self.tools, self.folder, self.arguments = tools, folder, arguments
        self.program = arguments.train_bench or os.path.join(os.path.dirname(tools.powerhouse), "train_bench")

    def run(self, command):
        done = subprocess.run(shlex.split(self.arguments.wrapper) + command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"compare: {' '.join(command[:3])} ... failed ({done.returncode}):\n{done.stderr[-2000:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"    {statistics.median(found['seconds'][WARM_UP:]):.2f} s a step, last loss {found['losses'][-1]:.4f}",
              file=sys.stderr, flush=True)
        return {"tokens_per_second": TOKENS / statistics.median(found["seconds"][WARM_UP:]), "loss": found["losses"][-1],
                "first_loss": found["losses"][0], "first_step": found["seconds"][0], "trained": found["trained"],
                "peak_memory_bytes": found["peak_memory_bytes"], "versions": found.get("versions")}

    def ours(self, model, settings):
        return self.run([self.program, model, os.path.join(self.folder, "rows.i32"), settings["method"],
                         settings["parameters"], str(int(settings["checkpointing"])), str(settings["steps"]),
                         str(settings["learning_rate"]), str(settings["threads"]),
                         *([] if settings["method"] == "full" else [os.path.join(self.folder, "adapter")])])

    def theirs(self, settings, compiled):
        return self.run([self.tools.python, os.path.join(self.tools.root, "bench", "train_transformers.py"), "measure",
                         self.folder, json.dumps({**settings, "compiled": compiled})])


def measure(bench, section, arguments):
    settings = {"method": section.split("-")[0], "parameters": "float32" if "float32" in section else "bf16",
                "checkpointing": "checkpointing" in section, "steps": arguments.steps, "threads": arguments.threads,
                "learning_rate": 2e-5 if section.startswith("full") else 2e-4}
    calls = {"ours": lambda: bench.ours(arguments.bf16_model, settings), "eager": lambda: bench.theirs(settings, False)}
    if settings["method"] != "dpo":
        calls["compiled"] = lambda: bench.theirs(settings, True)
    if settings["method"] == "lora":
        calls["qlora"] = lambda: bench.ours(arguments.model, {**settings, "method": "qlora"})
    return {"section": section, "settings": settings, "commit": cpu_report.commit(bench.tools),
            "found": alternate(arguments.runs, calls)}


def keep(path, content):
    with open(path + ".new", "w") as file:
        json.dump(content, file, indent=1)
    os.replace(path + ".new", path)


def train(tools, arguments):
    folder = os.path.join(tools.root, "build", "compare-train")
    tools.threads = str(arguments.threads)
    os.makedirs(folder, exist_ok=True)
    bench = Bench(tools, folder, arguments)
    subprocess.run([tools.python, os.path.join(tools.root, "bench", "train_transformers.py"), "prepare", arguments.model,
                    folder], check=True)
    if not arguments.bf16_model:
        arguments.bf16_model = os.path.join(folder, "model")  # the folder that transformers reads
    path, machine = os.path.join(folder, "results.json"), cpu_report.machine(tools)
    content = {"machine": machine, "rows": []}
    if os.path.exists(path) and not arguments.fresh:
        with open(path) as file:
            content = json.load(file)
    if content["machine"] != machine:
        sys.exit(f"compare: {path} holds figures of another machine or of other threads; --fresh forgets them")
    for section in arguments.train_sections:
        print(section, file=sys.stderr, flush=True)
        row = measure(bench, section, arguments)
        content["rows"] = [one for one in content["rows"] if one["section"] != section] + [row]
        keep(path, content)
    content["rows"].sort(key=lambda row: SECTIONS.index(row["section"]))
    text = train_report.write(content)
    report = arguments.report or os.path.join(tools.root, "bench", "results", "training.md")
    with open(report, "w") as file:
        file.write(text)
    print(text, flush=True)
