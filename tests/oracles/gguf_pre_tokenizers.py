"""Writes tests/fixtures/text/gguf_pre/: a byte-level vocabulary trained without any pre-tokenizer, so that its merges reach
over every place where one cuts, and for each name of tokenizer.ggml.pre the ids that llama.cpp gives for some texts with it
(tests/oracles/llama_ids.cpp, built by hand). With --compare PROGRAM it compares more texts by gguf_compare instead.
Ran with gguf 0.19.0, tokenizers 0.23.3, llama.cpp as shipped in llama-cpp-python 0.3.36.

Usage: gguf_pre_tokenizers.py LLAMA_CPP_FOLDER LLAMA_IDS [--compare PROGRAM --count N]
"""
import argparse
import json
import pathlib
import re
import struct
import subprocess
import tempfile

import gguf
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from gguf_vocabularies import compare, ids_of, make, packed, read_ids, some

OUT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "text" / "gguf_pre"
KEY = b"tokenizer.ggml.pre"
SPECIAL_TO_MODEL = ["whitespace"]  # a name that llama.cpp takes for its model "whitespace" alone


def train(path, tokens):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=tokens, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), max_token_length=12,
                                  show_progress=False)
    tokenizer.train_from_iterator(make(21, 6000), trainer)
    state = json.loads(tokenizer.to_str())
    vocabulary = sorted(state["model"]["vocab"], key=state["model"]["vocab"].get)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocabulary)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in state["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def with_name(data, name):
    at = data.index(struct.pack("<Q", len(KEY)) + KEY) + 8 + len(KEY) + 4
    (size,) = struct.unpack_from("<Q", data, at)
    return data[:at] + struct.pack("<Q", len(name)) + name.encode() + data[at + 8 + size:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("llama")
    parser.add_argument("program")
    parser.add_argument("--compare")
    parser.add_argument("--count", type=int, default=3000)
    arguments = parser.parse_args()
    source = pathlib.Path(arguments.llama, "src", "llama-vocab.cpp").read_text(encoding="utf-8")
    names = [n for n in dict.fromkeys(re.findall(r'tokenizer_pre == "([^"]+)"', source)) if n not in SPECIAL_TO_MODEL]
    OUT.mkdir(exist_ok=True)
    if not arguments.compare:
        train(OUT / "vocabulary.gguf", 1000)
    data = (OUT / "vocabulary.gguf").read_bytes()
    texts = make(31, arguments.count) if arguments.compare else some(5, 36)
    by_name = {}
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/x.gguf"
        pathlib.Path(f"{folder}/texts").write_bytes(packed(texts))
        for name in names:
            pathlib.Path(file).write_bytes(with_name(data, name))
            if arguments.compare:
                run = compare(arguments.program, arguments.compare, file, f"{folder}/texts", "plain")
                print(name, run.stdout.strip() if run.returncode else run.stdout.strip().splitlines()[-1].split(": ")[-1], flush=True)
                continue
            ids_of(arguments.program, file, "plain", texts, f"{folder}/ids")
            by_name[name] = read_ids(f"{folder}/ids")
    if arguments.compare:
        return
    # Most names agree on most texts: each text's lists of ids once, and for each name which of them.
    cases = []
    for i, text in enumerate(texts):
        lists = []
        for ids in by_name.values():
            if ids[i] not in lists:
                lists.append(ids[i])
        cases.append({"text": text, "ids": lists, "which": [lists.index(ids[i]) for ids in by_name.values()]})
    (OUT / "cases.json").write_text(json.dumps({"names": list(by_name), "cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
