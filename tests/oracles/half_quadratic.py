"""Writes tests/fixtures/quantization/hqq.json: half-quadratic quantization by the hqq package on a CPU, axis 1.

    python tests/oracles/half_quadratic.py [FILE]

Ran with hqq 0.2.8.post1, torch 2.11.0.
"""
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import torch


def load_quantizer():
    """hqq/core/quantize.py without the package's GPU back ends, whose dependencies a CPU does not have."""
    root = Path(importlib.util.find_spec("hqq").submodule_search_locations[0]) / "core"
    colours = ModuleType("termcolor")
    colours.colored = lambda text, *_: text
    sys.modules.setdefault("termcolor", colours)
    package = ModuleType("hqq_core")
    package.__path__ = [str(root)]
    sys.modules["hqq_core"] = package
    spec = importlib.util.spec_from_file_location("hqq_core.quantize", root / "quantize.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["hqq_core.quantize"] = module
    spec.loader.exec_module(module)
    return module.Quantizer


Quantizer = load_quantizer()
torch.manual_seed(9)
x = torch.randn(6, 128) * 0.05
x[1] *= torch.rand(128).pow(-0.5)
x[2, :64] = 0.125
x[4, 9] = 1.5
out = {"x": x.flatten().tolist()}
for name, options in {"b4_g64": dict(nbits=4, group_size=64), "b2_g16": dict(nbits=2, group_size=16),
                      "b3_g32": dict(nbits=3, group_size=32), "b8_g128": dict(nbits=8, group_size=128),
                      "b4_plain": dict(nbits=4, group_size=64, optimize=False),
                      "b1_g32": dict(nbits=1, group_size=32),
                      "b4_round_zero": dict(nbits=4, group_size=64, round_zero=True)}.items():
    codes, meta = Quantizer.quantize(x, axis=1, bitpack=False, device="cpu", **options)
    packed, packing = Quantizer.quantize(x, axis=1, device="cpu", **options)
    out[name] = {"codes": codes.flatten().int().tolist(), "scales": meta["scale"].flatten().tolist(),
                 "zeros": meta["zero"].flatten().tolist(), "packed": packed.flatten().tolist(),
                 "packed_shape": list(packed.shape), "packing": packing["packing"]}
target = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/quantization/hqq.json")
target.write_text(json.dumps(out) + "\n")
