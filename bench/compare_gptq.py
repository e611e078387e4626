"""Our GPTQ beside AutoGPTQ's algorithm in PyTorch on one model and the same calibration: time, in turns that alternate.

    python bench/compare_gptq.py POWERHOUSE PEER MODEL CALIBRATION IDS [--group 64] [--turns 2] [--threads 2]

MODEL is a folder; a few layers of a model do (tests/oracles/dithered_model.py writes them), as time goes with layers:
what the peer says layer by layer is printed. CALIBRATION and IDS are of tests/oracles/calibration_texts.py, PEER holds
auto_gptq (tests/oracles/gptq_model.py). Ours is the whole command: tokenizing, packing and writing included. The peer's
time begins when its model is loaded and ends before anything is packed or written.
"""
import argparse
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ORACLE = pathlib.Path(__file__).resolve().parent.parent / "tests/oracles/gptq_model.py"


def run(command):
    begin = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.perf_counter() - begin, done.stdout


def main():
    parser = argparse.ArgumentParser()
    for name in ("powerhouse", "peer", "model", "calibration", "ids"):
        parser.add_argument(name)
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    count = len(open(options.ids).readlines())
    folder = pathlib.Path(tempfile.mkdtemp())
    ours, theirs = [], []
    for _ in range(options.turns):
        ours.append(run([options.powerhouse, "quantize", "--model", options.model, "--type", "gptq", "--group-size",
                         options.group, "--calibration", options.calibration, "--sequences", count, "--output",
                         folder / "ours", "--threads", options.threads])[0])
        shutil.rmtree(folder / "ours")
        said = run([sys.executable, ORACLE, options.peer, options.model, options.ids, folder / "theirs", "--group",
                    options.group, "--threads", options.threads])[1]
        shutil.rmtree(folder / "theirs")
        theirs.append(float(re.search(r"total: ([\d.]+)", said).group(1)))
        layers = [float(x) for x in re.findall(r"layer \d+: ([\d.]+)", said)]
        print(f"ours {ours[-1]:.1f} s, theirs {theirs[-1]:.1f} s, each of its layers "
              f"{', '.join(f'{b - a:.1f}' for a, b in zip([0.0] + layers, layers))}", flush=True)
    ratio = statistics.median(theirs) / statistics.median(ours)
    print(f"{count} sequences: ours {statistics.median(ours):.1f} s, theirs {statistics.median(theirs):.1f} s, {ratio:.2f} x")


if __name__ == "__main__":
    main()
