#!/usr/bin/env python3
"""Makes the files of a check on a GPU: gpu_report.py LINES.jsonl REPORT.json REPORT.md.

LINES is what the program of checks said, one JSON object a line. Fractions of peak are of what the device's clocks and
multiprocessors could do at most: dense bf16 products with sums in float32, and its memory's bytes.
"""
import json
import pathlib
import sys

# Dense bf16 operations with sums in float32 that a multiprocessor does in a clock, by compute capability.
OPERATIONS_A_CLOCK = {"8.0": 2048, "8.6": 512, "8.7": 1024, "8.9": 512, "9.0": 4096, "10.0": 8192, "10.3": 8192,
                      "12.0": 512, "12.1": 512}


def of_kind(lines, kind):
    return [line for line in lines if line["kind"] == kind]


def peaks(device):
    """Operations and bytes a second, or None where the device does not tell."""
    if not device:
        return None, None
    rate = OPERATIONS_A_CLOCK.get(device["compute"])
    operations = rate * device["multiprocessors"] * device["clock_khz"] * 1e3 if rate and device["clock_khz"] else None
    # Memory moves twice a clock.
    bandwidth = 2e3 * device["memory_clock_khz"] * device["memory_bus_bits"] / 8
    return operations, bandwidth or None


def add_fractions(lines, device):
    operations, bandwidth = peaks(device)
    for line in lines:
        if "flops" in line and operations:
            line["fraction_of_peak_operations"] = line["flops"] / line["seconds"] / operations
        if "bytes" in line and bandwidth:
            line["fraction_of_peak_bytes"] = line["bytes"] / line["seconds"] / bandwidth


def percent(line, key):
    return f"{100 * line[key]:.0f} %" if key in line else ""


def number(value):
    return "not finite" if value is None else f"{value:.3g}"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def page(report):
    device = report["device"]
    out = ["# CUDA kernels on a GPU", ""]
    if device:
        out += [f"{device['name']}, compute capability {device['compute']}, {device['multiprocessors']:.0f} multiprocessors, "
                f"{device['memory_bytes'] / 2**30:.0f} GiB.", ""]
    wrong = [line for line in report["checks"] if line["result"] != "right"]
    out += [f"{len(report['checks']) - len(wrong)} of {len(report['checks'])} checks right"
            + (f", {len(report['broken'])} groups broken" if report["broken"] else "") + ".", ""]
    out += ["## Against LibTorch's definitions", "",
            "Errors are the largest difference as a part of the largest value, to float64 and float32.", ""]
    out += table(["kernel", "result", "cases", "worst error", "allowed", "where", "first failure"],
                 [[line["kernel"], line["result"], f"{line['cases']:.0f}", number(line["error"]), number(line["allowed"]),
                   line["worst"], line["failed"]] for line in report["checks"]])
    if report["broken"]:
        out += ["## Groups that broke", ""] + [f"- {line['what']}: {line['why']}" for line in report["broken"]] + [""]
    if report["speed"]:
        out += ["## Speed", "", "Ratios above 1: ours is faster.", ""]
        out += table(["what", "shape", "ours, ms", "peer", "peer, ms", "ratio", "of peak operations", "of peak bytes"],
                     [[line["what"], line["shape"], f"{1e3 * line['seconds']:.4g}", line["peer"],
                       f"{1e3 * line['peer_seconds']:.4g}", f"{line['ratio']:.2f}",
                       percent(line, "fraction_of_peak_operations"), percent(line, "fraction_of_peak_bytes")]
                      for line in report["speed"]])
    if report["end_to_end"]:
        out += ["## End to end", "", "A Llama of 1.1 billion parameters with random weights.", ""]
        out += table(["what", "shape", "tokens a second", "of peak operations", "of peak bytes"],
                     [[line["what"], line["shape"], f"{line['tokens_per_second']:.4g}",
                       percent(line, "fraction_of_peak_operations"), percent(line, "fraction_of_peak_bytes")]
                      for line in report["end_to_end"]])
    if report["sanitizer"]:
        out += ["## Compute Sanitizer", ""]
        out += table(["tool", "group", "result"],
                     [[line["tool"], line["group"], line["result"]] for line in report["sanitizer"]])
    if report["left_out"]:
        out += ["## Left out", ""] + [f"- {line['what']}: {line['why']}" for line in report["left_out"]] + [""]
    if report["seconds"] is not None:
        out += [f"The run took {report['seconds']:.0f} s, building included."]
    return "\n".join(out) + "\n"


def write(path, text):
    path = pathlib.Path(path)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


def main():
    if len(sys.argv) != 4:
        sys.exit("usage: gpu_report.py LINES.jsonl REPORT.json REPORT.md")
    # A group that was killed may leave half a line.
    lines = []
    for text in pathlib.Path(sys.argv[1]).read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            lines.append({"kind": "broken", "what": "a line of the report", "why": text[:200]})
    device = next(iter(of_kind(lines, "device")), None)
    add_fractions(lines, device)
    run = next(iter(of_kind(lines, "run")), None)
    report = {"device": device, "seconds": run and run["seconds"], "checks": of_kind(lines, "check"),
              **{kind: of_kind(lines, kind) for kind in ("broken", "speed", "end_to_end", "sanitizer", "left_out")}}
    write(sys.argv[2], json.dumps(report, indent=1) + "\n")
    write(sys.argv[3], page(report))


if __name__ == "__main__":
    main()
