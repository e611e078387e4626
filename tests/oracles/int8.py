"""Writes tests/fixtures/quantization/int8.json: int8 by the textbook's formulas, and bitsandbytes' LLM.int8() on a CPU.

    python tests/oracles/int8.py [FILE]

Ran with bitsandbytes 0.50.2, torch 2.11.0.
"""
import json
import sys
from pathlib import Path

import bitsandbytes.functional as F
import torch

torch.manual_seed(5)


def absmax(x):
    scale = 127 / torch.max(torch.abs(x))
    codes = (scale * x).round()
    return codes, scale, torch.zeros(()), codes / scale


def zero_point(x):
    spread = torch.max(x) - torch.min(x)
    spread = torch.tensor(1.0) if spread == 0 else spread
    scale = 255 / spread
    zero = (-scale * torch.min(x) - 128).round()
    codes = torch.clip((x * scale + zero).round(), -128, 127)
    return codes, scale, zero, (codes - zero) / scale


def parts(x, kind):
    if kind == "tensor":
        return [x.flatten()]
    if kind == "channel":
        return list(x)
    return list(x.reshape(-1, 16))


def numbers(values):
    return torch.as_tensor(values).float().flatten().tolist()


x = torch.randn(6, 64)
x[1] *= 100
x[2] = x[2].abs() + 3
x[3, :16] = 0.25
x[4, 5] = 30
out = {"x": numbers(x)}
for kind in ("tensor", "channel", "group"):
    for name, method in (("absmax", absmax), ("zero_point", zero_point)):
        found = [method(part) for part in parts(x, kind)]
        for at, field in enumerate(("codes", "scales", "zeros", "values")):
            out[f"{name}_{kind}_{field}"] = numbers(torch.cat([one[at].flatten() for one in found]))

weight = torch.randn(10, 64) * 0.1
weight[3, 2] = 4
activations = torch.randn(5, 64)
activations[2, 7] = 9.5
activations[4, 7] = -1.25
activations[1, 40] = -6.0
activations[3, 41] = 5.99
weight_codes, weight_absmax, _ = F.int8_vectorwise_quant(weight.half())
codes, row_absmax, outliers = F.int8_vectorwise_quant(activations.half(), threshold=6.0)
product = torch.ops.bitsandbytes.int8_mixed_scaled_mm(activations, codes, weight_codes, row_absmax, weight_absmax,
                                                      outliers, None)[0]
for name, values in (("weight", weight), ("weight_codes", weight_codes), ("weight_absmax", weight_absmax),
                     ("activations", activations), ("activation_codes", codes), ("activation_absmax", row_absmax),
                     ("outliers", outliers), ("product", product)):
    out[name] = numbers(values)
target = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/quantization/int8.json")
target.write_text(json.dumps(out) + "\n")
