"""Writes tests/fixtures/quantization/files.json: what llama-quantize makes of a small model, in most mixes, with an
importance matrix and without.

    python tests/oracles/quantize_files.py LLAMA_QUANTIZE

The model (two layers, hidden 256, feed-forward 512) is numbers of a counter's hash, so that the test can make it again
(tests/quantization/file_quantizer_test.cpp); "answers" holds, for each mix, the type and SHA-256 of each tensor's bytes.
"metadata" is the list of keys of a quantized file, in order. Written with gguf 0.19.0; llama.cpp in its generic build.
"""
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "quantization" / "files.json"
MIXES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q2_K_S", "Q3_K_S", "Q3_K_M", "Q3_K_L",
         "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "IQ2_XS", "IQ3_XXS", "IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0",
         "MXFP4_MOE"]  # blocks of the other i-quants stand in quantize.json
FLAGS = {"pure": ["--pure"], "patterns": ["--tensor-type", "attn_v=q8_0", "--tensor-type", r"blk\.1\.ffn=q5_k",
                                          "--token-embedding-type", "q6_k", "--output-tensor-type", "q5_1"],
         "leave": ["--leave-output-tensor"]}


def numbers(seed, count):
    """Sums of four bytes of splitmix64(seed, i): near a normal distribution, and exact in float16."""
    with numpy.errstate(over="ignore"):
        x = numpy.arange(count, dtype=numpy.uint64) + numpy.uint64(seed) * numpy.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        x = x ^ (x >> numpy.uint64(31))
    total = sum(((x >> numpy.uint64(8 * k)) & numpy.uint64(255)).astype(numpy.int64) for k in range(4))
    return ((total - 510) / 4096).astype(numpy.float32)


SHAPES = {"token_embd.weight": (64, 256), "output_norm.weight": (256,), "output.weight": (64, 256)}
for layer in range(2):
    SHAPES |= {f"blk.{layer}.{name}": shape for name, shape in {
        "attn_norm.weight": (256,), "attn_q.weight": (256, 256), "attn_k.weight": (128, 256),
        "attn_v.weight": (128, 256), "attn_output.weight": (256, 256), "ffn_norm.weight": (256,),
        "ffn_gate.weight": (512, 256), "ffn_up.weight": (512, 256), "ffn_down.weight": (256, 512)}.items()}

folder = pathlib.Path(tempfile.mkdtemp())
writer = gguf.GGUFWriter(folder / "model.gguf", "llama")
writer.add_context_length(64)
writer.add_embedding_length(256)
writer.add_block_count(2)
writer.add_feed_forward_length(512)
writer.add_head_count(4)
writer.add_head_count_kv(2)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_file_type(0)
writer.add_tokenizer_model("none")
writer.add_vocab_size(64)
for seed, name in enumerate(sorted(SHAPES)):
    writer.add_tensor(name, numbers(seed, int(numpy.prod(SHAPES[name]))).reshape(SHAPES[name]))
for step in ("header", "kv_data", "tensors"):
    getattr(writer, f"write_{step}_to_file")()
writer.close()

writer = gguf.GGUFWriter(folder / "importance.gguf", "imatrix")
writer.add_type("imatrix")
writer.add_array("imatrix.datasets", ["text.txt"])
writer.add_uint32("imatrix.chunk_count", 3)
writer.add_uint32("imatrix.chunk_size", 512)
for seed, name in enumerate(sorted(SHAPES)):
    if name.startswith("blk.") and "norm" not in name:
        columns = SHAPES[name][1]
        writer.add_tensor(name + ".in_sum2", numpy.abs(numbers(100 + seed, columns))[None] * 1536)
        writer.add_tensor(name + ".counts", numpy.array([[1536]], numpy.float32))
for step in ("header", "kv_data", "tensors"):
    getattr(writer, f"write_{step}_to_file")()
writer.close()


def run(mix, flags):
    done = subprocess.run([sys.argv[1], *flags, folder / "model.gguf", folder / "out.gguf", mix, "2"],
                          capture_output=True, text=True)
    if done.returncode != 0:
        return None
    reader = gguf.GGUFReader(folder / "out.gguf")
    run.keys = [key for key in reader.fields if not key.startswith("GGUF.")]
    return {tensor.name: tensor.tensor_type.name + " " + hashlib.sha256(tensor.data.tobytes()).hexdigest()
            for tensor in reader.tensors}


answers = {}
importance = ["--imatrix", str(folder / "importance.gguf")]
for mix in MIXES:
    answers[mix] = run(mix, [])
    answers[mix + " importance"] = run(mix, importance)
for name, flags in FLAGS.items():
    answers["Q4_K_M " + name] = run("Q4_K_M", flags)
run("Q4_K_M", importance)
OUT.write_text(json.dumps({"metadata": run.keys, "answers": answers}, indent=0) + "\n")
print(len(answers), "answers,", sum(answer is None for answer in answers.values()), "refused")
