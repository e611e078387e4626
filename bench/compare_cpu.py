"""`compare.py --cpu`: inference on the CPU against llama.cpp, its forks and transformers, and against the machine's limits.

Every figure is the median of runs that alternate with the peer's, a process each, on the same threads; figures of a file
are of one run of this program on one machine, otherwise idle. Models are files of one folder (--models): smollm2-TYPE.gguf
and proxy-1b-TYPE.gguf, which --make-models makes. The sections' figures are kept in build/compare-cpu, so that a long run
may be made in parts (--sections); the report is written of all that are there.

    smollm2 proxy        prefill of 512 tokens and decode, file by file
    transformers         prefill of 512 tokens in bf16
    batch depth          eight sequences at once; 4,096 tokens in the cache
    start memory wall    load to first token; peak memory; wall time of generating 16 and 256 tokens
    quality              perplexity and KL divergence of the fast path
"""
import json
import os
import sys
import tempfile

import compare_transformers
import cpu_build
import cpu_quality
import cpu_report
from cpu_tools import Tools, alternate, run, wall

__all__ = ["Tools", "add_arguments", "cpu", "work_folder"]

PROMPT = "Once upon a time, in a village by the sea, there lived"
FOUR_BIT = ["q4_0", "q4_1", "q4_k_m"]


def work_folder(root):
    folder = os.path.join(root, "build", "compare-cpu")
    os.makedirs(folder, exist_ok=True)
    return folder


def add_arguments(group):
    group.add_argument("--models", help="the folder of models; build/compare-cpu/models where not given")
    group.add_argument("--make-models", action="store_true", help="make them of --model, SmolLM2 in Q4_1")
    group.add_argument("--llama", help="the folder of llama.cpp's programs, in its build folder")
    group.add_argument("--build-llama", action="store_true", help="build it from the sdist of llama-cpp-python")
    group.add_argument("--peer", action="append", default=[], metavar="NAME=PROGRAM[:FLAGS]",
                       help="the llama-bench of a fork, e.g. ik_llama.cpp=ik/build/bin/llama-bench:-rtr 1")
    group.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    group.add_argument("--types", nargs="+", help="of the models, all by default")
    group.add_argument("--quick", action="store_true", help="one run, few files: to see that all works")
    group.add_argument("--fresh", action="store_true", help="forget the figures of earlier runs")
    group.add_argument("--report", help="the file to write; bench/results/cpu.md where not given")


class Context:
    def __init__(self, tools, arguments):
        self.tools, self.runs = tools, 1 if arguments.quick else arguments.runs
        self.models, self.quick, self.folder = arguments.models, arguments.quick, work_folder(tools.root)
        self.types, self.commit = arguments.types, cpu_report.commit(tools)

    def path(self, name):
        return os.path.join(self.models, name + ".gguf")

    def files(self, stem, types):
        kept = [kind for kind in types if self.types is None or kind in self.types]
        return [(kind, self.path(f"{stem}-{kind}")) for kind in (kept[:1] if self.quick else kept)]

    def row(self, **fields):
        print(f"  {fields['work']}  {fields['file']}", file=sys.stderr, flush=True)
        return {**fields, "commit": self.commit}

    def llama_bench(self, model, prompt=512, new=128, extra=()):
        program = os.path.join(self.tools.llama, "llama-bench")
        return self.tools.llama_bench("llama-bench", program, model, prompt, new, extra)


def speeds(context, stem, types, new):
    """Prefill and decode of each file by us and llama.cpp, and of 4-bit files by the other peers."""
    for kind, model in context.files(stem, types):
        calls = {"ours": lambda: context.tools.ours(model, new=new, limits=True),
                 "llama.cpp": lambda: context.llama_bench(model, new=new)}
        for name, (program, flags) in context.tools.peers.items():
            if kind in FOUR_BIT and stem == "smollm2":
                calls[name] = lambda name=name, program=program, flags=flags: context.tools.llama_bench(
                    name, program, model, 512, new, flags)
        found = alternate(context.runs, calls)
        fractions = {key: [one[key] for one in found["ours"]] for key in (
            "fraction_of_bandwidth_limit", "fraction_of_gemm_limit", "memory_bandwidth_bytes_per_second",
            "memory_bandwidth_2gib_bytes_per_second")}
        read = found["ours"][0]["weight_bytes_read_per_pass"]
        for name in list(calls)[1:]:
            common = {"file": f"{stem}-{kind}", "peer": name, "unit": "tokens/s", "limits": fractions,
                      "weights_read": read, "weights_in_file": weights_in_file(context, model)}
            yield context.row(work=f"decode {new}", ours=[one["new_tokens_per_second"] for one in found["ours"]],
                              theirs=[one["new"] for one in found[name]], **common)
            yield context.row(work="prefill 512", ours=[one["prompt_tokens_per_second"] for one in found["ours"]],
                              theirs=[one["prompt"] for one in found[name]], **common)


