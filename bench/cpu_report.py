"""The report of `compare.py --cpu`: medians, spread, ratios, and whether each bar is held. F16 is shown without a bar."""
import os
import platform
import statistics
import subprocess

FLAGS = ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8"]


def machine(tools):
    with open("/proc/cpuinfo") as file:
        lines = file.read().splitlines()
    flags = next(line for line in lines if line.startswith("flags")).split()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2 ** 30
    return {"cpu": next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
            "flags": [flag for flag in FLAGS if flag in flags], "cores": os.cpu_count(), "memory": f"{memory:.0f} GiB",
            "kernel": platform.release(), "threads": tools.threads}


def llama_version(tools):
    done = subprocess.run([os.path.join(tools.llama, "llama-bench"), "--version"], capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines()[0] if done.returncode == 0 else ""


def commit(tools):
    git = ["git", "-C", tools.root]
    shown = subprocess.run([*git, "log", "-1", "--format=%h"], capture_output=True, text=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True).stdout
    return shown + (" with changes" if any(not line.endswith(".md") for line in changed.splitlines()) else "")


def spread(values):
    digits = 0 if min(values) >= 100 else 1 if min(values) >= 10 else 2
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def percent(row, key):
    values = row.get("limits", {}).get(key) or []
    values = [value for value in values if value is not None]
    return 100 * statistics.median(values) if values else None


def ratio_of(row):
    """Of medians; of what is better where smaller, ours over theirs too: the bar says how much of it we may take."""
    return statistics.median(row["ours"]) / statistics.median(row["theirs"])


class Table:
    def __init__(self):
        self.lines, self.held = [], []

    def add(self, row, bar, held, remark="", theirs=None, peer=None):
        if held is not None:
            self.held.append(held)
        ratio = statistics.median(row["ours"]) / statistics.median(theirs or row["theirs"])
        limits = [f"{percent(row, key):.0f} % of {name}" for key, name in (
            ("fraction_of_bandwidth_limit", "bandwidth"), ("fraction_of_gemm_limit", "GEMM"))
            if percent(row, key) is not None and (key.endswith("gemm_limit") == row["work"].startswith("prefill"))]
        self.lines.append(f"| {row['work']} | {row['file']} | {spread(row['ours'])} {row['unit']} | {peer or row['peer']} | "
                          f"{spread(theirs or row['theirs'])} | {ratio:.2f} | {', '.join(limits + ([remark] if remark else []))}"
                          f" | {bar} | {'' if held is None else 'yes' if held else '**no**'} |")


def best(rows, work, of):
    """The row of the peer `of` with the highest median."""
    found = [row for row in rows if row["work"] == work and row["peer"] == of]
    return max(found, key=lambda row: statistics.median(row["theirs"])) if found else None


def speed_lines(table, rows, amx):
    wanted = 2.0 if amx else 1.2
    for stem in ("smollm2", "proxy-1b"):
        mine = [row for row in rows if row["file"].startswith(stem) and row["peer"] == "llama.cpp"]
        for row in [row for row in mine if row["work"].startswith("decode")]:
            if stem == "smollm2":
                bar = 2.0 if row["file"].endswith("q4_1") else 1.5
                if row["file"] == "smollm2-f16":
                    table.add(row, "", None)
                else:
                    table.add(row, f"{bar} x", ratio_of(row) >= bar)
                continue
            # Held to the smaller of the bytes that we read and the bytes of the file: packing may not flatter itself.
            share = min(1.0, row["weights_in_file"] / row["weights_read"]) * percent(row, "fraction_of_bandwidth_limit")
            table.add(row, "1.3 x and 60 % of bandwidth", ratio_of(row) >= 1.3 and share >= 60,
                      f"{share:.0f} % by the file's bytes")
        top = best(mine, "prefill 512", "llama.cpp")
        for row in [row for row in mine if row["work"] == "prefill 512"]:
            held = statistics.median(row["ours"]) >= wanted * statistics.median(top["theirs"])
            no_bar = row["file"] == "smollm2-f16"
            table.add(row, "" if no_bar else f"{wanted} x llama.cpp's best", None if no_bar else held,
                      theirs=top["theirs"], peer=f"llama.cpp, {top['file']}")


def peer_lines(table, rows):
    for name in dict.fromkeys(row["peer"] for row in rows if row["peer"] != "llama.cpp"):
        work = next(row["work"] for row in rows if row["peer"] == name and row["work"].startswith("decode"))
        mine = [row for row in rows if row["peer"] == name and row["work"] == work]
        ours, theirs = max(mine, key=lambda row: statistics.median(row["ours"])), best(rows, work, name)
        table.add(ours, "1.25 x", statistics.median(ours["ours"]) >= 1.25 * statistics.median(theirs["theirs"]),
                  "best 4-bit of each", theirs["theirs"], f"{name}, {theirs['file']}")


def other_lines(table, results):
    for row in results.get("transformers", []):
        gemm = percent(row, "fraction_of_gemm_limit")
        table.add(row, "1.2 x or 90 % of GEMM", ratio_of(row) >= 1.2 or gemm >= 90)
    for section, bar in (("batch", 2.0), ("depth", 1.5)):
        for row in results.get(section, []):
            table.add(row, f"{bar} x", ratio_of(row) >= bar)
    for section, bar in (("start", 1.5), ("memory", 1.3)):
        for row in results.get(section, []):
            whole = f"{statistics.median(row['whole']):.0f} MB in all" if "whole" in row else ""
            table.add(row, f"at most {bar} x", ratio_of(row) <= bar, whole)
    for row in results.get("wall", []):  # sixteen tokens are mostly the start, whose bar is theirs
        bar = 1.5 if row["work"].startswith("generate 16 ") else 1.0
        table.add(row, f"at most {bar} x", ratio_of(row) <= bar)


def quality_lines(rows):
    lines, held = [], []
    for row in rows:
        found = row["found"]
        f32 = found["f32"]["perplexity"]
        for ours, theirs in (("fast", "llama.cpp"), ("fast, one by one", "llama.cpp, one by one")):
            a, b = found[ours], found[theirs]
            apart = 100 * abs(a["perplexity"] / f32 - 1)
            good = apart <= 0.5 and a["kl"] <= 1.1 * b["kl"] and a["top1"] >= b["top1"]
            held.append(good)
            lines.append(f"| {row['file']} | {'512 a pass' if ours == 'fast' else 'one by one'} | {f32:.4f} | "
                         f"{a['perplexity']:.4f} ({apart:.3f} %) | {b['perplexity']:.4f} | {a['kl']:.2e} | {b['kl']:.2e} | "
                         f"{100 * a['top1']:.2f} % | {100 * b['top1']:.2f} % | {'yes' if good else '**no**'} |")
    return lines, held


def commits(rows):
    """The commit of all figures, or of each section's."""
    of = {section: sorted({row["commit"] for row in found}) for section, found in rows.items() if found}
    if len({commit for found in of.values() for commit in found}) == 1:
        return next(iter(of.values()))[0]
    return "; ".join(f"{section} {', '.join(found)}" for section, found in of.items())


def runs(everything):
    counts = sorted({len(row["ours"]) for row in everything if "ours" in row})
    return " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1]))) if counts else "no"


def write(results):
    rows, about = results["rows"], results["machine"]
    speeds = rows.get("smollm2", []) + rows.get("proxy", [])
    table = Table()
    speed_lines(table, speeds, any(flag.startswith("amx") for flag in about["flags"]))
    peer_lines(table, rows.get("smollm2", []))
    other_lines(table, rows)
    lines, held = quality_lines(rows.get("quality", []))
    bandwidths = {key: [value for row in speeds for value in row["limits"][key]] for key in (
        "memory_bandwidth_bytes_per_second", "memory_bandwidth_2gib_bytes_per_second")} if speeds else {}
    everything = [row for section in rows.values() for row in section]
    text = ["# Inference on the CPU", "", "Written by `bench/compare.py --cpu`; what is measured and how: bench/compare_cpu.py.",
            "", f"- {about['cpu']}, {about['cores']} cores, {about['memory']}, {' '.join(about['flags'])}, Linux "
            f"{about['kernel']}; {about['threads']} threads",
            "- " + "; ".join([f"llama.cpp {results['llama.cpp']}"] + [f"{n}: {how}" for n, how in results["peers"].items()]),
            f"- Powerhouse {commits(rows)}",
            f"- medians of {runs(everything)} alternating runs (smallest to largest); ratios of medians"]
    for key, what in (("memory_bandwidth_bytes_per_second", "buffers of the models' sizes"),
                      ("memory_bandwidth_2gib_bytes_per_second", "2 GiB")):
        if bandwidths.get(key):
            text.append(f"- read-only bandwidth, {what}: {spread([value / 1e9 for value in bandwidths[key]])} GB/s")
    text += ["", f"{sum(table.held) + sum(held)} of {len(table.held) + len(held)} lines are held.", "",
             "| work | file | Powerhouse | against | theirs | ratio | limits | bar | held |", "|---|---|---|---|---|---|---|---|---|",
             *table.lines]
    if lines:
        text += ["", "Quality over 2,000 tokens of English in one sequence, against our float32 path. Held: perplexity within "
                 "0.5 %, a KL divergence of at most 1.1 x llama.cpp's, no fewer equal firsts.", "",
                 "| file | tokens | perplexity, f32 | fast | llama.cpp | KL, fast | KL, llama.cpp | top-1, fast | top-1, "
                 "llama.cpp | held |", "|---|---|---|---|---|---|---|---|---|---|", *lines]
    text += ["", "Commands, with the last model each was run on:", ""]
    for what, command in results["commands"].items():
        peer = next((name + ": " for name in results["peers"] if what.startswith(name)), "")
        text.append(f"    {peer}{command}")
    return "\n".join(text) + "\n"
