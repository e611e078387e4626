"""What AutoGPTQ 0.7.1 makes of small layers: tests/fixtures/quantization/gptq_solver.safetensors.

    pip download --no-deps auto-gptq==0.7.1; unzip into <folder>
    python tests/oracles/gptq_solver.py <folder> tests/fixtures/quantization/gptq_solver.safetensors

Its own classes run on the CPU. It takes the grid of a group from weights that lack the corrections of the block at hand,
so blocks are as long as groups here, where that makes no difference.
"""
import importlib
import pathlib
import sys
import types

import torch
from safetensors.torch import save_file

# name, bits, group (-1: a row), symmetric, act-order, static groups, search for scales
CASES = [
    ("g32", 4, 32, True, False, False, False),
    ("g32_asym", 4, 32, False, False, False, False),
    ("g64_order", 4, 64, True, True, False, False),
    ("g64_order_asym", 4, 64, False, True, False, False),
    ("g32_static_order", 4, 32, True, True, True, False),
    ("row", 4, -1, True, False, False, False),
    ("row_order_asym", 3, -1, False, True, False, False),
    ("g64_2bit", 2, 64, False, False, False, False),
    ("g32_3bit", 3, 32, True, False, False, False),
    ("g64_8bit", 8, 64, True, False, False, False),
    ("g32_search", 4, 32, True, False, False, True),
    ("g32_search_asym", 3, 32, False, False, False, True),
]


def peer(folder):
    package = types.ModuleType("gptq_peer")
    package.__path__ = [str(pathlib.Path(folder) / "auto_gptq/quantization")]
    sys.modules["gptq_peer"] = package
    torch.cuda.synchronize = lambda: None
    return importlib.import_module("gptq_peer.gptq").GPTQ


def main(folder, path):
    gptq = peer(folder)
    generator = torch.Generator().manual_seed(7)
    rows, columns, tokens = 80, 192, 400
    spread = torch.randn(columns, columns, generator=generator) / columns**0.5
    inputs = torch.randn(tokens, columns, generator=generator) @ (spread + 0.3 * torch.eye(columns))
    inputs = inputs * torch.linspace(0.1, 3, columns)[torch.randperm(columns, generator=generator)]
    weight = torch.randn(rows, columns, generator=generator) * 0.02
    tensors = {"weight": weight}
    for name, bits, group, sym, order, static, search in CASES:
        linear = torch.nn.Linear(columns, rows, bias=False)
        linear.weight.data = weight.clone()
        solver = gptq(linear)
        solver.quantizer.configure(bits, perchannel=True, sym=sym, mse=search)
        solver.add_batch(inputs.unsqueeze(0), None)
        tensors.setdefault("hessian", solver.H.clone())
        scale, zero, g_idx = solver.fasterquant(blocksize=group if group > 0 else 64, percdamp=0.01, group_size=group,
                                                actorder=order, static_groups=static)
        g = g_idx.long()
        if static:  # its list is in the order in which columns were rounded, and then put back
            g = torch.arange(columns) // group
        if group == -1:
            g = torch.zeros(columns, dtype=torch.long)
        codes = torch.round(linear.weight.data / scale[:, g] + zero[:, g])
        assert torch.allclose((codes - zero[:, g]) * scale[:, g], linear.weight.data, atol=1e-6), name
        error = weight - linear.weight.data
        tensors |= {f"{name}.codes": codes.to(torch.uint8), f"{name}.scales": scale, f"{name}.zeros": zero,
                    f"{name}.g_idx": g.int(), f"{name}.error": (error @ tensors["hessian"] * error).sum()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


main(*sys.argv[1:])