def weights_in_file(context, model):
    """What the file's weights of one pass take in the file: all but embeddings that are not the head too."""
    tensors = json.loads(run([context.tools.powerhouse, "inspect", "--model", model, "--tensors", "--json"]))["tensors"]
    names = {tensor["name"] for tensor in tensors}
    return sum(t["bytes"] for t in tensors if t["name"] != "token_embd.weight" or "output.weight" not in names)


def smollm2(context):
    return speeds(context, "smollm2", cpu_build.SMOLLM2, 128)


def proxy(context):
    return speeds(context, "proxy-1b", cpu_build.PROXY, 64)


def transformers(context):
    model, tools = context.path("smollm2-bf16"), context.tools
    folder = compare_transformers.folder_of(run, tools.python, model, os.path.join(context.folder, "transformers"))
    found = alternate(context.runs, {
        "ours": lambda: tools.ours(model, new=0, limits=True),
        "theirs": lambda: compare_transformers.measure(run, tools.python, folder, 512, 1, int(tools.threads))})
    one = found["theirs"][0]
    yield context.row(work="prefill 512", file="smollm2-bf16", unit="tokens/s",
                      peer=f"transformers {one['version']}, bf16, logits_to_keep=1",
                      ours=[one["prompt_tokens_per_second"] for one in found["ours"]],
                      theirs=[one["prompt_tokens_per_second"] for one in found["theirs"]],
                      limits={"fraction_of_gemm_limit": [one["fraction_of_gemm_limit"] for one in found["ours"]]})


def batch(context):
    for kind, model in context.files("smollm2", ["q4_1", "q4_0", "q8_0", "bf16"]):
        found = alternate(context.runs, {
            "ours": lambda: context.tools.ours(model, 0, 64, extra=("--batch", "8", "--depth", "16"))["new_tokens_per_second"],
            "theirs": lambda: context.tools.batched_bench(model, 8, 16, 64)})
        yield context.row(work="decode, 8 sequences", file=f"smollm2-{kind}", unit="tokens/s", peer="llama-batched-bench",
                          **found)


def depth(context):
    for kind, model in context.files("smollm2", ["q4_1", "q4_0", "q8_0"]):
        found = alternate(context.runs, {
            "ours": lambda: context.tools.ours(model, 0, 64, extra=("--depth", "4096"))["new_tokens_per_second"],
            "theirs": lambda: context.llama_bench(model, 0, 64, ("-d", "4096"))["new"]})
        yield context.row(work="decode at 4,096 tokens", file=f"smollm2-{kind}", unit="tokens/s", peer="llama.cpp", **found)


def timed(context, work, new, model, runs):
    found = alternate(runs, {"ours": lambda: wall(context.tools.generate(model, new, PROMPT))[0],
                             "theirs": lambda: wall(context.tools.completion(model, new, PROMPT))[0]})
    return context.row(work=work, file="smollm2-q4_1", unit="s", peer="llama-completion", **found)


def start(context):
    model = context.path("smollm2-q4_1")
    wall(context.tools.generate(model, 1, PROMPT)), wall(context.tools.completion(model, 1, PROMPT))
    yield timed(context, "load to first token", 1, model, max(context.runs, 1 if context.quick else 9))


def wall_time(context):
    model = context.path("smollm2-q4_1")
    made = json.loads(run(context.tools.generate(model, 256, PROMPT) + ["--json"]))
    if made["new_tokens"] != 256:
        sys.exit(f"compare: the prompt of the wall time ends after {made['new_tokens']} tokens")
    for new in (16, 256):
        yield timed(context, f"generate {new} tokens, wall time", new, model, max(context.runs, 1 if context.quick else 5))


