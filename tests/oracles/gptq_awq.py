"""Weights as AutoGPTQ 0.7.1 and AutoAWQ 0.2.7 pack them, and as they read them: tests/fixtures/kernels/gptq_awq.safetensors.

    pip download --no-deps auto-gptq==0.7.1 autoawq==0.2.7.post3; unzip both into <folder>
    python tests/oracles/gptq_awq.py <folder> tests/fixtures/kernels/gptq_awq.safetensors

The packages' own files are run, without what stands in the packages around them, which wants a GPU. Both are told to
pack numbers that their codes hold exactly; `weight` [outputs, inputs] is what they make of the packed tensors with the
scales in float32.
"""
import importlib.util
import pathlib
import sys

import torch
from safetensors.torch import save_file


def module_of(folder, path):
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem + "_of_peer", pathlib.Path(folder) / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def awq_linear(folder):
    """WQLinear_GEMM out of its file: its imports reach the whole package, its packing needs none of them."""
    source = (pathlib.Path(folder) / "awq/modules/linear/gemm.py").read_text()
    lines = [line for line in source.splitlines() if not line.startswith("from awq.")]
    names = {"try_import": lambda name: (None, ""), "get_best_device": lambda: "cpu", "dequantize_gemm": None}
    exec(compile("\n".join(lines), "gemm.py", "exec"), names)
    return names["WQLinear_GEMM"]


# name, bits, group (-1: a column), inputs, outputs, act-order
GPTQ = [
    ("gptq4_g32", 4, 32, 96, 64, False),
    ("gptq4_g64", 4, 64, 192, 32, False),
    ("gptq4_g128_order", 4, 128, 256, 32, True),
    ("gptq4_column", 4, -1, 160, 64, False),
    ("gptq2_g64", 2, 64, 128, 32, False),
    ("gptq3_g32_order", 3, 32, 96, 64, True),
    ("gptq8_g32", 8, 32, 96, 32, False),
    ("gptq8_g128_order", 8, 128, 256, 32, True),
]
AWQ = [("awq_g32", 32, 96, 64), ("awq_g64", 64, 128, 96), ("awq_g128", 128, 256, 32)]


def numbers(generator, bits, groups, outputs, inputs, least_zero, most_zero):
    codes = torch.randint(0, 2**bits, (outputs, inputs), generator=generator)
    zeros = torch.randint(least_zero, most_zero + 1, (outputs, groups), generator=generator)
    scales = (torch.rand(outputs, groups, generator=generator) * 0.02 + 0.001).half()
    return codes, zeros, scales


def linear_of(codes, zeros, scales, g_idx):
    linear = torch.nn.Linear(codes.shape[1], codes.shape[0], bias=False)
    linear.weight.data = scales.float()[:, g_idx] * (codes - zeros[:, g_idx])
    return linear


def main(folder, path):
    generator = torch.Generator().manual_seed(23)
    tensors = {}
    gptq = module_of(folder, "auto_gptq/nn_modules/qlinear/qlinear_cuda.py").QuantLinear
    for name, bits, group, inputs, outputs, ordered in GPTQ:
        group = inputs if group == -1 else group
        g_idx = torch.arange(inputs) // group
        if ordered:
            g_idx = g_idx[torch.randperm(inputs, generator=generator)]
        # A zero of 2^bits is stored as the largest code; "gptq_v2", made of the others by the test, has no place for it.
        codes, zeros, scales = numbers(generator, bits, inputs // group, outputs, inputs, 1,
                                       2**bits - (not ordered))
        packed = gptq(bits, group, inputs, outputs, False)
        packed.pack(linear_of(codes, zeros, scales, g_idx), scales.float(), zeros.float(), g_idx.int())
        packed.scales = packed.scales.float()
        assert torch.equal(packed.scales, scales.t().float()), name
        weight = packed(torch.eye(inputs)).t()
        assert torch.equal(weight, scales.float()[:, g_idx] * (codes - zeros[:, g_idx])), name
        tensors |= {f"{name}.qweight": packed.qweight, f"{name}.qzeros": packed.qzeros,
                    f"{name}.scales": packed.scales.half(), f"{name}.g_idx": packed.g_idx.int(),
                    f"{name}.weight": weight}
    awq, read_awq = awq_linear(folder), module_of(folder, "awq/utils/packing_utils.py").dequantize_gemm
    for name, group, inputs, outputs in AWQ:
        g_idx = torch.arange(inputs) // group
        codes, zeros, scales = numbers(generator, 4, inputs // group, outputs, inputs, 0, 15)
        packed = awq.from_linear(linear_of(codes, zeros, scales, g_idx), 4, group, False, scales.t().float(), zeros.t())
        weight = read_awq(packed.qweight, packed.qzeros, packed.scales.float(), 4, group).t()
        assert torch.equal(weight, scales.float()[:, g_idx] * (codes - zeros[:, g_idx])), name
        tensors |= {f"{name}.qweight": packed.qweight, f"{name}.qzeros": packed.qzeros,
                    f"{name}.scales": packed.scales.half(), f"{name}.weight": weight}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


main(*sys.argv[1:])
