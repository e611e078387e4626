#!/usr/bin/env python3
"""Writes `proxy-1b`, a random Llama of a billion parameters in BF16, to measure speed where weights don't fit in any cache
and rows hold whole k-quant blocks: python3 bench/make_proxy.py --tokenizer SMOLLM2.gguf --output proxy-1b-bf16.gguf

Hidden 2048, 16 layers, 32 heads and 8 key-value heads of 64, intermediate 8192, 32,000 tokens, head apart from the
embeddings. The tokenizer is the first part of the given file's (a byte-level BPE: ids are the bytes, then merges in order),
so every text still encodes. Weights are normal with a deviation of 1/sqrt(inputs), those that write to the residual stream
smaller by sqrt(2 layers), as GPT-2's: logits are of the order of one, and a prompt's tokens tell apart.
llama-quantize makes the other types of it. Needs gguf and numpy (bench/requirements.txt).
"""
import argparse

import gguf
import numpy

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE, VOCABULARY = 2048, 16, 32, 8, 64, 8192, 32000


def bf16(rng, rows, columns, scale=1.0):
    values = rng.standard_normal((rows, columns), dtype=numpy.float32) * numpy.float32(scale)
    bits = values.view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)  # round to nearest, ties to even


def tokenizer(writer, path):
    reader = gguf.GGUFReader(path)

    def field(name):
        return reader.fields["tokenizer.ggml." + name].contents()
    tokens = field("tokens")[:VOCABULARY]
    known = set(tokens)
    merges = [merge for merge in field("merges") if merge.replace(" ", "") in known]
    writer.add_tokenizer_model(field("model"))
    writer.add_tokenizer_pre(field("pre"))
    writer.add_token_list(tokens)
    writer.add_token_types(field("token_type")[:VOCABULARY])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(field("bos_token_id"))
    writer.add_eos_token_id(field("eos_token_id"))
    writer.add_add_bos_token(False)


def tensors(layers):
    """Name, rows, columns, scale of every matrix: a GGUF matrix has a row for each output."""
    into, back = HIDDEN ** -0.5, (2 * layers) ** -0.5
    yield "token_embd.weight", VOCABULARY, HIDDEN, 1.0
    for i in range(layers):
        yield f"blk.{i}.attn_q.weight", HEADS * HEAD_DIM, HIDDEN, into
        yield f"blk.{i}.attn_k.weight", KV_HEADS * HEAD_DIM, HIDDEN, into
        yield f"blk.{i}.attn_v.weight", KV_HEADS * HEAD_DIM, HIDDEN, into
        yield f"blk.{i}.attn_output.weight", HIDDEN, HEADS * HEAD_DIM, (HEADS * HEAD_DIM) ** -0.5 * back
        yield f"blk.{i}.ffn_gate.weight", INTERMEDIATE, HIDDEN, into
        yield f"blk.{i}.ffn_up.weight", INTERMEDIATE, HIDDEN, into
        yield f"blk.{i}.ffn_down.weight", HIDDEN, INTERMEDIATE, INTERMEDIATE ** -0.5 * back
    yield "output.weight", VOCABULARY, HIDDEN, into


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="a GGUF file of SmolLM2")
    parser.add_argument("--output", required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    writer = gguf.GGUFWriter(arguments.output, "llama")
    writer.add_name("proxy-1b")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
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
    tokenizer(writer, arguments.tokenizer)
    rng = numpy.random.default_rng(arguments.seed)
    for name, rows, columns, scale in tensors(LAYERS):
        writer.add_tensor(name, bf16(rng, rows, columns, scale), raw_shape=(rows, columns),
                          raw_dtype=gguf.GGMLQuantizationType.BF16)
    ones = numpy.ones(HIDDEN, dtype=numpy.float32)
    for name in [f"blk.{i}.{norm}_norm" for i in range(LAYERS) for norm in ("attn", "ffn")] + ["output_norm"]:
        writer.add_tensor(name + ".weight", ones)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
