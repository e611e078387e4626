"""Holds a folder that `powerhouse quantize --type hqq` wrote to transformers and the hqq package.

    powerhouse convert --model SmolLM2-135M-Instruct.Q4_1.gguf --dtype f32 --output source
    powerhouse quantize --model source --type hqq --output written [--bits 4] [--group-size 64]
    powerhouse quantize --model written --type F32 --allow-requantize --output written.gguf
    python tests/oracles/hqq_written.py source written written.gguf

A Llama. transformers loads `written`, each module as the package's HQQLinear. Its unpacked codes, scales and zeros as
(code - zero) * scale, which float64 holds exactly, are held to the numbers that our reader has of the folder
(written.gguf). The package's own dequantize() in float32 rounds twice: it may be off by that where code - zero is no
float32. Then the package quantizes the modules of `source` on a CPU in float32 by the folder's own settings, and its codes,
and scales and zeros rounded to float16, are held to the folder's: printed is how many differ, and what each side's numbers
lose.

Ran with transformers 4.57.1 (5.0 to 5.23 take HQQ folders, the package's own too, for ones without those weights), hqq
0.2.8.post1, torch 2.11.0, gguf.
"""
import json
import pathlib
import sys

import numpy
import torch
from gguf import GGUFReader
from hqq.core.quantize import HQQLinear, Quantizer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj"}


def our_numbers(path, config):
    """By module, queries and keys back in the order of folders."""
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    numbers = {}
    for tensor in GGUFReader(path).tensors:
        parts = tensor.name.split(".")
        if parts[0] != "blk" or parts[2] not in NAMES:
            continue
        matrix = numpy.array(tensor.data, dtype=numpy.float32)
        if parts[2] in heads:
            count = heads[parts[2]]
            matrix = matrix.reshape(count, matrix.shape[0] // count // 2, 2, -1).swapaxes(1, 2).reshape(matrix.shape)
        numbers[f"model.layers.{parts[1]}.{NAMES[parts[2]]}"] = torch.from_numpy(matrix.copy())
    return numbers


def unpacked(packed, meta):
    groups = meta["shape"][0] * meta["shape"][1] // meta["group_size"]
    return Quantizer.unpack[meta["packing"]](packed, dtype=torch.uint8)[:groups]


def main(source, written, gguf):
    source, written = pathlib.Path(source), pathlib.Path(written)
    config = json.loads((written / "config.json").read_text())
    settings = config["quantization_config"]["quant_config"]["weight_quant_params"]
    values = load_file(source / "model.safetensors")
    ours = our_numbers(gguf, config)
    model, loading = AutoModelForCausalLM.from_pretrained(written, dtype=torch.float32, output_loading_info=True)
    assert not any(loading.values()), loading
    modules = {name: module for name, module in model.named_modules() if isinstance(module, HQQLinear)}
    assert set(modules) == set(ours), set(modules) ^ set(ours)
    twice = codes = levels = other_codes = far_codes = other_levels = 0
    squares, our_loss, their_loss = 0.0, 0.0, 0.0
    for name, module in modules.items():
        meta = module.meta
        assert module.quant_config["weight_quant_params"] == settings, module.quant_config
        read = unpacked(module.W_q, meta)
        numbers = ((read.double() - meta["zero"].double()) * meta["scale"].double()).reshape(meta["shape"])
        assert torch.equal(numbers.float(), ours[name]), (name, (numbers.float() - ours[name]).abs().max())
        rounded = ((read.float() - meta["zero"]).double() != read.double() - meta["zero"].double()).reshape(meta["shape"])
        apart = (module.dequantize() - ours[name]).abs()
        assert not apart[~rounded].any() and (apart <= 2.0 ** -22 * ours[name].abs()).all(), (name, apart.max())
        twice += rounded.sum().item()
        weight = values[f"{name}.weight"].float()
        packed, found = Quantizer.quantize(weight, device="cpu", **settings)
        theirs = unpacked(packed, found)
        scale, zero = found["scale"].half().double(), found["zero"].half().double()
        steps = (theirs.int() - read.int()).abs()
        codes, other_codes = codes + steps.numel(), other_codes + (steps > 0).sum().item()
        far_codes += (steps > 1).sum().item()
        levels += 2 * scale.numel()
        other_levels += (scale != meta["scale"].double()).sum().item() + (zero != meta["zero"].double()).sum().item()
        squares += weight.double().square().sum().item()
        our_loss += (numbers - weight).square().sum().item()
        their_loss += (((theirs.double() - zero) * scale).reshape(weight.shape) - weight).square().sum().item()
    print(f"{len(modules)} modules of {settings['nbits']} bits in groups of {settings['group_size']}: every number the same, "
          f"{twice} of them rounded twice by dequantize()")
    print(f"the package's own: {other_codes} of {codes} codes differ ({far_codes} by more than one), "
          f"{other_levels} of {levels} scales and zeros; relative error {(our_loss / squares) ** 0.5:.7f}, "
          f"the package's {(their_loss / squares) ** 0.5:.7f}")


main(*sys.argv[1:])
