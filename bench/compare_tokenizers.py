"""`compare.py --tokenizers`: Powerhouse's tokenizers against the packages fastokens and tokenizers, on the texts and
vocabularies of tokenizer_corpora.py, in pieces of 4,000 characters, all pieces in one call (a pass), two threads each.

A run is a fresh process of each in turn: its first pass and the median of its later ones; the table holds medians of the
runs. fastokens is measured by encode_batch_flat, its fastest call, which gives 32-bit ids in one block; ours gives a list of
64-bit ids a piece. SmolLM2's vocabulary is measured with its own pre-tokenizer (digits apart, then GPT-2's pattern), and with
GPT-2's and with Llama 3's pattern alone, which fastokens runs by vector instructions. Ids of all must be the same.
"""
import json
import os
import statistics
import subprocess
import sys

GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
LLAMA3 = {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "behavior": "Isolated", "invert": False, "pattern": {"Regex":
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}},
    dict(GPT2, use_regex=False)]}

# A package: loads FOLDER/tokenizer.json, encodes the text PASSES times, prints the seconds, writes the ids.
PEER = """
import array, json, sys, time
package, folder, path, passes, out = sys.argv[1:6]
text = open(path, encoding="utf-8", newline="").read()
pieces = [text[i:i + 4000] for i in range(0, len(text), 4000)]
if package == "fastokens":
    import fastokens
    encode = fastokens.Tokenizer.from_file(folder + "/tokenizer.json").encode_batch_flat
else:
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
    encode = lambda pieces: tokenizer.encode_batch_fast(pieces, add_special_tokens=False)
seconds = []
for _ in range(int(passes)):
    ids = None
    begin = time.perf_counter()
    ids = encode(pieces)
    seconds.append(time.perf_counter() - begin)
if package == "fastokens":
    flat, ends = array.array("I", ids[0]), array.array("Q", ids[1])
    ids = [flat[ends[i]:ends[i + 1]] for i in range(len(pieces))]
else:
    ids = [array.array("I", encoding.ids) for encoding in ids]
with open(out, "wb") as file:
    for piece in ids:
        array.array("I", [len(piece)]).tofile(file)
        piece.tofile(file)
print(json.dumps(seconds))
"""


def run(command, **environment):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode != 0:
        sys.exit(f"compare: {' '.join(command[:2])} ... failed:\n{done.stderr[-2000:]}")
    return done.stdout


def vocabularies(folder):
    """Folders of tokenizer.json by what they are, with the package to hold against and the ratio wanted."""
    with open(os.path.join(folder, "bpe", "tokenizer.json"), encoding="utf-8") as file:
        description = json.load(file)
    for name, pre_tokenizer in (("gpt2", GPT2), ("llama3", LLAMA3)):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        with open(os.path.join(folder, name, "tokenizer.json"), "w", encoding="utf-8") as file:
            json.dump(dict(description, pre_tokenizer=pre_tokenizer), file)
    return {"bpe": ("SmolLM2", "fastokens", 1), "gpt2": ("SmolLM2, GPT-2's pattern", "fastokens", 1),
            "llama3": ("SmolLM2, Llama 3's pattern", "fastokens", 1), "unigram": ("Unigram", "tokenizers", 5),
            "wordpiece": ("WordPiece", "tokenizers", 5)}


def measure(tool, commands, size, passes, ids):
    seconds = json.loads(run(commands[tool] + [ids], RAYON_NUM_THREADS="2", TOKENIZERS_PARALLELISM="true"))
    speeds = [size / 1e6 / value for value in seconds]
    return speeds[0], statistics.median(speeds[1:])


def tokenizers(python, program, model, folder, runs, passes=4):
    corpora = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer_corpora.py")
    if not os.path.exists(os.path.join(folder, "wordpiece", "tokenizer.json")):
        print(f"making texts and tokenizers in {folder}", file=sys.stderr)
        run([python, corpora, folder, model])
    print(f"\nMB/s of 10 MB in pieces of 4,000 characters, two threads; medians of {runs} interleaved runs; "
          f"warm: passes 2 to {passes}\n")
    print("| vocabulary | text | pass | Powerhouse | fastokens | tokenizers | ratio | wanted |")
    print("|---|---|---|---|---|---|---|---|")
    same = True
    for name, (title, peer, wanted) in vocabularies(folder).items():
        for text in ("english", "code"):
            path = os.path.join(folder, text + ".txt")
            place = os.path.join(folder, name)
            commands = {"Powerhouse": [program, place, path, str(passes), "--ids"]}
            for package in dict.fromkeys((peer, "tokenizers")):
                commands[package] = [python, "-c", PEER, package, place, path, str(2 if package == "tokenizers" else passes)]
            found = {tool: [] for tool in commands}
            for number in range(runs):
                for tool in commands:
                    if tool == "tokenizers" and peer != tool and number > 0:
                        continue  # an order slower: once is enough where it is not the one to beat
                    ids = os.path.join(folder, "ids." + tool)
                    found[tool].append(measure(tool, commands, os.path.getsize(path), passes, ids))
            ids = {tool: open(os.path.join(folder, "ids." + tool), "rb").read() for tool in commands}
            differing = [tool for tool in commands if ids[tool] != ids["tokenizers"]]
            same = same and not differing
            for index, what in enumerate(("first", "warm")):
                speed = {tool: statistics.median(run_[index] for run_ in found[tool]) for tool in commands}
                ratio = statistics.median(a[index] / b[index] for a, b in zip(found["Powerhouse"], found[peer]))
                shown = [f"{speed[tool]:.0f}" if tool in speed else "" for tool in ("Powerhouse", "fastokens", "tokenizers")]
                print(f"| {title} | {text} | {what} | {' | '.join(shown)} | {ratio:.2f} to {peer} | {wanted} |", flush=True)
            if differing:
                print(f"ids differ from those of tokenizers: {', '.join(differing)}")
    print("\nall ids are the same" if same else "\nids differ")
    return same
