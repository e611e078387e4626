"""The first inputs of the GGUF and safetensors fuzzers: small valid files, written by the packages that define them.

    python tests/oracles/fuzz_seeds.py tests/fuzz/corpus

Ran with gguf 0.19.0, safetensors 0.8.0, numpy 2.4.6.
"""
import os
import sys

import gguf
import numpy
import safetensors.numpy


def write_gguf(path, endian, alignment):
    writer = gguf.GGUFWriter(path, "llama", endianess=endian)
    if alignment:
        writer.add_custom_alignment(alignment)
    for kind, value in [("uint8", 1), ("int8", -1), ("uint16", 2), ("int16", -2), ("uint32", 3), ("int32", -3),
                        ("uint64", 4), ("int64", -4), ("float32", 0.5), ("float64", 0.25), ("bool", True),
                        ("string", "word")]:
        getattr(writer, "add_" + kind)("some." + kind, value)
    writer.add_array("some.strings", ["a", "bc", ""])
    writer.add_array("some.numbers", [1, 2, 3])
    writer.add_array("some.floats", [0.5, 1.5])
    writer.add_array("some.nested", [[1, 2], [3]])
    writer.add_tensor("f32", numpy.arange(6, dtype=numpy.float32).reshape(2, 3))
    writer.add_tensor("f16", numpy.arange(4, dtype=numpy.float16))
    for kind in ("Q4_0", "Q8_0", "Q4_1", "Q5_0"):
        quantization = gguf.GGMLQuantizationType[kind]
        data = gguf.quantize(numpy.linspace(-1, 1, 64, dtype=numpy.float32).reshape(2, 32), quantization)
        writer.add_tensor(kind, data, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_safetensors(path, metadata):
    tensors = {"a": numpy.arange(6, dtype=numpy.float32).reshape(2, 3), "empty": numpy.zeros((0, 4), numpy.float16),
               "scalar": numpy.array(3, numpy.int64), "flags": numpy.array([True, False])}
    safetensors.numpy.save_file(tensors, path, metadata)


def main():
    folders = {name: os.path.join(sys.argv[1], name) for name in ("gguf", "safetensors")}
    for folder in folders.values():
        os.makedirs(folder, exist_ok=True)
    write_gguf(os.path.join(folders["gguf"], "all_types.gguf"), gguf.GGUFEndian.LITTLE, None)
    write_gguf(os.path.join(folders["gguf"], "aligned_64.gguf"), gguf.GGUFEndian.LITTLE, 64)
    write_gguf(os.path.join(folders["gguf"], "big_endian.gguf"), gguf.GGUFEndian.BIG, None)
    write_safetensors(os.path.join(folders["safetensors"], "plain.safetensors"), None)
    write_safetensors(os.path.join(folders["safetensors"], "metadata.safetensors"), {"format": "pt"})


if __name__ == "__main__":
    main()
