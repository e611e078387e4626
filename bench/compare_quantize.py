"""Our `quantize` and `imatrix` beside llama.cpp's tools on one model: bytes, metadata, time and perplexity.

    python bench/compare_quantize.py POWERHOUSE LLAMA_BIN MODEL TEXT [--types Q4_K_M,IQ4_XS] [--turns 5] [--imatrix]

MODEL is a GGUF file; one that is quantized is made float32 first by llama-quantize (--allow-requantize). LLAMA_BIN holds
llama-quantize, llama-imatrix and llama-perplexity. Times are medians of turns that alternate, at two threads, and processor
time beside them. Needs the gguf package.
"""
import argparse
import hashlib
import pathlib
import re
import resource
import statistics
import subprocess
import tempfile
import time

import gguf
import numpy


def run(command, quiet=True):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout + done.stderr


def tensors(path):
    return {t.name: (t.tensor_type.name, hashlib.sha256(t.data.tobytes()).hexdigest()) for t in gguf.GGUFReader(path).tensors}


def metadata(path):
    reader = gguf.GGUFReader(path)
    return {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}


def matrices(path):
    return {t.name: numpy.array(t.data) for t in gguf.GGUFReader(path).tensors}


parser = argparse.ArgumentParser()
parser.add_argument("powerhouse", type=pathlib.Path)
parser.add_argument("llama", type=pathlib.Path)
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("text", type=pathlib.Path)
parser.add_argument("--types", default="Q4_K_M,Q8_0,Q6_K,IQ4_XS")
parser.add_argument("--turns", type=int, default=5)
parser.add_argument("--chunks", type=int, default=8)
parser.add_argument("--imatrix", action="store_true", help="collect importance by both, and quantize with llama.cpp's")
parser.add_argument("--perplexity", action="store_true")
arguments = parser.parse_args()
folder = pathlib.Path(tempfile.mkdtemp())
source = folder / "source.gguf"
run([arguments.llama / "llama-quantize", "--allow-requantize", arguments.model, source, "F32"])
flags = []
if arguments.imatrix:
    theirs, ours = folder / "theirs.imatrix.gguf", folder / "ours.imatrix.gguf"
    their_time = run([arguments.llama / "llama-imatrix", "-m", source, "-f", arguments.text, "-o", theirs, "--chunks",
                      arguments.chunks, "-t", 2, "--no-ppl"])
    our_time = run([arguments.powerhouse, "imatrix", "--model", source, "--calibration", arguments.text, "--output", ours,
                    "--chunks", arguments.chunks, "--threads", 2])
    a, b = matrices(theirs), matrices(ours)
    worst = max((float(numpy.max(numpy.abs(a[n] - b[n]) / (numpy.abs(a[n]) + numpy.mean(numpy.abs(a[n]))))), n) for n in a
                if n in b)
    print(f"imatrix: {len(a)} tensors theirs, {len(b)} ours, {len(set(a) ^ set(b))} not in both; largest relative "
          f"difference {worst[0]:.2e} ({worst[1]}); metadata equal but for order: "
          f"{metadata(theirs) == metadata(ours)}; theirs {their_time[0]:.2f} s, ours {our_time[0]:.2f} s, "
          f"ratio {their_time[0] / our_time[0]:.2f}")
    flags = ["--imatrix", theirs]
for kind in arguments.types.split(","):
    theirs, ours = folder / "theirs.gguf", folder / "ours.gguf"
    times = {"theirs": [], "ours": []}
    for _ in range(arguments.turns):
        times["theirs"].append(run([arguments.llama / "llama-quantize", *flags, source, theirs, kind, 2])[:2])
        times["ours"].append(run([arguments.powerhouse, "quantize", "--model", source, "--type", kind, "--output", ours,
                                  "--threads", 2, *flags])[:2])
    a, b = tensors(theirs), tensors(ours)
    same = sum(a[name] == b.get(name) for name in a)
    wall = {who: statistics.median(t[0] for t in times[who]) for who in times}
    processor = {who: statistics.median(t[1] for t in times[who]) for who in times}
    print(f"{kind}: {same} of {len(a)} tensors the same; metadata the same: {metadata(theirs) == metadata(ours)}; whole "
          f"file the same: {theirs.read_bytes() == ours.read_bytes()}; wall {wall['theirs']:.2f} s and {wall['ours']:.2f} s "
          f"({wall['theirs'] / wall['ours']:.2f} x), processor {processor['theirs']:.2f} s and {processor['ours']:.2f} s "
          f"({processor['theirs'] / processor['ours']:.2f} x)")
    if arguments.perplexity:
        values = [float(re.search(r"Final estimate: PPL = ([\d.]+)", run(
            [arguments.llama / "llama-perplexity", "-m", path, "-f", arguments.text, "-t", 2, "--chunks",
             arguments.chunks])[2]).group(1)) for path in (theirs, ours)]
        print(f"{kind}: llama-perplexity of theirs {values[0]}, of ours {values[1]}")
