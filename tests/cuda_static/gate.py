#!/usr/bin/env python3
"""Holds the machine code of flash attention to limits. Needs nvcc and nvdisasm, no GPU; every figure is a static
count. Arguments: command.py.

Anchors: FlashAttention-2's own code for sm_80, read from libtorch_cuda.so of LibTorch 2.11 in the same way, holds in
its forward loops 4.52 to 4.80 instructions a product at head size 128 and 6.34 at 64, and 0.28 to 0.56 loads.
"""
import pathlib
import re
import sys

import command
import sass

# Head size: instructions and matrix loads a product may cost in the main loop of unmodified scores, sm_80.
FORWARD_LOOP = {64: (6.3, 0.35), 128: (4.6, 0.35)}
BACKWARD_LOOP = {64: (4.9, 0.65), 128: (4.0, 0.65)}


def shapes_of(arguments, kernels, folder):
    """Threads and bytes of shared memory of a block of each flash attention kernel that has a main loop."""
    shapes = {}
    for kernel in kernels:
        match = re.match(r"flash_(forward|backward)_kernel<(\d+), \w+, (\w+)>", kernel)
        if not match:
            continue
        direction, head_dim, modified = match.groups()
        if direction == "forward":
            header, tile = "tile.h", f"FlashForwardTile<{head_dim}>"
        else:
            header, tile = "backward_tile.h", f"FlashBackwardTile<{head_dim}, {modified}>"
        names = [f"powerhouse::cuda::{tile}::{name}" for name in ("kThreads", "kSharedBytes")]
        shapes[kernel] = (f"kernels/cuda/flash_attention/{header}", names)
    header = next(iter(shapes.values()))[0]
    values = sass.constants(arguments.cxx, arguments.root, header, [n for _, names in shapes.values() for n in names],
                            folder)
    return {kernel: values[2 * i : 2 * i + 2] for i, kernel in enumerate(shapes)}


def measure(arguments, source, arch, folder):
    """Rows of figures, one a kernel with products; and others of the file that have a stack."""
    cubin = pathlib.Path(folder) / f"{pathlib.Path(source).stem}_{arch}.cubin"
    resources = sass.compile_resources(arguments.nvcc, arguments.root, source, arch, cubin)
    code, labels = sass.instructions(arguments.nvdisasm, cubin)
    names = sass.short_names(list(resources))
    shapes = shapes_of(arguments, sorted(names.values()), folder)
    rows, failed = [], []
    for mangled, found in sorted(resources.items(), key=lambda item: names[item[0]]):
        if names[mangled] not in shapes:  # without products; held to no stack alone
            if found["stack"] > 0:
                failed.append(f"{names[mangled]} sm_{arch}: {found['stack']} bytes of stack")
            continue
        threads, shared_bytes = shapes[names[mangled]]
        accesses, wide = sass.global_accesses(code[mangled])
        rows.append({
            "kernel": names[mangled], "arch": arch, **found,
            **sass.loop_mix(sass.hot_loop(code[mangled], labels[mangled])), "global": accesses, "wide": wide,
            "blocks": command.blocks_resident(arch, threads, found["registers"], shared_bytes),
            "local_anywhere": sum(name.startswith(("LDL", "STL")) for name, _ in code[mangled]),
        })
    return rows, failed


def complaints(row, limit):
    said = command.over(row, limit, "registers") + command.under(row, limit, "blocks")
    if row["stack"] > min(limit.get("exception_bytes", 0), 64):  # a named exception
        said.append(f"{row['stack']} bytes of stack, {row['spill']} bytes spilled")
    elif row["stack"] == 0 and row["local_anywhere"] > 0:
        said.append(f"{row['local_anywhere']} accesses to local memory")
    if row["local"] > 0:
        said.append(f"{row['local']} accesses to local memory in the main loop")
    match = re.match(r"flash_(forward|backward)_kernel<(\d+), \w+, false>", row["kernel"])
    loops = FORWARD_LOOP if match and match.group(1) == "forward" else BACKWARD_LOOP
    if match and row["arch"] == "80" and int(match.group(2)) in loops:
        per_product, loads = loops[int(match.group(2))]
        if row["per_product"] > per_product:
            said.append(f"{row['per_product']:.2f} instructions a product, at most {per_product}")
        if row["loads_per_product"] > loads:
            said.append(f"{row['loads_per_product']:.3f} matrix loads a product, at most {loads}")
    # What is not 16 bytes wide: lse (one store a row of the lane), and reads of small arrays: eight, and those of
    # cu_seqlens that backward repeats.
    if row["global"] - row["wide"] > (12 if "forward" in row["kernel"] else 24):
        said.append(f"{row['global'] - row['wide']} global accesses are narrower than 16 bytes")
    return said


def cells(row):
    return [row["registers"], row["stack"], row["blocks"], row["instructions"], row["products"],
            f"{row['per_product']:.2f} static", f"{row['loads_per_product']:.3f} static", f"{row['wide']} of {row['global']}"]


if __name__ == "__main__":
    sys.exit(command.run(command.Gate(
        measure, complaints, lambda row: {"registers": row["registers"], "blocks": row["blocks"]},
        ["registers", "stack", "blocks", "loop", "products", "instructions a product", "LDSM a product", "16 bytes"],
        cells, "table")))
