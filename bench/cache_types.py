"""What types of the cache cost, for keys and values apart: KL divergence of the logits from those with a cache of float32.

    python bench/cache_types.py POWERHOUSE MODEL TEXT [--types f16:f16,q8_0:q8_0,q8_0:q4_0] [--llama LLAMA_BIN]

A type pair is keys:values. MODEL's weights are the same on both sides, so that the cache alone makes the difference. With
--llama the same by llama-perplexity --kl-divergence (its reference has a cache of float32 too; MODEL is then a GGUF file).
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

PAIRS = ("bf16:bf16,f16:f16,q8_0:q8_0,q8_0:f16,f16:q8_0,q8_0:q4_0,q4_0:q8_0,q5_1:q5_1,q4_1:q4_1,q4_0:f16,f16:q4_0,q4_0:q4_0,"
         "iq4_nl:iq4_nl")
parser = argparse.ArgumentParser()
parser.add_argument("powerhouse", type=pathlib.Path)
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("text", type=pathlib.Path)
parser.add_argument("--types", default=PAIRS)
parser.add_argument("--llama", type=pathlib.Path)
parser.add_argument("--threads", default="2")
arguments = parser.parse_args()
base = pathlib.Path(tempfile.mkdtemp()) / "base.kld"


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-1000:]}\n{done.stderr[-1000:]}")
    return done.stdout


def llama(keys, values, *more):
    return run(arguments.llama / "llama-perplexity", "-m", arguments.model, "-f", arguments.text, "-t", arguments.threads, "-c",
               512, "-fa", "on", "-ctk", keys, "-ctv", values, "--kl-divergence-base", base, *more)


def of_llama(keys, values):
    output = llama(keys, values, "--kl-divergence")
    mean, error = re.search(r"Mean +KLD: +([-\d.]+) ± +([-\d.]+)", output).groups()
    return f" {float(mean):.6f} ± {float(error):.6f} | {float(re.search(r'99.0% +KLD: +([-0-9.]+)', output).group(1)):.5f} |"


if arguments.llama:
    llama("f32", "f32")
print("| keys | values | bytes a token | perplexity ratio - 1 | mean KL | 99 % KL | same top token |"
      + (" llama.cpp: mean KL | 99 % KL |" if arguments.llama else ""))
print("|" + "---|" * (9 if arguments.llama else 7))
for pair in arguments.types.split(","):
    keys, values = pair.split(":")
    found = json.loads(run(arguments.powerhouse, "compare", "--models", arguments.model, "--reference", arguments.model, "--text",
                           arguments.text, "--no-speed", "--json", "--cache-type-k", keys, "--cache-type-v", values,
                           "--threads", arguments.threads))["models"][-1]
    kl = found["divergence"]
    print(f"| {keys} | {values} | {found['cache_bytes_per_token']} | {100 * kl['log_perplexity_ratio']:+.3f} ± "
          f"{100 * kl['log_perplexity_ratio_error']:.3f} % | {kl['mean']:.6f} ± {kl['standard_error']:.6f} | "
          f"{kl['percentile_99']:.5f} | {100 * kl['same_top']:.2f} % |"
          + (of_llama(keys, values) if arguments.llama else ""), flush=True)
