#!/usr/bin/env python3
"""Writes `proxy-experts`, a random Mixtral of 390 million parameters in BF16, of which a token reads 120 million, to measure
the speed of experts: python3 bench/make_proxy_experts.py --output proxy-experts-bf16.gguf [--experts 8] [--chosen 2]

Hidden 1024, 8 layers, 16 heads and 4 key-value heads of 64, experts of 1792, 8,000 tokens without a vocabulary. Weights
are normal with a deviation of 1/sqrt(inputs). llama-quantize makes the other types of it. Needs gguf and numpy
(bench/requirements.txt).
"""
import argparse

import gguf
import numpy

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE, VOCABULARY = 1024, 8, 16, 4, 64, 1792, 8000


def bf16(rng, shape, scale):
    bits = (rng.standard_normal(shape, dtype=numpy.float32) * numpy.float32(scale)).view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)  # round to nearest, ties to even


def matrices(experts):
    """Name and shape of every matrix: a GGUF matrix has a row for each output."""
    yield "token_embd.weight", (VOCABULARY, HIDDEN)
    for i in range(LAYERS):
        yield f"blk.{i}.attn_q.weight", (HEADS * HEAD_DIM, HIDDEN)
        yield f"blk.{i}.attn_k.weight", (KV_HEADS * HEAD_DIM, HIDDEN)
        yield f"blk.{i}.attn_v.weight", (KV_HEADS * HEAD_DIM, HIDDEN)
        yield f"blk.{i}.attn_output.weight", (HIDDEN, HEADS * HEAD_DIM)
        yield f"blk.{i}.ffn_gate_exps.weight", (experts, INTERMEDIATE, HIDDEN)
        yield f"blk.{i}.ffn_up_exps.weight", (experts, INTERMEDIATE, HIDDEN)
        yield f"blk.{i}.ffn_down_exps.weight", (experts, HIDDEN, INTERMEDIATE)
    yield "output.weight", (VOCABULARY, HIDDEN)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--chosen", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    writer = gguf.GGUFWriter(arguments.output, "llama")
    writer.add_name("proxy-experts")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("none")
    writer.add_block_count(LAYERS)
    writer.add_context_length(8192)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_expert_count(arguments.experts)
    writer.add_expert_used_count(arguments.chosen)
    rng = numpy.random.default_rng(arguments.seed)
    for name, shape in matrices(arguments.experts):
        scale = 1.0 if name.startswith("token_embd") else shape[-1] ** -0.5
        writer.add_tensor(name, bf16(rng, shape, scale), raw_shape=shape, raw_dtype=gguf.GGMLQuantizationType.BF16)
    ones = numpy.ones(HIDDEN, dtype=numpy.float32)
    for i in range(LAYERS):
        writer.add_tensor(f"blk.{i}.ffn_gate_inp.weight",
                          rng.standard_normal((arguments.experts, HIDDEN), dtype=numpy.float32) * HIDDEN ** -0.5)
    for name in [f"blk.{i}.{norm}_norm" for i in range(LAYERS) for norm in ("attn", "ffn")] + ["output_norm"]:
        writer.add_tensor(name + ".weight", ones)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
