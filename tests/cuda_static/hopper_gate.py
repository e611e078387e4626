#!/usr/bin/env python3
"""Holds the machine code of flash attention for a Hopper to limits. Arguments: command.py.

Kernels with products of warpgroups: no stack, no spilled register, nothing in local memory; registers at most, and
blocks of a multiprocessor at least, those recorded; in the main loop at most the recorded instructions a product
(HGMMA, of 64 rows by a warpgroup), and of the accesses to global memory at least the recorded share of 16 bytes or
whole tiles. Other kernels of the files: no stack.
"""
import math
import pathlib
import re
import sys

import command
import flow
import sass


def shape_of(arguments, kernel, folder):
    """Threads and bytes of shared memory of a block; None: a kernel without products."""
    match = re.match(r"hopper_(forward|backward)_kernel<(\d+), ", kernel)
    if not match:
        return None
    header, tile = {"forward": ("hopper_tile.h", "HopperForwardTile"),
                    "backward": ("hopper_backward_tile.h", "HopperBackwardTile")}[match.group(1)]
    names = [f"powerhouse::cuda::{tile}<{match.group(2)}>::{name}" for name in ("kThreads", "kSharedBytes")]
    return sass.constants(arguments.cxx, arguments.root, f"kernels/cuda/flash_attention/{header}", names, folder)


def measure(arguments, source, arch, folder):
    cubin = pathlib.Path(folder) / f"{pathlib.Path(source).stem}_{arch}.cubin"
    resources = sass.compile_resources(arguments.nvcc, arguments.root, source, arch, cubin)
    code, labels = flow.read(arguments.nvdisasm, cubin)
    names = sass.short_names(list(resources))
    rows, failed = [], []
    for mangled, found in sorted(resources.items(), key=lambda item: names[item[0]]):
        shape = shape_of(arguments, names[mangled], folder)
        if shape is None:
            if found["stack"] > 0:
                failed.append(f"{names[mangled]} sm_{arch}: {found['stack']} bytes of stack")
            continue
        plain = [(operation, of) for operation, of, _ in code[mangled]]
        accesses, wide = sass.global_accesses(plain)
        loop = flow.inner_loop(code[mangled], labels[mangled])
        rows.append({
            "kernel": names[mangled], "arch": arch, **found, **sass.loop_mix([(operation, "") for operation in loop]),
            "global": accesses, "wide": wide,
            "blocks": command.blocks_resident(arch, shape[0], found["registers"], shape[1]),
            "local_anywhere": sum(operation.startswith(("LDL", "STL")) for operation, _ in plain),
        })
    return rows, failed


def complaints(row, limit):
    said = command.over(row, limit, "registers", "per_product") + command.under(row, limit, "blocks")
    if row["stack"] or row["spill"] or row["local_anywhere"]:
        said.append(f"{row['stack']} bytes of stack, {row['spill']} spilled, "
                    f"{row['local_anywhere']} accesses to local memory")
    return said + command.narrow(row, limit)


def recorded(row):
    return {"registers": row["registers"], "blocks": row["blocks"],
            "per_product": math.ceil(row["per_product"] * 100) / 100, "wide": command.wide_share(row)}


def cells(row):
    return [row["registers"], row["stack"], row["blocks"], row["instructions"], row["products"],
            f"{row['per_product']:.2f} static", f"{row['wide']} of {row['global']}"]


if __name__ == "__main__":
    sys.exit(command.run(command.Gate(
        measure, complaints, recorded,
        ["registers", "stack", "blocks", "loop", "products", "instructions a product", "16 bytes"], cells,
        "hopper table")))
