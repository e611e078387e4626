"""Writes tests/fixtures/quantization/mixes.json: the type that llama-quantize gives each tensor, by mix and model.

    python tests/oracles/mixes.py LLAMA_QUANTIZE

Models of several shapes are written with the gguf package (0.19.0), all zeros; `llama-quantize --dry-run` says what it
would do, with an importance matrix and without. "types" is the list of names; "answers" holds one number of it a tensor.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import gguf
import numpy

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "quantization" / "mixes.json"
MIXES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q2_K_S", "Q3_K_S", "Q3_K_M", "Q3_K_L",
         "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M",
         "IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M", "IQ4_NL", "IQ4_XS", "TQ1_0", "TQ2_0", "MXFP4_MOE", "Q1_0", "Q2_0"]


def llama(layers, hidden, ffn, heads, kv_heads, tied, experts=0, width=None, arch="llama"):
    kv = (width or hidden // heads) * kv_heads
    tensors = {"token_embd.weight": [hidden, 64], "output_norm.weight": [hidden]}
    if not tied:
        tensors["output.weight"] = [hidden, 64]
    for i in range(layers):
        block = {"attn_norm.weight": [hidden], "attn_q.weight": [hidden, hidden], "attn_k.weight": [hidden, kv],
                 "attn_v.weight": [hidden, kv], "attn_output.weight": [hidden, hidden], "ffn_norm.weight": [hidden]}
        if arch == "qwen2":
            block |= {"attn_q.bias": [hidden], "attn_k.bias": [kv], "attn_v.bias": [kv]}
        if experts:
            block |= {"ffn_gate_inp.weight": [hidden, experts], "ffn_gate_exps.weight": [hidden, ffn, experts],
                      "ffn_up_exps.weight": [hidden, ffn, experts], "ffn_down_exps.weight": [ffn, hidden, experts]}
        else:
            block |= {"ffn_gate.weight": [hidden, ffn], "ffn_up.weight": [hidden, ffn], "ffn_down.weight": [ffn, hidden]}
        tensors |= {f"blk.{i}.{name}": shape for name, shape in block.items()}
    return dict(architecture=arch, layers=layers, hidden=hidden, ffn=ffn, heads=heads, key_value_heads=kv_heads,
                experts=experts, tensors=tensors)


def falcon(layers, hidden, heads, kv_heads):
    qkv = hidden + 2 * kv_heads * hidden // heads
    tensors = {"token_embd.weight": [hidden, 64], "output_norm.weight": [hidden], "output_norm.bias": [hidden],
               "output.weight": [hidden, 64]}
    for i in range(layers):
        tensors |= {f"blk.{i}.{name}": shape for name, shape in {
            "attn_norm.weight": [hidden], "attn_norm.bias": [hidden], "attn_qkv.weight": [hidden, qkv],
            "attn_output.weight": [hidden, hidden], "ffn_up.weight": [hidden, 4 * hidden],
            "ffn_down.weight": [4 * hidden, hidden]}.items()}
    return dict(architecture="falcon", layers=layers, hidden=hidden, ffn=4 * hidden, heads=heads,
                key_value_heads=kv_heads, experts=0, tensors=tensors)


MODELS = {
    "grouped": llama(17, 256, 512, 8, 2, tied=False),
    "plain": llama(16, 256, 256, 4, 4, tied=True),
    "smollm2": llama(30, 576, 1536, 9, 3, tied=True),
    "narrow": llama(9, 96, 160, 4, 2, tied=False),
    "odd": llama(8, 80, 128, 4, 4, tied=False),
    "mixtral": llama(16, 256, 256, 8, 2, tied=False, experts=8),
    "four_experts": llama(8, 256, 256, 4, 4, tied=False, experts=4),
    "large": llama(80, 256, 256, 8, 1, tied=False),
    "qwen2": llama(24, 256, 512, 8, 4, tied=True, arch="qwen2"),
    "falcon": falcon(33, 256, 4, 1),
}


def write(model, path):
    writer = gguf.GGUFWriter(path, model["architecture"])
    writer.add_context_length(64)
    writer.add_block_count(model["layers"])
    writer.add_embedding_length(model["hidden"])
    writer.add_feed_forward_length(model["ffn"])
    writer.add_head_count(model["heads"])
    writer.add_head_count_kv(model["key_value_heads"])
    if model["architecture"] == "falcon":
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_layer_norm_rms_eps(1e-5)
    if model["experts"]:
        writer.add_expert_count(model["experts"])
        writer.add_expert_used_count(2)
    for name, shape in model["tensors"].items():
        writer.add_tensor(name, numpy.zeros(shape[::-1], numpy.float32))
    for step in ("header", "kv_data", "tensors"):
        getattr(writer, f"write_{step}_to_file")()
    writer.close()


def write_importance(model, path):
    writer = gguf.GGUFWriter(path, "none")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["ones"])
    writer.add_uint32("imatrix.chunk_count", 1)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, shape in model["tensors"].items():
        if len(shape) < 2 or name == "token_embd.weight":
            continue
        experts = shape[2] if len(shape) > 2 else 1
        writer.add_tensor(name + ".in_sum2", numpy.ones((experts, shape[0]), numpy.float32))
        writer.add_tensor(name + ".counts", numpy.ones((experts, 1), numpy.float32))
    for step in ("header", "kv_data", "tensors"):
        getattr(writer, f"write_{step}_to_file")()
    writer.close()


def answer(program, path, importance, mix, tensors):
    options = ["--imatrix", importance] if importance else []
    run = subprocess.run([program, "--dry-run", *options, path, mix], capture_output=True, text=True)
    found = {}
    for line in (run.stdout + run.stderr).splitlines():
        match = re.match(r"\[ *\d+/ *\d+\] +(\S+) +- .*type = +(\w+), .*?size = .*?(?:\((\w+)\))?$", line)
        if match:
            found[match[1]] = (match[3] or match[2]).upper()
    if run.returncode != 0 or set(found) != set(tensors):
        return None
    return [found[name] for name in tensors]


def main():
    types = []
    result = {"types": types, "models": {}}
    with tempfile.TemporaryDirectory() as folder:
        for key, model in MODELS.items():
            path, importance = f"{folder}/{key}.gguf", f"{folder}/{key}.imatrix.gguf"
            write(model, path)
            write_importance(model, importance)
            answers = {}
            for mix in MIXES:
                for use in (None, importance):
                    found = answer(sys.argv[1], path, use, mix, model["tensors"])
                    if found is None:
                        print(key, mix, "refused")
                        continue
                    for name in found:
                        if name not in types:
                            types.append(name)
                    numbers = [types.index(name) for name in found]
                    if use is None or numbers != answers.get(mix):
                        answers[mix + (" importance" if use else "")] = numbers
            result["models"][key] = dict(model, tensors=[[name, *shape] for name, shape in model["tensors"].items()],
                                         answers={mix: "".join(chr(65 + n) for n in numbers)
                                                  for mix, numbers in answers.items()})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    print(OUT.stat().st_size, "bytes", types)


if __name__ == "__main__":
    main()
