"""Writes tests/fixtures/kernels/cache_blocks.txt: rows as the gguf package quantizes them to Q8_0 and Q4_0.

One tensor a line: name, element count, then the bits of each value as float32 in hexadecimal; blocks are given byte by
byte, then dequantized. Ran with gguf 0.19.0 and numpy 2.4.6.
"""
import struct
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize

rng = np.random.default_rng(31)
rows = [rng.standard_normal(32) * scale for scale in (1e-3, 0.1, 1.0, 1.0, 7.0, 300.0)]
rows.append(np.zeros(32))
rows.append(np.concatenate([[127.0], np.arange(31) - 15.5]))  # halves between codes
rows.append(np.where(np.arange(32) % 2 == 0, 2.0, -2.0))  # extremes of both signs
x = np.stack(rows).astype(np.float32)


def line(name, values):
    words = " ".join(struct.pack(">f", float(v)).hex() for v in np.asarray(values).flatten())
    return f"{name} {np.asarray(values).size} {words}"


lines = [line("x", x)]
for kind in (GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_0):
    blocks = quantize(x, kind)
    lines += [line(kind.name, blocks), line(f"{kind.name}_values", dequantize(blocks, kind))]
target = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/kernels/cache_blocks.txt")
target.write_text("\n".join(lines) + "\n")
