"""Ids of texts in the GGUF vocabularies of llama.cpp's own repository (models/ggml-vocab-*.gguf), by llama.cpp itself
(tests/oracles/llama_ids.cpp, built by hand). The vocabularies are large and not ours: what is kept is
tests/fixtures/text/gguf_vocabularies.json, some texts with their ids, which the test
TokenizerGgufVocabularies reads where POWERHOUSE_TEST_VOCABULARIES names the folder of the files.

  gguf_vocabularies.py FOLDER LLAMA_IDS                              writes the fixture
  gguf_vocabularies.py FOLDER LLAMA_IDS --compare PROGRAM [--count N] [--only NAME]
                                                                     compares N texts a vocabulary by gguf_compare, among
                                                                     them every assigned code point where N is large
Ran with llama.cpp as shipped in llama-cpp-python 0.3.36.
"""
import argparse
import json
import pathlib
import random
import struct
import subprocess
import tempfile
import unicodedata

from tokenizer_texts import FIXED, text

OUT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "text" / "gguf_vocabularies.json"
SPECIALS = ["<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_start|>user\n", "<|im_end|>", "<|eot_id|>", "<|end|> \n x", "<mask>",
            "  <mask> x", "<|user|>\n", "[CLS]", "[SEP]", "<bos>", "<end_of_turn>", "<fim_prefix>", "<0x0A>", "\u2581", "<|", "|>",
            "<｜fim▁hole｜>", "<|start_header_id|>", "<unused5>", "    ", "\n\n\n", "<pad>", "<turn|>", "<|tool_response>"]
CODE = ["def f(x):\n    return x ** 2  # twice\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n", "if (a != b && c >= 10) { return nullptr; }",
        "SELECT * FROM t WHERE id = 12345;", "<div class=\"x\">&nbsp;</div>\r\n", "#include <vector>\n", "x = {'a': [1, 2.5e-3], \"b\": None}\n",
        "fn main() -> Result<(), Box<dyn Error>> {", "    \n\n\t\t// TODO: don't\n", "0xDEADBEEF 1_000_000 3.14159265358979"]
PROSE = "The quick brown fox jumps over the lazy dog, and then it's 1999; nobody'll know why they've gone. Élan vital: naïve café. ".split(" ")


def every_code_point(draw):
    """Each code point that is assigned, once alone and once among others, 24 to a text."""
    points = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    for glue in (" ", ""):
        draw.shuffle(points)
        yield from (glue.join(points[i:i + 24]) for i in range(0, len(points), 24))


def make(seed, count):
    draw = random.Random(seed)
    out = [t for t in FIXED]
    if count >= 50000:
        out += every_code_point(draw)
    while len(out) < count:
        kind = draw.random()
        if kind < 0.7:
            out.append(text(draw, SPECIALS))
        elif kind < 0.85:
            out.append("".join(draw.choice(CODE) for _ in range(draw.randint(1, 4))))
        elif kind < 0.985:
            out.append(" ".join(draw.choice(PROSE) for _ in range(draw.randint(1, 40))))
        else:
            out.append("".join(text(draw, SPECIALS) + " " + " ".join(draw.choice(PROSE) for _ in range(20)) for _ in range(12)))
    return [assigned(t) for t in out[:count]]


def assigned(text):
    """The text without code points that this Python's Unicode (3.11: 14) leaves unassigned: llama.cpp's is 15.1, ours 16."""
    return "".join(c for c in text if unicodedata.category(c) != "Cn")


def some(seed, count):
    """`count` texts, some of them fixed: for fixtures, which are to stay small."""
    return [t for t in make(seed, 2 * count)[::2] if len(t) < 700]


def packed(texts):
    return b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)


def compare(oracle, program, file, texts, mode):
    """gguf_compare's line on the texts of a file; llama.cpp's ids go through a pipe."""
    peer = subprocess.Popen([oracle, file, mode, texts, "/dev/stdout"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    run = subprocess.run([program, file, texts, "/dev/stdin", mode], stdin=peer.stdout, capture_output=True, text=True)
    peer.stdout.close()
    assert peer.wait() == 0, f"{oracle} failed"
    return run


def ids_of(program, file, mode, texts, path):
    with tempfile.NamedTemporaryFile() as source:
        source.write(packed(texts))
        source.flush()
        subprocess.run([program, file, mode, source.name, path], check=True, stderr=subprocess.DEVNULL)


def read_ids(path):
    data = pathlib.Path(path).read_bytes()
    at, out = 0, []
    while at < len(data):
        (count,) = struct.unpack_from("<I", data, at)
        out.append(list(struct.unpack_from(f"<{count}i", data, at + 4)))
        at += 4 + 4 * count
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("program")
    parser.add_argument("--compare")
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    files = sorted(pathlib.Path(arguments.folder).glob("ggml-vocab-*.gguf"))
    files = [f for f in files if arguments.only in f.name]
    if arguments.compare:
        with tempfile.NamedTemporaryFile() as texts:
            texts.write(packed(make(arguments.seed, arguments.count)))
            texts.flush()
            for file in files:
                for mode in ("special", "plain"):
                    print(compare(arguments.program, arguments.compare, str(file), texts.name, mode).stdout, end="", flush=True)
        return
    fixture = {"texts": some(3, 34), "vocabularies": {}}
    for file in files:
        texts = fixture["texts"]
        ends = subprocess.run([arguments.program, str(file), "end"], capture_output=True, text=True, check=True)
        rows = {"end": [int(i) for i in ends.stdout.split()]}
        with tempfile.NamedTemporaryFile() as out:
            for mode in ("special", "plain"):
                ids_of(arguments.program, str(file), mode, texts, out.name)
                rows[mode] = read_ids(out.name)
        rows["plain"] = [None if a == b else a for a, b in zip(rows["plain"], rows["special"])]  # None: the same
        fixture["vocabularies"][file.name] = rows
    OUT.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
