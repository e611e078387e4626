"""What bitsandbytes 0.50.2 makes of some tensors on a CPU: tests/fixtures/kernels/four_bit.safetensors.

    python tests/oracles/four_bit.py tests/fixtures/kernels/four_bit.safetensors
"""
import sys

import bitsandbytes
import bitsandbytes.functional as bnb
import torch
from safetensors.torch import save_file

assert bitsandbytes.__version__ == "0.50.2", bitsandbytes.__version__


def cases():
    generator = torch.Generator().manual_seed(11)
    normal = torch.randn(16, 192, generator=generator)
    yield "normal", normal, 64
    # Rows are whole blocks: the package's AVX-512 dequantization takes others for something else.
    yield "wide", (normal * 10 ** torch.linspace(-6, 6, 16).view(16, 1)).view(12, 256), 128
    zeros = normal[:4].clone()
    zeros[0] = 0
    zeros[1, :64] = 1e-40
    yield "zeros", zeros, 64
    yield "tail", normal.flatten()[:333].clone(), 32
    # On the bounds between levels, and next to them.
    bounds = []
    for kind in ("nf4", "fp4"):
        levels = bnb.get_4bit_type(kind, device="cpu").sort().values
        bounds.append((levels[1:] + levels[:-1]) / 2)
    bounds = torch.cat(bounds)
    inf = torch.tensor(float("inf"))
    ties = torch.cat([bounds, torch.nextafter(bounds, inf), torch.nextafter(bounds, -inf)])
    yield "ties", torch.cat([ties, torch.ones(128 - ties.numel() % 64)]).contiguous(), 64


def main(path):
    tensors = {"dynamic_map": bnb.create_dynamic_map()}
    for name, values, block_size in cases():
        tensors[f"{name}.values"] = values
        for kind in ("nf4", "fp4"):
            codes, state = bnb.quantize_4bit(values, blocksize=block_size, quant_type=kind)
            prefix = f"{name}.{kind}"
            tensors[prefix + ".codes"] = codes.flatten()
            tensors[prefix + ".absmax"] = state.absmax
            tensors[prefix + ".dequantized"] = bnb.dequantize_4bit(codes, state).flatten()
            codes, state = bnb.quantize_4bit(values, blocksize=block_size, quant_type=kind, compress_statistics=True)
            tensors[prefix + ".nested_codes"] = state.absmax
            tensors[prefix + ".nested_absmax"] = state.state2.absmax
            tensors[prefix + ".offset"] = state.offset.view(1)
            tensors[prefix + ".nested_dequantized"] = bnb.dequantize_4bit(codes, state).flatten()
    generator = torch.Generator().manual_seed(12)
    states = torch.randn(256 * 24, generator=generator) * torch.rand(256 * 24, generator=generator) ** 6
    codes, state = bnb.quantize_blockwise(states, blocksize=256)
    tensors |= {"states.values": states, "states.codes": codes, "states.absmax": state.absmax}
    rows = torch.randn(4, 64, generator=generator)
    codes, stats, _ = bnb.int8_vectorwise_quant(rows.half())
    tensors |= {"int8.codes": codes, "int8.stats": stats, "int8.values": bnb.int8_vectorwise_dequant(codes, stats)}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


main(sys.argv[1])
