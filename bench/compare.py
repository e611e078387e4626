#!/usr/bin/env python3
"""Powerhouse against its peers, in one run on one machine: python3 bench/compare.py --model FILE.gguf [--only ...]

    speed       prefill of 512 tokens and decoding, bf16, against transformers in bf16; alternating runs, medians
    startup     process start to first token, against a bare program that loads LibTorch and reads the same file
    header      compile time of powerhouse/powerhouse.h against torch/torch.h
    perplexity  against llama-perplexity (--llama-perplexity PROGRAM --text FILE)
    tokenizers  against fastokens and tokenizers (compare_tokenizers.py); alone: --tokenizers. Needs tokenizer_bench
                (-DPOWERHOUSE_BUILD_BENCH=ON) and nothing of LibTorch.
    cpu         inference against llama.cpp, its forks and transformers, with the limits of the machine: writes
                bench/results/cpu.md (compare_cpu.py); alone: --cpu. --build-llama and --make-models prepare it.
    train       fine-tuning against transformers + PEFT: writes bench/results/training.md (compare_train.py); alone: --train.
                Needs train_bench (-DPOWERHOUSE_BUILD_BENCH=ON).

Needs a release build in build/release. The peers run in an environment of their own: a virtual environment with
bench/requirements.txt in build/peers, made at the first call, or the Python given by --python.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import compare_cpu
import compare_tokenizers
import compare_train
import compare_transformers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(ROOT, "build", "release", "bin", "powerhouse")
LIBTORCH = os.environ.get("LibTorch_ROOT", os.path.join(ROOT, "build", "libtorch", "torch"))

def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"compare: {' '.join(command[:3])} ... failed:\n{done.stderr[-2000:]}")
    return done.stdout


def peer_python(given):
    if given:
        return given
    folder = os.path.join(ROOT, "build", "peers")
    python = os.path.join(folder, "bin", "python")
    wanted = open(os.path.join(ROOT, "bench", "requirements.txt")).read()
    stamp = os.path.join(folder, "requirements.txt")
    if not os.path.exists(stamp) or open(stamp).read() != wanted:
        print("making the peers' environment in build/peers", file=sys.stderr)
        run([sys.executable, "-m", "venv", "--clear", folder])
        run([python, "-m", "pip", "install", "-q", "-r", os.path.join(ROOT, "bench", "requirements.txt")])
        with open(stamp, "w") as file:
            file.write(wanted)
    return python


def spread(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def speed(arguments):
    python = peer_python(arguments.python)
    folder = compare_transformers.folder_of(run, python, arguments.model, os.path.join(ROOT, "build", "peer-model"))
    ours, theirs = [], []
    for number in range(arguments.runs):
        ours.append(json.loads(run([PROGRAM, "benchmark", "--model", arguments.model, "--dtype", "bf16", "--json",
                                    "--prompt-tokens", "512", "--new-tokens", str(arguments.new_tokens),
                                    "--repetitions", "3", "--no-limits", "--threads", str(arguments.threads)])))
        theirs.append(compare_transformers.measure(run, python, folder, 512, arguments.new_tokens, arguments.threads))
        print(f"run {number + 1} of {arguments.runs}", file=sys.stderr)
    print(f"\nbf16 on {ours[0]['threads']} threads, {ours[0]['cpu']} ({ours[0]['instruction_set']}); "
          f"transformers {theirs[0]['version']}, torch {theirs[0]['torch']}; medians of {arguments.runs} alternating runs "
          "(smallest to largest)\n")
    print("| tokens/s | Powerhouse | transformers | ratio | wanted |\n|---|---|---|---|---|")
    for key, what, wanted in (("prompt_tokens_per_second", "prefill of 512", 1.0),
                              ("new_tokens_per_second", f"decode of {arguments.new_tokens}", 2.0)):
        a, b = [run_[key] for run_ in ours], [run_[key] for run_ in theirs]
        ratio = statistics.median(x / y for x, y in zip(a, b))
        print(f"| {what} | {spread(a)} | {spread(b)} | {ratio:.2f} | {wanted} |")


def timed(command):
    begin = time.perf_counter()
    run(command)
    return time.perf_counter() - begin


def bare_libtorch(folder):
    """The program that only loads LibTorch and multiplies once, built there."""
    bare = os.path.join(folder, "bare_libtorch")
    site = os.path.dirname(LIBTORCH)
    libraries = [os.path.join(LIBTORCH, "lib"), os.path.join(site, "nvidia", "cu13", "lib")]
    run(["g++", "-O2", "-std=c++20", os.path.join(ROOT, "bench", "bare_libtorch.cpp"), "-o", bare,
         "-isystem", os.path.join(LIBTORCH, "include"), "-L" + libraries[0], "-ltorch_cpu", "-lc10",
         "-Wl,-rpath," + ":".join(libraries), "-Wl,-rpath-link," + libraries[1]])
    return bare


def startup(arguments):
    with tempfile.TemporaryDirectory() as scratch:
        bare = bare_libtorch(scratch)
        ours, theirs = [], []
        command = [PROGRAM, "generate", "--model", arguments.model, "--prompt", "Hello", "--max-new-tokens", "1",
                   "--threads", str(arguments.threads)]
        for _ in range(arguments.runs + 1):
            theirs.append(timed([bare, arguments.model]))
            ours.append(timed(command))
        ratio = statistics.median(x / y for x, y in zip(ours[1:], theirs[1:]))
        print(f"\nprocess start to first token: {statistics.median(ours[1:]):.2f} s; a bare LibTorch program that reads the "
              f"same file: {statistics.median(theirs[1:]):.2f} s; ratio {ratio:.2f} (wanted: at most 3)")


def header(arguments):
    includes = ["-I" + os.path.join(ROOT, "include"), "-I" + os.path.join(ROOT, "build", "release", "include"),
                "-isystem", os.path.join(LIBTORCH, "include"),
                "-isystem", os.path.join(LIBTORCH, "include", "torch", "csrc", "api", "include")]
    with tempfile.TemporaryDirectory() as scratch:
        seconds = {}
        for name in ("powerhouse/powerhouse.h", "torch/torch.h"):
            source = os.path.join(scratch, "one.cpp")
            with open(source, "w") as file:
                file.write(f"#include <{name}>\n")
            seconds[name] = statistics.median(
                timed(["g++", "-std=c++20", "-c", source, "-o", os.path.join(scratch, "one.o"), *includes])
                for _ in range(3))
        ratio = seconds["powerhouse/powerhouse.h"] / seconds["torch/torch.h"]
        print(f"\ncompile time: powerhouse/powerhouse.h {seconds['powerhouse/powerhouse.h']:.1f} s, torch/torch.h "
              f"{seconds['torch/torch.h']:.1f} s; ratio {ratio:.2f} (wanted: at most 0.25)")


def perplexity(arguments):
    if not arguments.llama_perplexity or not arguments.text:
        print("\nperplexity: give --llama-perplexity PROGRAM and --text FILE")
        return
    ours = json.loads(run([PROGRAM, "perplexity", "--model", arguments.model, "--file", arguments.text, "--json"]))
    done = subprocess.run([arguments.llama_perplexity, "-m", arguments.model, "-f", arguments.text, "-c", "512",
                           "-t", str(arguments.threads)], capture_output=True, text=True)
    found = re.search(r"Final estimate: PPL = ([0-9.]+)", done.stdout + done.stderr)
    if not found:
        sys.exit("compare: llama-perplexity printed no estimate")
    theirs = float(found.group(1))
    print(f"\nperplexity in f32: {ours['perplexity']:.4f}; llama-perplexity {theirs:.4f}; "
          f"apart by {100 * abs(ours['perplexity'] / theirs - 1):.3f} % (wanted: at most 0.5 %)")


def tokenizers(arguments):
    program = arguments.tokenizer_bench or os.path.join(os.path.dirname(PROGRAM), "tokenizer_bench")
    folder = os.path.join(ROOT, "build", "tokenizer-corpora")
    os.makedirs(folder, exist_ok=True)
    python = peer_python(arguments.python)
    if not compare_tokenizers.tokenizers(python, program, arguments.model, folder, arguments.runs):
        sys.exit(1)


def cpu(arguments):
    tools = compare_cpu.Tools(root=ROOT, powerhouse=PROGRAM, python=peer_python(arguments.python),
                              bare_libtorch=bare_libtorch(compare_cpu.work_folder(ROOT)))
    compare_cpu.cpu(tools, arguments)


def train(arguments):
    compare_train.train(compare_cpu.Tools(root=ROOT, powerhouse=PROGRAM, python=peer_python(arguments.python), bare_libtorch=""),
                        arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a GGUF file of the Llama family")
    parser.add_argument("--tokenizers", action="store_const", const=["tokenizers"], dest="only")
    parser.add_argument("--tokenizer-bench", help="the program; build/release/bin/tokenizer_bench where not given")
    parser.add_argument("--cpu", action="store_const", const=["cpu"], dest="only")
    parser.add_argument("--train", action="store_const", const=["train"], dest="only")
    parser.add_argument("--only", nargs="+",
                        choices=["speed", "startup", "header", "perplexity", "tokenizers", "cpu", "train"],
                        default=["speed", "startup", "header", "perplexity"])
    parser.add_argument("--python", help="a Python that has the peers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--llama-perplexity")
    parser.add_argument("--text")
    compare_cpu.add_arguments(parser.add_argument_group("cpu"))
    compare_train.add_arguments(parser.add_argument_group("train"))
    arguments = parser.parse_args()
    for name in arguments.only:
        {"speed": speed, "startup": startup, "header": header, "perplexity": perplexity,
         "tokenizers": tokenizers, "cpu": cpu, "train": train}[name](arguments)


main()
