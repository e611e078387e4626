"""What the fast path costs in quality, over 2,000 real tokens of a file in one sequence: logits of our fast path, many rows
a pass and one, and llama.cpp's, each held against our float32 path.

    python cpu_quality.py IDS.txt F32.safetensors OTHER ... LAST.f32     compares files of logits; needs numpy"""
import json
import os
import sys

TOKENS = 2000
# English of the machine's Python, the same wherever that Python is: what these modules say of themselves.
MODULES = ["argparse", "asyncio.tasks", "collections", "decimal", "difflib", "fractions", "heapq", "inspect", "random",
           "statistics", "string", "subprocess", "textwrap", "threading"]


def english():
    import importlib
    import inspect
    texts, seen = [], set()
    for name in MODULES:
        module = importlib.import_module(name)
        for item in [module] + [value for _, value in sorted(vars(module).items()) if inspect.isclass(value) or
                                inspect.isfunction(value)]:
            text = inspect.getdoc(item)
            if text and len(text) > 200 and text not in seen:
                seen.add(text)
                texts.append(text)
    return "\n\n".join(texts)


def read(path, vocabulary):
    import numpy
    offset = 0
    if path.endswith(".safetensors"):
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            begin, _ = json.loads(file.read(length))["logits"]["data_offsets"]
        offset = 8 + length + begin
    return numpy.memmap(path, dtype=numpy.float32, mode="r", offset=offset).reshape(-1, vocabulary)


def compare(reference, others, ids, vocabulary):
    """Perplexity of each, and of the others the mean KL divergence from the reference and the share of equal firsts."""
    import numpy
    base = read(reference, vocabulary)
    rows = len(ids)
    found = {}
    for path in [reference] + others:
        logits = read(path, vocabulary)
        divergence, same, loss = 0.0, 0, 0.0
        for first in range(0, rows, 100):
            p = numpy.asarray(base[first:first + 100], dtype=numpy.float64)
            q = numpy.asarray(logits[first:first + 100], dtype=numpy.float64)
            same += int((p.argmax(1) == q.argmax(1)).sum())
            p -= numpy.log(numpy.exp(p - p.max(1, keepdims=True)).sum(1, keepdims=True)) + p.max(1, keepdims=True)
            q -= numpy.log(numpy.exp(q - q.max(1, keepdims=True)).sum(1, keepdims=True)) + q.max(1, keepdims=True)
            divergence += float((numpy.exp(p) * (p - q)).sum())
            targets = ids[first + 1:first + 101]
            loss -= float(q[numpy.arange(len(targets)), targets].sum())
        found[path] = {"kl": divergence / rows, "top1": same / rows, "perplexity": float(numpy.exp(loss / (rows - 1)))}
    return found


def build_oracle(tools, run, folder):
    """llama_logits, linked with the library that llama.cpp's programs were made of."""
    program = os.path.join(folder, "llama_logits")
    build = os.path.dirname(tools.llama.rstrip(os.sep))
    tree = os.path.dirname(build)
    libraries = [os.path.join(build, place) for place in ("src/libllama.a", "ggml/src/libggml.a",
                                                          "ggml/src/libggml-cpu.a", "ggml/src/libggml-base.a")]
    run(["g++", "-O2", "-std=c++17", "-I", os.path.join(tree, "include"), "-I", os.path.join(tree, "ggml", "include"),
         os.path.join(tools.root, "bench", "llama_logits.cpp"), "-o", program, *libraries, "-fopenmp", "-ldl"])
    return program


def measure(tools, run, model, folder, tokens=TOKENS):
    """{"f32", "fast", "fast, one by one", "llama.cpp", "llama.cpp, one by one"}: perplexity, kl and top1 each."""
    text = os.path.join(folder, "english.txt")
    with open(text, "w", encoding="utf-8") as file:
        file.write(english()[:8 * tokens])
    ids = run([tools.powerhouse, "tokenize", "--model", model, "--file", text]).split()[:tokens]
    if len(ids) < tokens:
        sys.exit(f"compare: the text has {len(ids)} tokens, not {tokens}")
    listed = os.path.join(folder, "ids.txt")
    with open(listed, "w") as file:
        file.write(" ".join(ids))
    oracle = build_oracle(tools, run, folder)
    places = {}
    for name, dtype, rows in (("f32", "f32", 512), ("fast", "auto", 512), ("fast, one by one", "auto", 1)):
        places[name] = os.path.join(folder, name.replace(" ", "-").replace(",", "") + ".safetensors")
        run([tools.powerhouse, "logits", "--model", model, "--ids", " ".join(ids), "--dtype", dtype, "--rows", str(rows),
             "--threads", tools.threads, "--output", places[name]])
    for name, rows in (("llama.cpp", 512), ("llama.cpp, one by one", 1)):
        places[name] = os.path.join(folder, name.replace(" ", "-").replace(",", "") + ".f32")
        run([oracle, model, listed, places[name], tools.threads, str(rows)])
    out = run([tools.python, os.path.abspath(__file__), listed, *places.values()])
    for path in places.values():
        os.remove(path)
    found = json.loads(out)
    return {name: found[path] for name, path in places.items()}


def main():
    with open(sys.argv[1]) as file:
        ids = [int(word) for word in file.read().split()]
    vocabulary = os.path.getsize(sys.argv[-1]) // 4 // len(ids)
    print(json.dumps(compare(sys.argv[2], sys.argv[3:], ids, vocabulary)))


if __name__ == "__main__":
    main()