def memory(context):
    model, tools = context.path("smollm2-q4_1"), context.tools
    found = alternate(context.runs, {"bare": lambda: wall([tools.bare_libtorch, os.devnull])[1],
                                     "ours": lambda: wall(tools.generate(model, 128, PROMPT))[1],
                                     "theirs": lambda: wall(tools.completion(model, 128, PROMPT))[1]})
    less = [whole - bare for whole, bare in zip(found["ours"], found["bare"])]
    yield context.row(work="peak memory, less bare LibTorch", file="smollm2-q4_1", unit="MB", peer="llama-completion",
                      ours=[x / 1e6 for x in less], theirs=[x / 1e6 for x in found["theirs"]],
                      whole=[x / 1e6 for x in found["ours"]])


def quality(context):
    stems = [("smollm2", cpu_build.SMOLLM2)] if context.quick else [("smollm2", cpu_build.SMOLLM2), ("proxy-1b", ["q4_0"])]
    for stem, types in stems:
        for kind, model in context.files(stem, types):
            with tempfile.TemporaryDirectory(dir=context.folder) as scratch:
                yield context.row(work="quality", file=f"{stem}-{kind}",
                                  found=cpu_quality.measure(context.tools, run, model, scratch))


SECTIONS = {"smollm2": smollm2, "proxy": proxy, "transformers": transformers, "batch": batch, "depth": depth, "start": start,
            "memory": memory, "wall": wall_time, "quality": quality}


class Results:
    """The figures of all runs on this machine, written to a file after each."""

    def __init__(self, tools, path, content):
        self.tools, self.path, self.content = tools, path, content

    def add(self, section, row):
        rows = self.content["rows"].setdefault(section, [])
        what = (row["work"], row["file"], row.get("peer"))
        rows[:] = [one for one in rows if (one["work"], one["file"], one.get("peer")) != what] + [row]
        self.content["commands"].update(self.tools.commands)
        with open(self.path + ".new", "w") as file:
            json.dump(self.content, file, indent=1)
        os.replace(self.path + ".new", self.path)


def kept_results(tools, path, fresh):
    machine = cpu_report.machine(tools)
    content = {"rows": {}, "commands": {}, "machine": machine, "peers": {}}
    if os.path.exists(path) and not fresh:
        with open(path) as file:
            content = json.load(file)
    if content["machine"] != machine:
        sys.exit(f"compare: {path} holds figures of another machine or of other threads; --fresh forgets them")
    content["llama.cpp"] = cpu_report.llama_version(tools)
    content["peers"].update(
        {name: " ".join([os.path.basename(program), *flags]) for name, (program, flags) in tools.peers.items()})
    return Results(tools, path, content)


def cpu(tools, arguments):
    folder = work_folder(tools.root)
    tools.threads = str(arguments.threads)
    arguments.models = arguments.models or os.path.join(folder, "models")
    tools.llama = arguments.llama or ""
    if arguments.build_llama:
        tools.llama = cpu_build.build_llama(os.path.join(folder, "llama"), arguments.model)
    if not os.path.exists(os.path.join(tools.llama, "llama-bench")):
        sys.exit("compare: --cpu needs --llama FOLDER or --build-llama")
    if arguments.make_models:
        cpu_build.make_models(tools.root, tools.python, tools.llama, arguments.model, arguments.models)
    for peer in arguments.peer:
        name, rest = peer.split("=", 1)
        program, _, flags = rest.partition(":")
        tools.peers[name] = (program, tuple(flags.split()))
    results = kept_results(tools, os.path.join(folder, "results.json"), arguments.fresh)
    context = Context(tools, arguments)
    for section in arguments.sections:
        print(section, file=sys.stderr, flush=True)
        for row in SECTIONS[section](context):
            results.add(section, row)
    report = arguments.report or os.path.join(tools.root, "bench", "results", "cpu.md")
    os.makedirs(os.path.dirname(os.path.abspath(report)), exist_ok=True)
    text = cpu_report.write(results.content)
    with open(report, "w") as file:
        file.write(text)
    print(text, flush=True)
