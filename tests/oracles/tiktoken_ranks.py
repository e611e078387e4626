"""Writes tests/fixtures/text/tiktoken/: a file of ranks made from the vocabulary of tests/fixtures/text/smollm, and the ids
that tiktoken gives for texts under each of its encodings' patterns and special tokens, and under those of Llama 3 and
Qwen 1 (as their own tokenizers set tiktoken up). With --compare PROGRAM --model GGUF the ranks are those of a GPT-2 style
GGUF vocabulary, and more texts go through gguf_compare. Ran with tiktoken 0.14.0.

Usage: tiktoken_ranks.py [--compare PROGRAM --model FILE --count N]
"""
import argparse
import base64
import json
import pathlib
import struct
import subprocess
import tempfile
import unicodedata
from unittest import mock

import tiktoken
from tiktoken_ext import openai_public

from gguf_vocabularies import make, packed, some

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "text"
OUT = ROOT / "tiktoken"
CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPECIALS = ["<|endoftext|>a", "x<|fim_prefix|> y<|endofprompt|>", "<|im_start|>user\nHi<|im_end|>\n", "<|begin_of_text|><|eot_id|> <|reserved_special_token_250|>",
            "<|reserved_200018|><|call|><|reserved_201087|>", "<|extra_204|>", "a \n  ", "a\n\n  b \n ", "  \n", "e\u0301 \u212b", "<|end"]


def byte_alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


def ranks_of(tokens, merges):
    """The bytes first, then what the merges make: the order of a vocabulary's ids is not always that of its merges."""
    letters = byte_alphabet()
    ranks = {bytes([b]): b for b in range(256)}
    for left, right in merges:
        token = bytes(letters[c] for c in left + right)
        ranks.setdefault(token, len(ranks))
    return ranks


def encodings(ranks):
    """Each encoding with these ranks, and the name of its file."""
    with mock.patch.object(openai_public, "load_tiktoken_bpe", lambda *a, **k: ranks), \
            mock.patch.object(openai_public, "data_gym_to_mergeable_bpe_ranks", lambda *a, **k: ranks):
        for name, make_encoding in openai_public.ENCODING_CONSTRUCTORS.items():
            options = make_encoding()
            options.pop("explicit_n_vocab", None)
            yield f"{name}.tiktoken", tiktoken.Encoding(**options), lambda t: t
    names = ["<|begin_of_text|>", "<|end_of_text|>", *(f"<|reserved_special_token_{i}|>" for i in range(4)), "<|start_header_id|>", "<|end_header_id|>",
             "<|reserved_special_token_4|>", "<|eot_id|>", *(f"<|reserved_special_token_{i}|>" for i in range(5, 251))]
    special = {n: len(ranks) + i for i, n in enumerate(names)}
    yield "tokenizer.model", tiktoken.Encoding("llama3", pat_str=CL100K, mergeable_ranks=ranks, special_tokens=special), lambda t: t
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))]
    special = {n: len(ranks) + i for i, n in enumerate(names)}
    qwen = tiktoken.Encoding("qwen", pat_str=CL100K.replace("{1,3}", ""), mergeable_ranks=ranks, special_tokens=special)
    yield "qwen.tiktoken", qwen, lambda t: unicodedata.normalize("NFC", t)


def lines(ranks):
    return b"".join(base64.b64encode(token) + b" " + str(rank).encode() + b"\n" for token, rank in ranks.items())


def write():
    state = json.loads((ROOT / "smollm" / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    ranks = ranks_of(state["vocab"], [m if isinstance(m, list) else m.split(" ") for m in state["merges"]])
    OUT.mkdir(exist_ok=True)
    (OUT / "ranks.txt").write_bytes(lines(ranks))
    texts = some(13, 50) + SPECIALS
    columns = {}
    for file, encoding, prepare in encodings(ranks):
        columns[f"{file} special"] = [encoding.encode(prepare(t), allowed_special="all") for t in texts]
        columns[f"{file} plain"] = [encoding.encode(prepare(t), disallowed_special=()) for t in texts]
    # Most encodings agree on most texts: each text's lists of ids once, and for each column which of them.
    cases = []
    for i, text in enumerate(texts):
        lists = []
        for ids in columns.values():
            if ids[i] not in lists:
                lists.append(ids[i])
        cases.append({"text": text, "ids": lists, "which": [lists.index(ids[i]) for ids in columns.values()]})
    (OUT / "cases.json").write_text(json.dumps({"columns": list(columns), "cases": cases}, separators=(",", ":")) + "\n")


def compare(program, model, count):
    import gguf

    fields = gguf.GGUFReader(model).fields
    merges = [m.split(" ") for m in fields["tokenizer.ggml.merges"].contents()]
    ranks = ranks_of(fields["tokenizer.ggml.tokens"].contents(), merges)
    texts = make(81, count)
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(f"{folder}/texts").write_bytes(packed(texts))
        for file, encoding, prepare in encodings(ranks):
            pathlib.Path(folder, file).write_bytes(lines(ranks))
            for mode in ("special", "plain"):
                extra = dict(allowed_special="all") if mode == "special" else dict(disallowed_special=())
                with open(f"{folder}/ids", "wb") as out:
                    for text in texts:
                        ids = encoding.encode(prepare(text), **extra)
                        out.write(struct.pack(f"<I{len(ids)}i", len(ids), *ids))
                run = subprocess.run([program, f"{folder}/{file}", f"{folder}/texts", f"{folder}/ids", mode], capture_output=True, text=True)
                print(run.stdout, end="", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--compare")
    parser.add_argument("--model")
    parser.add_argument("--count", type=int, default=3000)
    arguments = parser.parse_args()
    compare(arguments.compare, arguments.model, arguments.count) if arguments.compare else write()
