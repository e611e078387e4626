"""Tiny folders of HQQ: tests/fixtures/model/packed/hqq<bits>.

    pip install --no-deps hqq==0.2.8.post1
    python tests/oracles/hqq_folders.py tests/fixtures/model/packed

Random models of transformers, every linear module but the head made an HQQLinear by the package on a CPU. Its own
state_dict() goes into the file, as transformers' save_pretrained writes it; config.json says what transformers' HqqConfig
says. `weight` is a matrix as (code - zero) * scale of the unpacked codes, which float64 holds exactly, rounded to float32,
and `logits` are transformers' of such matrices. The package's own dequantize(), which rounds both steps to the compute
type, is held to them here.
"""
import importlib.util
import json
import pathlib
import shutil
import sys
import types

import torch
import transformers
from safetensors.torch import load_file, save_file


def hqq():
    """hqq/core/quantize.py without the package's GPU back ends, whose dependencies a CPU does not have."""
    root = pathlib.Path(importlib.util.find_spec("hqq").submodule_search_locations[0]) / "core"
    colours = types.ModuleType("termcolor")
    colours.colored = lambda text, *_: text
    sys.modules.setdefault("termcolor", colours)
    package = types.ModuleType("hqq_core")
    package.__path__ = [str(root)]
    sys.modules["hqq_core"] = package
    spec = importlib.util.spec_from_file_location("hqq_core.quantize", root / "quantize.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["hqq_core.quantize"] = module
    spec.loader.exec_module(module)
    return module


HQQ = hqq()


def quantized(weight, bits, group, dtype, **more):
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight.data = weight.to(dtype)
    config = HQQ.hqq_base_quant_config(nbits=bits, group_size=group, axis=1, **more)
    layer = HQQ.HQQLinear(linear, config, compute_dtype=dtype, device="cpu", del_orig=False)
    state = layer.state_dict()
    packed = state["W_q"].view(layer.meta["unpack_view_dtype"]) if layer.meta["view_as_float"] else state["W_q"]
    codes = HQQ.Quantizer.unpack[layer.meta["packing"]](packed, dtype=torch.float64)
    codes = codes[: weight.numel() // group]
    numbers = ((codes - state["zero"].double()) * state["scale"].double()).reshape(weight.shape)
    theirs = layer.dequantize().double()
    steps = state["scale"].double().repeat_interleave(group, 1).reshape(weight.shape)
    worst = ((theirs - numbers).abs() / steps).max().item()
    assert worst < 1.6 * 2.0 ** (bits - (8 if dtype is torch.bfloat16 else 11)), worst
    return numbers.float(), state


def write(folder, seed, bits, group, dtype, **more):
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=96, max_position_embeddings=128, tie_word_embeddings=False, initializer_range=0.15))
    folder.mkdir(parents=True, exist_ok=True)
    dense = folder / "dense"
    model.float().save_pretrained(dense)
    tensors, packed, shown = load_file(dense / "model.safetensors"), {}, None
    for name, tensor in tensors.items():
        if not name.endswith("proj.weight"):
            packed[name] = tensor.to(dtype)
            tensors[name] = packed[name].float()
            continue
        numbers, state = quantized(tensor, bits, group, dtype, **more)
        tensors[name] = numbers
        packed |= {f"{name.removesuffix('weight')}{key}": value.detach().contiguous() for key, value in state.items()}
        if name == "model.layers.1.mlp.down_proj.weight":
            shown = numbers
    save_file(tensors, dense / "model.safetensors", {"format": "pt"})
    model = transformers.LlamaForCausalLM.from_pretrained(dense, dtype=torch.float32).eval()
    ids = torch.randint(0, 96, (2, 12), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    config = json.loads((dense / "config.json").read_text()) | {"torch_dtype": str(dtype).removeprefix("torch.")}
    config.pop("dtype", None)
    asked = transformers.HqqConfig(nbits=bits, group_size=group, axis=1, **more).to_dict()
    config["quantization_config"] = asked
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(packed, folder / "model.safetensors", {"format": "pt"})
    save_file({"input_ids": ids, "logits": logits, "weight": shown.contiguous()}, folder / "expected.safetensors")
    shutil.rmtree(dense)


out = pathlib.Path(sys.argv[1])
write(out / "hqq4", 16, 4, 64, torch.float16)
write(out / "hqq3", 17, 3, 32, torch.bfloat16)
write(out / "hqq2", 18, 2, 32, torch.float16, view_as_float=True)
write(out / "hqq6", 19, 6, 64, torch.float16)
write(out / "hqq8", 20, 8, 64, torch.bfloat16)
