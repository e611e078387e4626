"""Writes tests/fixtures/kernels/quantize.safetensors: what ggml makes of rows in every block type.

    python tests/oracles/quantize.py GGML_BLOCKS

GGML_BLOCKS is ggml_blocks.cpp, linked with ggml's generic build (x86-64 without -march: SSE2, no fused multiply-add, so
that sums are in the order of the source). Tensors: "rows" [rows, 512] and "importance" [512]; for each type and for
".plain" and ".weighted" the blocks, and which rows there are: ggml aborts on some;
for READ_BACK ".values", what ggml reads from the blocks of the first rows. gguf 0.19.0 must agree wherever its
Python code quantizes; where it does not, the row is named here (PYTHON_DIFFERS).
"""
import pathlib
import struct
import subprocess
import sys

import gguf
import numpy
from gguf import GGMLQuantizationType
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "kernels" / "quantize.safetensors"
COLUMNS = 512
TYPES = {"F16": 1, "BF16": 30, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q8_1": 9, "Q2_K": 10,
         "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "Q8_K": 15, "IQ1_S": 19, "IQ1_M": 29, "IQ2_XXS": 16,
         "IQ2_XS": 17, "IQ2_S": 22, "IQ3_XXS": 18, "IQ3_S": 21, "IQ4_NL": 20, "IQ4_XS": 23, "TQ1_0": 34, "TQ2_0": 35,
         "MXFP4": 39, "NVFP4": 40, "Q1_0": 41, "Q2_0": 42}
READ_BACK = ["NVFP4", "Q1_0", "Q2_0"]  # gguf 0.19.0 lacks the latter two
NEED_IMPORTANCE = {"IQ1_S", "IQ2_XXS", "IQ2_XS"}
OTHER_SIZES = {"Q2_0": (64, 18), "Q8_1": (32, 36)}  # gguf lacks the one and has 40 bytes for the other
BY_PYTHON = ["BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4"]
# The sign of a scale or minimum that is zero: numpy has another of the row's zeros.
PYTHON_DIFFERS = {"Q4_0": {"minus_zero", "sparse"}, "Q5_0": {"minus_zero", "sparse"}, "Q4_1": {"holes", "sparse"},
                  "Q5_1": {"holes", "sparse"}}


def rows():
    generator = numpy.random.default_rng(9)
    normal = lambda: generator.standard_normal(COLUMNS)
    outlier = normal() * 0.01
    outlier[[77, 300]] = [3.7, -11]
    sparse = normal() * (generator.random(COLUMNS) < 0.05)
    grouped = normal() * numpy.repeat(numpy.exp(generator.standard_normal(COLUMNS // 16) * 2), 16)
    holes = normal() * 0.1
    holes[:48] = 0
    holes[256:] *= numpy.repeat(generator.random(16) < 0.5, 16)
    mixed = normal()
    mixed[:128] = 0.25
    mixed[128:256] *= 1e-42
    mixed[256:384] *= 1e-20
    mixed[384:] *= 1e9
    return {
        "normal": normal() * 0.02, "normal2": normal() * 0.7, "heavy": generator.standard_t(2, COLUMNS) * 0.03,
        "outlier": outlier, "grouped": grouped, "sparse": sparse, "holes": holes, "positive": numpy.abs(normal()) + 0.5,
        "negative": -numpy.abs(normal()) * 0.3, "levels": generator.integers(-8, 8, COLUMNS) * 0.125,
        "ramp": numpy.linspace(-1, 1, COLUMNS), "constant": numpy.full(COLUMNS, 0.3),
        "negative_constant": numpy.full(COLUMNS, -7.0), "zero": numpy.zeros(COLUMNS), "minus_zero": -numpy.zeros(COLUMNS),
        "subnormal": normal() * 1e-41, "tiny": normal() * 1e-30, "small": normal() * 1e-9, "large": normal() * 4e5,
        "huge": normal() * 1e25, "largest": normal() * 5e37, "mixed": mixed,
    }


def importance():
    generator = numpy.random.default_rng(10)
    weights = numpy.exp(generator.standard_normal(COLUMNS) * 1.5)
    weights[32:64] = 0
    weights[generator.random(COLUMNS) < 0.05] = 0
    weights[200:232] = 1e-12
    return weights.astype(numpy.float32)


def ask(program, requests):
    data = b"".join(struct.pack("<iiqq", kind, (weights is not None) + 2 * back, *values.shape)
                    + (weights.tobytes() if weights is not None else b"") + values.tobytes()
                    for kind, values, weights, back in requests)
    return subprocess.run([program], input=data, stdout=subprocess.PIPE, check=True).stdout


def main():
    named = rows()
    values = numpy.stack([row.astype(numpy.float32) for row in named.values()])
    weights = importance()
    tensors = {"rows": values, "importance": weights}
    names = [(name, use) for name in TYPES for use in ("plain", "weighted") if name not in NEED_IMPORTANCE or use == "weighted"]
    answer = ask(sys.argv[1], [(TYPES[name], values, weights if use == "weighted" else None, False)
                                  for name, use in names])
    at = 0
    sizes = dict(gguf.GGML_QUANT_SIZES)
    for name, use in names:
        elements, block = OTHER_SIZES.get(name) or sizes[GGMLQuantizationType[name]]
        size = COLUMNS // elements * block
        out = numpy.zeros((len(values), size), numpy.uint8)
        there = numpy.zeros(len(values), numpy.uint8)
        for row in range(len(values)):
            there[row] = struct.unpack_from("<i", answer, at)[0]
            at += 4
            if there[row]:
                out[row] = numpy.frombuffer(answer, numpy.uint8, size, at)
                at += size
        absent = [key for key, ok in zip(named, there) if not ok]
        if absent:
            print(f"{name}.{use}: ggml aborts on {absent}")
        if use == "plain" and name in BY_PYTHON:
            with numpy.errstate(all="ignore"):
                python = gguf.quants.quantize(values, GGMLQuantizationType[name]).view(numpy.uint8).reshape(out.shape)
            differs = {key for key, ours, theirs in zip(named, python, out) if not numpy.array_equal(ours, theirs)}
            assert differs == PYTHON_DIFFERS.get(name, set()), (name, differs)
            if differs:
                with numpy.errstate(all="ignore"):
                    same = [gguf.quants.dequantize(blocks, GGMLQuantizationType[name]) for blocks in (python, out)]
                assert numpy.array_equal(*same, equal_nan=True), name
        if use == "weighted" and numpy.array_equal(out, tensors.get(f"{name}.plain")):
            continue  # importance is not read
        tensors[f"{name}.{use}"] = out
        tensors[f"{name}.{use}.there"] = there
    assert at == len(answer)
    for name in READ_BACK:
        few = values[:4]
        answer = ask(sys.argv[1], [(TYPES[name], few, None, True)])
        rows_back = [answer[at + len(at_row) - 4 * COLUMNS:][:4 * COLUMNS] for at, at_row in
                     ((i * (len(answer) // 4), answer[:len(answer) // 4]) for i in range(4))]
        tensors[f"{name}.values"] = numpy.stack([numpy.frombuffer(row, numpy.float32) for row in rows_back])
        if name == "NVFP4":
            theirs = gguf.quants.dequantize(tensors["NVFP4.plain"][:4], GGMLQuantizationType.NVFP4)
            assert numpy.array_equal(theirs, tensors["NVFP4.values"])
    save_file(tensors, OUT, {"rows": ",".join(named)})
    print(OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
