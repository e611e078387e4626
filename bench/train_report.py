"""The report of `compare.py --train`: each line of the bar with its figures, and whether it is held."""
import statistics

from cpu_report import spread

# Of each method: tokens/s of eager and compiled, memory of either, at most.
BARS = {"lora": (3.0, 1.6, 0.5, 0.5), "full": (2.5, 1.4, 0.6, 0.6), "qlora": (2.5, None, 1 / 3, None),
        "dpo": (3.0, None, 0.5, None)}
NAMES = {"lora": "LoRA", "full": "full", "qlora": "QLoRA on Q4_1", "dpo": "DPO, LoRA"}
PEERS = {"eager": "transformers + PEFT", "compiled": "the same, torch.compile"}


def values(row, who, what, scale=1.0):
    return [one[what] * scale for one in row["found"][who]]


def median(row, who, what):
    return statistics.median(values(row, who, what))


class Lines:
    def __init__(self):
        self.lines, self.held = [], []

    def add(self, row, method, what, ours, theirs, peer, ratio, bar, held):
        kind = row["settings"]
        if kind["parameters"] != "bf16":
            bar, held = "", None
        if held is not None:
            self.held.append(held)
        self.lines.append(f"| {NAMES[method]}, {what} | {kind['parameters']} | {'on' if kind['checkpointing'] else 'off'} | "
                          f"{ours} | {peer} | {theirs} | {ratio:.3g} | {bar} | "
                          f"{'' if held is None else 'yes' if held else '**no**'} |")

    def speed(self, row, method, who, peer, bar):
        ratio = median(row, who, "tokens_per_second") / median(row, peer, "tokens_per_second")
        self.add(row, method, "tokens/s", spread(values(row, who, "tokens_per_second")),
                 spread(values(row, peer, "tokens_per_second")), PEERS[peer], ratio, f"{bar} x" if bar else "",
                 ratio >= bar if bar else None)

    def memory(self, row, method, who, peer, bar):
        ratio = median(row, who, "peak_memory_bytes") / median(row, peer, "peak_memory_bytes")
        self.add(row, method, "peak memory, GiB", spread(values(row, who, "peak_memory_bytes", 2 ** -30)),
                 spread(values(row, peer, "peak_memory_bytes", 2 ** -30)), PEERS[peer], ratio,
                 f"at most {bar:.3g} x" if bar else "", ratio <= bar if bar else None)

    def loss(self, row, method, who, peer):
        ours, theirs = median(row, who, "loss"), median(row, peer, "loss")
        self.add(row, method, "last loss", f"{ours:.4f}", f"{theirs:.4f}", PEERS[peer], ours / theirs, "within 2 %",
                 abs(ours / theirs - 1) <= 0.02)


def commits(rows):
    of = {}
    for row in rows:
        of.setdefault(row["commit"], []).append(row["section"])
    return "; ".join(f"{commit} ({', '.join(sections)})" if len(of) > 1 else commit for commit, sections in of.items())


def write(content):
    lines, rows, about = Lines(), content["rows"], content["machine"]
    for row in rows:
        method = row["settings"]["method"]
        for method, who in [(method, "ours")] + ([("qlora", "qlora")] if method == "lora" else []):
            bars = dict(zip(("eager", "compiled"), zip(BARS[method][:2], BARS[method][2:])))
            for peer, (speed, memory) in bars.items():
                if peer not in row["found"]:
                    continue
                lines.speed(row, method, who, peer, speed)
                lines.memory(row, method, who, peer, memory)
                if method != "dpo":  # theirs is rounded to bf16, two digits
                    lines.loss(row, method, who, peer)
    versions = rows[0]["found"]["eager"][0]["versions"]
    compiling = [one["first_step"] for row in rows for one in row["found"].get("compiled", [])]
    steps = sorted({row["settings"]["steps"] for row in rows})
    runs = sorted({len(row["found"]["ours"]) for row in rows})
    return "\n".join([
        "# Fine-tuning on the CPU", "", "Written by `bench/compare.py --train`; what is measured and how: bench/compare_train.py.",
        "", f"- {about['cpu']}, {about['cores']} cores, {about['memory']}, {' '.join(about['flags'])}, Linux {about['kernel']}; "
        f"{about['threads']} threads",
        "- " + ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"- Powerhouse {commits(rows)}",
        f"- SmolLM2-135M, 4 x 512 tokens of English a step, {' or '.join(map(str, steps))} steps, AdamW; LoRA of rank 16 on all "
        "linear layers, from the same adapter",
        f"- medians of {' to '.join(map(str, dict.fromkeys((runs[0], runs[-1]))))} alternating runs (smallest to largest); "
        f"compiling took {min(compiling):.0f} to {max(compiling):.0f} s and is not counted", "",
        f"{sum(lines.held)} of {len(lines.held)} lines of the bar are held.", "",
        "| work | parameters, states | checkpointing | Powerhouse | against | theirs | ratio | bar | held |",
        "|---|---|---|---|---|---|---|---|---|", *lines.lines]) + "\n"
