"""Our quantized files and our measures of them beside llama.cpp's: perplexity, KL divergence, and the most probable token.

    python bench/compare_quality.py POWERHOUSE LLAMA_BIN MODEL TEXT [--calibration TEXT] [--types Q4_K_M,IQ4_XS]

MODEL is a folder or a GGUF file of floats. Of each type, and with --calibration once more with llama-imatrix's importance:
llama-quantize's file and ours from one float file, and whether their bytes are the same; llama-perplexity of both (the
figures of its run with --kl-divergence), `powerhouse perplexity` and `powerhouse compare` of ours, all on the same chunks of
512 tokens. llama.cpp rounds activations to 8 bits where weights are quantized; ours are exact numerics. So llama.cpp measures
our file's values as float32 too ("values" in the table), where it rounds nothing but the reference's log-probabilities, to 16
bits. Fails where llama.cpp's perplexities of the two files differ by more than 0.1 %, and where ours are further from its own
of the values than 0.1 % (perplexity), 2 % (mean and 99th percentile of the divergence) or 0.2 points (same top token). A
hundred kilobytes of text take a minute a model, and 50 MB a thousand tokens for the reference's log-probabilities. What is the
same for all types (the float file, its log-probabilities, the importance) stays in --work for a run with other types; give each
model and text a folder of its own.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser()
parser.add_argument("powerhouse", type=pathlib.Path)
parser.add_argument("llama", type=pathlib.Path)
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("text", type=pathlib.Path)
parser.add_argument("--calibration", type=pathlib.Path)
parser.add_argument("--types", default="Q4_K_M,Q5_K_M,Q6_K,IQ4_XS")
parser.add_argument("--threads", default="2")
parser.add_argument("--work", type=pathlib.Path)
arguments = parser.parse_args()
folder = arguments.work or pathlib.Path(tempfile.mkdtemp())
folder.mkdir(parents=True, exist_ok=True)


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def ours(*command):
    return json.loads(subprocess.run([str(arguments.powerhouse), *map(str, command), "--threads", arguments.threads, "--json"],
                                     check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


def llama_perplexity(path, *more):
    return run(arguments.llama / "llama-perplexity", "-m", path, "-f", arguments.text, "-t", arguments.threads, "-c", 512, *more)


def measured(output, name):
    found = re.search(rf"^{re.escape(name)}\s*[:=]\s*([-\d.einf]+)\s*(?:±\s*([\d.einf-]+))?", output, re.M)
    if not found:
        sys.exit(f"llama-perplexity says no {name}:\n{output[-3000:]}")
    return float(found.group(1)), float(found.group(2) or "nan")


source = folder / "source.gguf"
if not source.exists():
    run(arguments.powerhouse, "quantize", "--model", arguments.model, "--type", "F32", "--output", source)
base = folder / "base.kld"
if not base.exists():
    llama_perplexity(source, "--save-all-logits", folder / "base.unfinished")
    (folder / "base.unfinished").rename(base)
importance = []
if arguments.calibration:
    importance = ["--imatrix", folder / "imatrix.gguf"]
if arguments.calibration and not importance[1].exists():
    unfinished = folder / "unfinished.gguf"
    run(arguments.llama / "llama-imatrix", "-m", source, "-f", arguments.calibration, "-o", unfinished, "-t", arguments.threads,
        "--no-ppl")
    unfinished.rename(importance[1])
failures = []


def check(what, difference, allowed):
    if not abs(difference) <= allowed:
        failures.append(f"{what}: {difference:.6f}, allowed {allowed:.6f}")


print("| type | bytes | llama.cpp: PPL of its file | of ours | of its values | PPL here | KL of ours | of its values | KL here "
      "| 99 % KL of its values | here | same top of its values | here |\n|" + "---|" * 13)
for kind in arguments.types.split(","):
    for flags in [[]] + ([importance] if importance else []):
        name = kind + (" imatrix" if flags else "")
        their_file, our_file = folder / f"theirs.{kind}.gguf", folder / f"ours.{name.replace(' ', '.')}.gguf"
        run(arguments.llama / "llama-quantize", *flags, source, their_file, kind, arguments.threads)
        run(arguments.powerhouse, "quantize", "--model", source, "--type", kind, "--output", our_file, *flags)
        same = their_file.read_bytes() == our_file.read_bytes()
        output = llama_perplexity(our_file, "--kl-divergence", "--kl-divergence-base", base)
        other = output if same else llama_perplexity(their_file, "--kl-divergence", "--kl-divergence-base", base)
        of_theirs = measured(other, "Mean PPL(Q)")[0]
        there, there_error = measured(output, "Mean PPL(Q)")
        check(f"{name}: perplexity of our file to that of llama-quantize's", there / of_theirs - 1, 0.001)
        values = folder / "values.gguf"
        run(arguments.powerhouse, "quantize", "--model", our_file, "--type", "F32", "--allow-requantize", "--output", values)
        exact = llama_perplexity(values, "--kl-divergence", "--kl-divergence-base", base)
        values.unlink()
        here = ours("perplexity", "--model", our_file, "--file", arguments.text)
        found = ours("compare", "--models", f"{source},{our_file}", "--text", arguments.text, "--no-speed")["models"][1]
        divergence = found["divergence"]
        perplexity = measured(exact, "Mean PPL(Q)")[0]
        kl, kl_99 = measured(exact, "Mean    KLD")[0], measured(exact, "99.0%   KLD")[0]
        top = measured(exact, "Same top p")[0]
        check(f"{name}: perplexity", here["perplexity"] / perplexity - 1, 0.001)
        check(f"{name}: mean KL divergence", divergence["mean"] / kl - 1, 0.02)
        check(f"{name}: 99th percentile of it", divergence["percentile_99"] / kl_99 - 1, 0.02)
        check(f"{name}: same top token", 100 * divergence["same_top"] - top, 0.2)
        rounded, rounded_error = measured(output, "Mean    KLD")
        print(f"| {name} | {'the same' if same else 'other'} | {of_theirs:.4f} | {there:.4f} ± {there_error:.2f} | "
              f"{perplexity:.4f} | {here['perplexity']:.4f} ± {here['standard_error']:.2f} | "
              f"{rounded:.5f} ± {rounded_error:.5f} | {kl:.5f} | {divergence['mean']:.5f} | "
              f"{kl_99:.4f} | {divergence['percentile_99']:.4f} | {top:.2f} | {100 * divergence['same_top']:.2f} |", flush=True)
        their_file.unlink()
for failure in failures:
    print(failure)
sys.exit(1 if failures else 0)
