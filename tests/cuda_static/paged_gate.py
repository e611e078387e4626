#!/usr/bin/env python3
"""Holds the machine code of paged attention to limits. Arguments: command.py.

A block of one tile of query vectors, which decoding of single rows takes, and the widest both have to fit as often as
recorded. Nothing may lie in local memory. Of the accesses to global memory a share has to be of 16 bytes: the others
are addresses of pages, lengths, slopes and sinks, two-byte outputs of four elements, and copies of blocks whose rows
begin on 4 or 8 bytes.
"""
import pathlib
import re
import sys

import command
import sass

HEADER = "kernels/cuda/paged_attention/tile.h"


def shapes_of(arguments, kernel, folder):
    """Threads and bytes of shared memory of the smallest and of the widest block; of the combining launch."""
    match = re.match(r"paged_attention_kernel<(\w+), (\d+), (\w+), (\d+)>", kernel)
    if not match:
        return [(256, 256 * 16)] * 2
    element, head_dim, cells, columns = match.groups()
    element = element if element == "float" else f"powerhouse::cuda::{element}"
    tile = f"powerhouse::cuda::PagedTile<{element}, {head_dim}, powerhouse::cuda::{cells}, {columns}>"
    strips, most, before, vector = sass.constants(
        arguments.cxx, arguments.root, HEADER,
        [f"{tile}::kStrips", f"{tile}::kMostVectorTiles", f"{tile}::kQueriesAt", f"{tile}::kQueryBytes"], folder)
    return [(strips * 32 * tiles, before + tiles * int(columns) * 8 * vector) for tiles in (1, most)]


def measure(arguments, source, arch, folder):
    cubin = pathlib.Path(folder) / f"{pathlib.Path(source).stem}_{arch}.cubin"
    resources = sass.compile_resources(arguments.nvcc, arguments.root, source, arch, cubin)
    code, labels = sass.instructions(arguments.nvdisasm, cubin)
    names = sass.short_names(list(resources))
    rows = []
    for mangled, found in sorted(resources.items(), key=lambda item: names[item[0]]):
        accesses, wide = sass.global_accesses(code[mangled])
        narrow, widest = shapes_of(arguments, names[mangled], folder)
        loop = sass.hot_loop(code[mangled], labels[mangled])
        rows.append({
            "kernel": names[mangled], "arch": arch, **found, "global": accesses, "wide": wide,
            "blocks": command.blocks_resident(arch, narrow[0], found["registers"], narrow[1]),
            "widest": command.blocks_resident(arch, widest[0], found["registers"], widest[1]),
            "shared": narrow[1], "instructions": len(loop), "products": sum(sass.is_product(name) for name, _ in loop),
            "local": sum(name.startswith(("LDL", "STL")) for name, _ in code[mangled]),
        })
    return rows, []


def complaints(row, limit):
    said = command.over(row, limit, "registers") + command.under(row, limit, "blocks", "widest")
    if row["stack"] or row["spill"] or row["local"]:
        said.append(f"{row['stack']} bytes of stack, {row['spill']} spilled, {row['local']} accesses to local memory")
    return said + command.narrow(row, limit)


def recorded(row):
    return {"registers": row["registers"], "blocks": row["blocks"], "widest": row["widest"],
            "wide": command.wide_share(row)}


def cells(row):
    return [row["registers"], row["stack"], row["shared"], row["blocks"], row["widest"], f"{row['instructions']} static",
            row["products"], f"{row['wide']} of {row['global']}"]


if __name__ == "__main__":
    sys.exit(command.run(command.Gate(
        measure, complaints, recorded,
        ["registers", "stack", "shared", "blocks", "of widest", "loop", "products", "16 bytes"], cells, "paged table")))
