"""The texts that quantizers are compared on, and the ids that GPTQ's and AWQ's references are calibrated with.

    python bench/tokenizer_corpora.py <corpora> <model.gguf>
    python tests/oracles/calibration_texts.py <corpora>/english.txt <model folder> <output folder> [--sequences 16]
        [--chunks 20] [--part 0.75 1]

Writes calibration.txt (the first half of the English text), evaluation.txt (`chunks` pieces of 512 tokens, at even
distances in that part of it, which have no run of 32 tokens of the calibration text) and ids: the sequences that
`powerhouse quantize --calibration calibration.txt --sequences N` cuts, one a line, for gptq_model.py and awq_model.py.
Parts that nobody looked at confirm what was chosen on another.
"""
import argparse
import pathlib

import numpy
from transformers import AutoTokenizer

LENGTH = 512
RUN = 32


def runs(ids):
    """A number for each run of tokens."""
    ids = numpy.array(ids, dtype=numpy.uint64) + numpy.uint64(1)
    factors = [numpy.uint64(pow(0x9E3779B97F4A7C15, i, 2 ** 64)) for i in range(RUN)]
    return sum(ids[i:len(ids) - RUN + 1 + i] * factors[i] for i in range(RUN))


def piece(ids, known):
    """The first so many tokens without a known run."""
    for begin in range(0, len(ids) - LENGTH, LENGTH // 4):
        if not numpy.isin(runs(ids[begin:begin + LENGTH]), known).any():
            return ids[begin:begin + LENGTH]
    raise SystemExit("all of this part stands in the calibration text too")


def main():
    parser = argparse.ArgumentParser()
    for name in ("text", "model", "output"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--part", type=float, nargs=2, default=[0.75, 1], metavar=("FROM", "TO"), help="0.5 at least")
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    data = options.text.read_bytes()
    options.output.mkdir(parents=True, exist_ok=True)
    calibration = data[:len(data) // 2].decode(errors="ignore")
    (options.output / "calibration.txt").write_text(calibration)
    ids = tokenizer(calibration, add_special_tokens=False)["input_ids"]
    first, last = (int(share * len(data)) for share in options.part)
    known, pieces, part = runs(ids), [], (last - first) // options.chunks
    for i in range(options.chunks):
        begin = first + i * part
        text = data[begin:begin + part].decode(errors="ignore")
        own = tokenizer(text[text.index("\n\n") + 2:], add_special_tokens=False)["input_ids"]
        pieces.append(tokenizer.decode(piece(own, known)))
    (options.output / "evaluation.txt").write_text("".join(pieces))
    there = len(ids) // LENGTH
    count = min(there, options.sequences)
    with open(options.output / "ids", "w") as file:
        for i in range(count):
            begin = i * there // count * LENGTH
            file.write(" ".join(map(str, ids[begin:begin + LENGTH])) + "\n")


if __name__ == "__main__":
    main()
