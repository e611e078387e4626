"""Writes tests/fixtures/model/bnb_*: a random Llama that transformers and bitsandbytes quantized, and its logits; bnb_base is the model before, in bf16.

bnb_*_b* have other block sizes than transformers asks for, bnb_rows96 is tiny_blocks, whose blocks go through rows.

Each folder holds config.json, model.safetensors and expected.safetensors: input_ids, and logits by float32 products of
the weights as bitsandbytes dequantizes them (its own CPU product rounds to bf16 on some processors).

    python tests/oracles/bitsandbytes_folders.py [NAME ...]

Ran with transformers 5.23.0, bitsandbytes 0.50.2, torch 2.11.0.
"""
import json
import os
import shutil
import sys

import bitsandbytes as bnb
import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "model")
KINDS = {
    "bnb_nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    "bnb_nf4_nested": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "bnb_fp4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="fp4"),
    "bnb_int8": BitsAndBytesConfig(load_in_8bit=True),
}


def base(folder):
    torch.manual_seed(21)
    config = LlamaConfig(vocab_size=80, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=16, max_position_embeddings=64,
                         tie_word_embeddings=False, bos_token_id=1, eos_token_id=2)
    model = LlamaForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 0.15)
            if "norm" in name:
                parameter.add_(1.0)
    model.bfloat16().save_pretrained(folder)
    os.remove(os.path.join(folder, "generation_config.json"))


def dense_weight(module):
    if isinstance(module, bnb.nn.Linear4bit):
        module.weight.quant_state.dtype = torch.float32
        return bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
    state = module.weight
    return bnb.functional.int8_vectorwise_dequant(state.CB if state.CB is not None else state.data, state.SCB)


BLOCKS = {
    "bnb_nf4_b32": ("bnb_base", {"quant_type": "nf4", "blocksize": 32, "compress_statistics": True}),
    "bnb_fp4_b256": ("bnb_base", {"quant_type": "fp4", "blocksize": 256, "compress_statistics": False}),
    "bnb_rows96": ("tiny_blocks", {"quant_type": "nf4", "blocksize": 64, "compress_statistics": True}),
}


def dequantized(codes, state):
    """By bitsandbytes' own code for any device: its CPU kernel takes blocks that go through rows for blocks of rows."""
    absmax = state.absmax
    if state.nested:
        absmax = bnb.functional.dequantize_blockwise(absmax, state.state2) + state.offset
    return _dequantize_4bit_compute(codes.reshape(-1), absmax.float(), state.code, state.blocksize, state.shape,
                                    torch.float32)


def write_blocks(name, base_name, options, ids):
    dense = LlamaForCausalLM.from_pretrained(os.path.join(HERE, base_name), dtype=torch.float32,
                                             attn_implementation="eager").eval()
    out = os.path.join(HERE, name)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    expected, tensors = {"input_ids": ids % dense.config.vocab_size}, {}
    for key, value in dense.state_dict().items():
        if not key.endswith("proj.weight"):
            tensors[key] = value.clone()
            continue
        codes, state = bnb.functional.quantize_4bit(value, **options)
        tensors[key] = codes
        tensors.update({f"{key}.{part}": tensor for part, tensor in state.as_dict(packed=True).items()})
        weight = dequantized(codes, state)
        dense.get_submodule(key.removesuffix(".weight")).weight.data.copy_(weight)
        if key.endswith("0.mlp.down_proj.weight"):
            expected["down_proj"] = weight.contiguous()
    if dense.config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    with torch.no_grad():
        expected["logits"] = dense(expected["input_ids"]).logits
    config = {**dense.config.to_dict(), "_name_or_path": base_name}
    config["quantization_config"] = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=options["quant_type"],
        bnb_4bit_use_double_quant=options["compress_statistics"]).to_dict()
    with open(os.path.join(out, "config.json"), "w") as file:
        json.dump(config, file, indent=2, sort_keys=True)
        file.write("\n")
    save_file(tensors, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    save_file(expected, os.path.join(out, "expected.safetensors"))


def main():
    wanted = sys.argv[1:]
    ids = torch.tensor([[1, 7, 79, 3, 3, 42, 66, 8, 13, 21, 34, 55], [1, 2, 3, 5, 8, 13, 21, 34, 55, 11, 12, 13]])
    folder = os.path.join(HERE, "bnb_base")
    if not wanted:
        base(folder)
    for name, (base_name, options) in BLOCKS.items():
        if not wanted or name in wanted:
            write_blocks(name, base_name, options, ids)
    for name, config in KINDS.items():
        if wanted and name not in wanted:
            continue
        model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, dtype=torch.float32,
                                                     device_map="cpu", attn_implementation="eager").eval()
        out = os.path.join(HERE, name)
        shutil.rmtree(out, ignore_errors=True)
        model.save_pretrained(out)
        dense = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        weights = {"input_ids": ids}
        with torch.no_grad():
            for path, module in model.named_modules():
                if isinstance(module, (bnb.nn.Linear4bit, bnb.nn.Linear8bitLt)):
                    weight = dense_weight(module)
                    dense.get_submodule(path).weight.copy_(weight)
                    if path.endswith("0.mlp.down_proj"):
                        weights["down_proj"] = weight.contiguous()
            weights["logits"] = dense(ids).logits
        save_file(weights, os.path.join(out, "expected.safetensors"))
        os.remove(os.path.join(out, "generation_config.json"))


main()
