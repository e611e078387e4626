"""Writes tests/fixtures/formats: a small GGUF file, a split one, safetensors files, and dequantized blocks.

Written with gguf 0.19.0, safetensors 0.8.0, numpy 2.4.6. blocks.safetensors holds for each type random blocks and what
gguf's own dequantization makes of them.
"""
import os

import gguf
import numpy
from gguf import GGMLQuantizationType, GGUFValueType
from safetensors.numpy import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "formats")
TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "BF16"]
GRID_TYPES = ["IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "TQ1_0", "TQ2_0", "MXFP4"]
BLOCKS = 37  # odd, so that no loop over blocks comes out even


def small_gguf(path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("every type")
    for name, kind, value in [("u8", "UINT8", 200), ("i8", "INT8", -100), ("u16", "UINT16", 60000),
                              ("i16", "INT16", -30000), ("u32", "UINT32", 4000000000), ("i32", "INT32", -2000000000),
                              ("u64", "UINT64", 1 << 63), ("i64", "INT64", -(1 << 62)), ("f32", "FLOAT32", 0.5),
                              ("f64", "FLOAT64", 0.1), ("bool", "BOOL", True), ("string", "STRING", "gr\u00fc\u00df dich")]:
        writer.add_key_value("test." + name, value, GGUFValueType[kind])
    writer.add_array("test.strings", ["", "one", "zwei"])
    writer.add_array("test.integers", [3, -1, 4, -1, 5])
    writer.add_array("test.floats", [0.25, -2.5])
    writer.add_array("test.booleans", [True, False])
    generator = numpy.random.default_rng(3)
    writer.add_tensor("matrix", generator.standard_normal((3, 5)).astype(numpy.float32))
    writer.add_tensor("vector", numpy.arange(7, dtype=numpy.float32))
    data = generator.standard_normal((4, 64)).astype(numpy.float32)
    writer.add_tensor("quantized", gguf.quants.quantize(data, GGMLQuantizationType.Q4_0),
                      raw_dtype=GGMLQuantizationType.Q4_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def split_gguf(folder):
    for part in range(3):
        writer = gguf.GGUFWriter(os.path.join(folder, f"split-{part + 1:05d}-of-00003.gguf"), "llama")
        writer.add_uint16("split.no", part)
        writer.add_uint16("split.count", 3)
        writer.add_int32("split.tensors.count", 4)
        for tensor in {0: [0], 1: [1, 2], 2: [3]}[part]:
            writer.add_tensor(f"t{tensor}", numpy.full((2, 4), tensor, numpy.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def blocks(types, count, file):
    generator = numpy.random.default_rng(5)
    tensors = {}
    for name in types:
        kind = GGMLQuantizationType[name]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        raw = generator.integers(0, 256, (count * (1 if elements > 1 else 32), size), dtype=numpy.uint8)
        with numpy.errstate(all="ignore"):
            values = gguf.quants.dequantize(raw.reshape(1, -1), kind).astype(numpy.float32).ravel()
        tensors[name + ".blocks"] = raw.ravel()
        tensors[name + ".values"] = values
    save_file(tensors, os.path.join(HERE, file))


def every_dtype():
    tensors = {name: numpy.arange(6).astype(name).reshape(2, 3)
               for name in ("bool", "uint8", "int8", "uint16", "int16", "float16", "uint32", "int32", "float32",
                            "uint64", "int64", "float64")}
    tensors["scalar"] = numpy.array(2.5, numpy.float32)
    tensors["empty"] = numpy.zeros((0, 4), numpy.float32)
    save_file(tensors, os.path.join(HERE, "dtypes.safetensors"), metadata={"format": "np", "who": "the oracle"})


os.makedirs(HERE, exist_ok=True)
small_gguf(os.path.join(HERE, "small.gguf"))
split_gguf(HERE)
blocks(TYPES, BLOCKS, "blocks.safetensors")
blocks(GRID_TYPES, 7, "grid_blocks.safetensors")
every_dtype()
