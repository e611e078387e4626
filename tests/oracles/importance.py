"""Writes tests/fixtures/quantization/importance.gguf and importance.dat: importance matrices in llama.cpp's two formats,
and importance.json: what llama-quantize makes of them (its arithmetic by numpy, in float32).

Layouts as of llama.cpp's common/imatrix-loader.cpp; written with gguf 0.19.0.
"""
import json
import pathlib
import struct

import gguf
import numpy

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "quantization"
generator = numpy.random.default_rng(21)
ENTRIES = {name: (generator.random((experts, columns)) * 50).astype(numpy.float32) for name, experts, columns in
           [("output.weight", 1, 8), ("blk.0.attn_q.weight", 1, 8), ("blk.0.ffn_down_exps.weight", 3, 4)]}
COUNTS = {"output.weight": [512], "blk.0.attn_q.weight": [1024], "blk.0.ffn_down_exps.weight": [700, 0, 324]}

writer = gguf.GGUFWriter(OUT / "importance.gguf", "imatrix")
writer.add_type("imatrix")
writer.add_array("imatrix.datasets", ["one.txt", "two.txt"])
writer.add_uint32("imatrix.chunk_count", 2)
writer.add_uint32("imatrix.chunk_size", 512)
for name, sums in ENTRIES.items():
    writer.add_tensor(name + ".in_sum2", sums)
    writer.add_tensor(name + ".counts", numpy.array(COUNTS[name], numpy.float32)[:, None])
for step in ("header", "kv_data", "tensors"):
    getattr(writer, f"write_{step}_to_file")()
writer.close()

with open(OUT / "importance.dat", "wb") as file:
    file.write(struct.pack("<i", len(ENTRIES)))
    for name, sums in ENTRIES.items():
        file.write(struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 3, sums.size) + sums.tobytes())
    file.write(struct.pack("<ii", 3, 7) + b"one.txt")

expected = {"gguf": {}, "dat": {}}
for name, sums in ENTRIES.items():
    counts = numpy.array(COUNTS[name], numpy.float32)[:, None]
    with numpy.errstate(divide="ignore"):
        expected["gguf"][name] = numpy.where(counts > 0, sums / counts, numpy.float32(1)).ravel().tolist()
    expected["dat"][name] = (sums / numpy.float32(3)).ravel().tolist()
(OUT / "importance.json").write_text(json.dumps(expected) + "\n")
