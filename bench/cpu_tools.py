"""The programs that `compare.py --cpu` runs, each call one process: what it prints, how long it took, what it held."""
import json
import os
import shlex
import subprocess
import sys
import time


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"compare: {' '.join(command[:3])} ... failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return done.stdout


def wall(command):
    """Seconds from start to end, and the peak resident size in bytes."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    if child.returncode != 0:
        sys.exit(f"compare: {' '.join(command[:3])} ... failed ({child.returncode})")
    return seconds, usage.ru_maxrss * 1024


def alternate(runs, calls):
    """{name: the results of its calls}, of which each run makes one after the other."""
    found = {name: [] for name in calls}
    for _ in range(runs):
        for name, one in calls.items():
            found[name].append(one())
    return found


class Tools:
    def __init__(self, root, powerhouse, python, bare_libtorch):
        self.root, self.powerhouse, self.python, self.bare_libtorch = root, powerhouse, python, bare_libtorch
        self.threads, self.llama, self.peers, self.commands = "2", "", {}, {}

    def note(self, what, command):
        """Remembers how a tool was called, for the report."""
        shown = [os.path.basename(command[0])] + [os.path.basename(c) if os.sep in c else c for c in command[1:]]
        self.commands[what] = shlex.join(shown)
        return command

    def ours(self, model, prompt=512, new=128, limits=False, extra=()):
        command = [self.powerhouse, "benchmark", "--model", model, "--prompt-tokens", str(prompt), "--new-tokens", str(new),
                   "--repetitions", "1", "--threads", self.threads, "--json", *extra]
        return json.loads(run(self.note("benchmark" + "".join(extra), command + ([] if limits else ["--no-limits"]))))

    def llama_bench(self, name, program, model, prompt=512, new=128, extra=()):
        command = [program, "-m", model, "-t", self.threads, "-p", str(prompt), "-n", str(new), "-r", "1", "-o", "json",
                   *extra]
        out = run(self.note(name + "".join(extra), command))
        tests = json.loads(out[out.index("["):])
        return {"prompt": next((t["avg_ts"] for t in tests if t["n_prompt"] > 0), 0.0),
                "new": next((t["avg_ts"] for t in tests if t["n_gen"] > 0), 0.0), "commit": tests[0]["build_commit"]}

    def batched_bench(self, model, batch, prompt, new):
        command = [os.path.join(self.llama, "llama-batched-bench"), "-m", model, "-t", self.threads, "-npp", str(prompt),
                   "-ntg", str(new), "-npl", str(batch), "-c", str(batch * (prompt + new)), "--output-format", "jsonl"]
        lines = [line for line in run(self.note("llama-batched-bench", command)).splitlines() if line.startswith("{")]
        return json.loads(lines[-1])["speed_tg"]

    def generate(self, model, new, prompt):
        command = [self.powerhouse, "generate", "--model", model, "--prompt", prompt, "--max-new-tokens", str(new),
                   "--threads", self.threads]
        return self.note("generate", command)

    def completion(self, model, new, prompt):
        """Greedy, without a warm-up, with a context of no more than it needs: its cache is made at once."""
        command = [os.path.join(self.llama, "llama-completion"), "-m", model, "-p", prompt, "-n", str(new), "-t", self.threads,
                   "-c", "512", "--temp", "0", "--ignore-eos", "-no-cnv", "--no-warmup"]
        return self.note("llama-completion", command)
