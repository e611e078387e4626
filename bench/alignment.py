#!/usr/bin/env python3
"""DPO, ORPO, KTO and PPO on real pairs: does the model come to prefer correct answers that it never saw?

    python bench/alignment.py --model MODEL.gguf [--methods dpo orpo kto reward ppo] [--minutes 15] [--report FILE.md]

Fetches the pairs (preference_pairs.py), trains LoRA adapters with `powerhouse train`, and asks preference_accuracy how
often each model gives the correct answer of a held-back pair the higher log-probability. The gain over the model before
training comes with its 95 % interval by a paired bootstrap over passages. Passages are on one side alone.
PPO's reward is a model that `reward` trains on the same pairs; its accuracy is how often the correct answer gets more.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
# Steps are of 16 pairs; KTO's of 32 answers, PPO's of 32 completions, which are used twice.
METHODS = {"dpo": {"beta": 0.1, "learning_rate": 1e-4, "max_steps": 200},
           "orpo": {"beta": 0.5, "learning_rate": 2e-4, "max_steps": 200},
           "kto": {"beta": 0.1, "learning_rate": 1e-4, "max_steps": 100, "micro_batch_size": 16},
           "reward": {"learning_rate": 1e-4, "max_steps": 120, "eval_strategy": "steps", "eval_steps": 120},
           "ppo": {"learning_rate": 5e-5, "max_steps": 24, "warmup_steps": 2, "micro_batch_size": 32,
                   "gradient_accumulation_steps": 1, "num_ppo_epochs": 2, "max_completion_length": 32,
                   "logging_steps": 1}}
COMMON = {"adapter": "lora", "lora_r": 16, "lora_alpha": 32, "lora_target_linear": True, "micro_batch_size": 8,
          "gradient_accumulation_steps": 2, "sequence_len": 768, "optimizer": "adamw_torch_fused",
          "lr_scheduler": "cosine", "warmup_steps": 10, "num_epochs": 1, "logging_steps": 10, "save_strategy": "no",
          "eval_strategy": "no", "seed": 42}
CURVES = ("loss", "rewards/accuracies", "rewards/margins", "rewards/chosen", "rewards/rejected", "kl", "accuracy",
          "margin", "objective/scores", "objective/kl", "objective/entropy", "completions/mean_length")
RESAMPLES = 10000


def run(command, **options):
    done = subprocess.run(command, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"alignment: {' '.join(command[:3])} ... failed ({done.returncode})")
    return done.stdout


def scores(arguments, adapter=None):
    command = [os.path.join(arguments.bin, "preference_accuracy"), arguments.model,
               os.path.join(arguments.folder, "test.jsonl"), str(arguments.threads), *([adapter] if adapter else [])]
    return json.loads(run(command, stdout=subprocess.PIPE))


def right(found, by):
    """1 where the correct answer has the higher log-probability: whole, or a token."""
    sides = [[value / (tokens if by == "token" else 1) for value, tokens in zip(found[side], found[side + "_tokens"])]
             for side in ("chosen", "rejected")]
    return [float(chosen > rejected) for chosen, rejected in zip(*sides)]


def interval(before, after, passages):
    """95 % of the gain's mean, by resampling passages, whose pairs go together."""
    groups = {}
    for passage, first, second in zip(passages, before, after):
        groups.setdefault(passage, []).append(second - first)
    groups, draw = [(sum(gains), len(gains)) for gains in groups.values()], random.Random(0)
    means = []
    for _ in range(RESAMPLES):
        sample = draw.choices(groups, k=len(groups))
        means.append(sum(gain for gain, _ in sample) / sum(count for _, count in sample))
    means.sort()
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]


def train(arguments, method):
    output = os.path.join(arguments.folder, method)
    keys = {"base_model": arguments.model, "rl": method, **COMMON, **METHODS[method], "output_dir": output,
            "datasets": [{"path": os.path.join(arguments.folder, "train.jsonl")}]}
    if method == "reward":
        keys["test_datasets"] = [{"path": os.path.join(arguments.folder, "test.jsonl")}]
    if method == "ppo":
        keys["reward_model_path"] = os.path.join(arguments.folder, "reward")
    config = os.path.join(arguments.folder, method + ".yaml")
    with open(config, "w") as file:
        json.dump(keys, file, indent=1)  # which YAML reads
    begin = time.time()
    run([os.path.join(arguments.bin, "powerhouse"), "train", "--config", config],
        env={**os.environ, "OMP_NUM_THREADS": str(arguments.threads)})
    with open(os.path.join(output, "train_log.jsonl")) as log:
        rows = [json.loads(line) for line in log]
    return {"minutes": (time.time() - begin) / 60, "adapter": output, "rows": [row for row in rows if "loss" in row],
            "accuracy": next((row["eval_accuracy"] for row in reversed(rows) if "eval_accuracy" in row), None)}


def curve(rows, key, points=10):
    """Means over tenths of the run."""
    size = max(1, len(rows) // points)
    parts = [rows[i:i + size] for i in range(0, size * points, size)]
    means = [[row[key] for row in part if row.get(key) is not None] for part in parts]
    return " ".join(f"{sum(values) / len(values):.3f}" for values in means if values)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--minutes", type=float, default=15, help="a training that takes longer is an error")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "release", "bin"))
    parser.add_argument("--folder", default=os.path.join(ROOT, "build", "preference-pairs"))
    parser.add_argument("--report")
    arguments = parser.parse_args()
    run([sys.executable, os.path.join(ROOT, "bench", "preference_pairs.py"), arguments.folder])
    with open(os.path.join(arguments.folder, "test.jsonl")) as file:
        pairs = [json.loads(line) for line in file]
    passages = [pair["passage"] for pair in pairs]
    before = scores(arguments)
    base = {by: right(before, by) for by in ("answer", "token")}
    lines = [f"Held back: {len(pairs)} pairs of {len(set(passages))} passages. Before training the correct answer has "
             f"the higher log-probability in {100 * sum(base['answer']) / len(pairs):.1f} % (a token: "
             f"{100 * sum(base['token']) / len(pairs):.1f} %).", "",
             "| method | steps, minutes, GiB | accuracy | gain, 95 % | by the token | gain, 95 % |",
             "|---|---|---|---|---|---|"]
    curves, late = [], []
    for method in arguments.methods:
        trained = train(arguments, method)
        if trained["minutes"] > arguments.minutes:
            late.append(f"{method} took {trained['minutes']:.1f} minutes")
        rows = trained["rows"]
        after = scores(arguments, trained["adapter"]) if method != "reward" else None
        cells = [method, f"{len(rows)}, {trained['minutes']:.1f}, {rows[-1]['peak_memory_bytes'] / 2**30:.2f}"]
        if after is None:
            cells += [f"{100 * trained['accuracy']:.1f} %", "", "", ""]
        for by in ("answer", "token") if after is not None else ():
            now = right(after, by)
            low, high = interval(base[by], now, passages)
            cells += [f"{100 * sum(now) / len(now):.1f} %",
                      f"{100 * (sum(now) - sum(base[by])) / len(now):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"]
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
        curves += ["", f"{method}, means over tenths of the run:", "", "```"]
        for key in CURVES:
            if any(row.get(key) is not None for row in rows):
                curves.append(f"{key:20} {curve(rows, key)}")
        curves.append("```")
    report = "\n".join(lines + curves) + "\n"
    print(report)
    if arguments.report:
        with open(arguments.report + ".part", "w") as file:
            file.write(report)
        os.rename(arguments.report + ".part", arguments.report)
    if late:
        sys.exit("alignment: " + ", ".join(late))


if __name__ == "__main__":
    main()
