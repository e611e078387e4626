#!/usr/bin/env python3
"""Holds the machine code of paged attention to limits, as gate.py does flash attention's, whose arguments these are.

A block of one tile of query vectors, which decoding of single rows takes, and the widest both have to fit as often as
recorded. Nothing may lie in local memory. Of the accesses to global memory a share has to be of 16 bytes: the others
are addresses of pages, lengths, slopes and sinks, two-byte outputs of four elements, and copies of blocks whose rows
begin on 4 or 8 bytes.
"""
import argparse
import json
import pathlib
import re
import sys
import tempfile

import gate
import sass

HEADER = "kernels/cuda/paged_attention/tile.h"


def shapes_of(arguments, kernel, folder):
    """Threads and bytes of shared memory of the smallest and of the widest block; None: of the combining launch."""
    match = re.match(r"paged_attention_kernel<(\w+), (\d+), (\w+)>", kernel)
    if not match:
        return [(128, 0), (128, 0)]
    element, head_dim, converted = match.groups()
    element = element if element == "float" else f"powerhouse::{element}"
    tile = f"powerhouse::cuda::PagedTile<{element}, {head_dim}>"
    strips, most, before, row = sass.constants(
        arguments.cxx, arguments.root, HEADER,
        [f"{tile}::kStrips", f"{tile}::kMostVectorTiles", f"{tile}::kQueriesAt<{converted}>",
         f"{tile}::kVectors * {tile}::kBytesOfRow"], folder)
    return [(strips * 32 * tiles, before + tiles * row) for tiles in (1, most)]


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
            "blocks": gate.blocks_resident(arch, narrow[0], found["registers"], narrow[1]),
            "widest": gate.blocks_resident(arch, widest[0], found["registers"], widest[1]),
            "shared": narrow[1], "instructions": len(loop), "products": sum(sass.is_product(name) for name, _ in loop),
            "local": sum(name.startswith(("LDL", "STL")) for name, _ in code[mangled]),
        })
    return rows


def complaints(row, limits):
    limit = limits.get(row["kernel"], {}).get(str(row["arch"]))
    if limit is None:
        return ["no limits recorded"]
    said = []
    if row["registers"] > limit["registers"]:
        said.append(f"{row['registers']} registers, at most {limit['registers']} recorded")
    for name in ("blocks", "widest"):
        if row[name] < limit[name]:
            said.append(f"{name}: {row[name]} on a multiprocessor, at least {limit[name]} recorded")
    if row["stack"] or row["spill"] or row["local"]:
        said.append(f"{row['stack']} bytes of stack, {row['spill']} spilled, {row['local']} accesses to local memory")
    if row["wide"] / row["global"] < limit["wide"]:
        said.append(f"{row['wide']} of {row['global']} accesses move 16 bytes, at least {limit['wide']:.0%} recorded")
    return said


def table(rows):
    lines = ["| kernel | sm | registers | stack | shared | blocks | of widest | loop | products | 16 bytes |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| `{row['kernel']}` | {row['arch']} | {row['registers']} | {row['stack']} | {row['shared']} | "
                     f"{row['blocks']} | {row['widest']} | {row['instructions']} static | {row['products']} | "
                     f"{row['wide']} of {row['global']} |")
    return "\n".join(lines)


def write_table(path, rows):
    before, begin, rest = path.read_text().partition("<!-- paged table -->\n")
    _, end, after = rest.partition("<!-- end of paged table -->")
    path.write_text(before + begin + table(rows) + "\n" + end + after)


def main():
    parser = argparse.ArgumentParser()
    for name in ("nvcc", "nvdisasm", "cxx", "root", "limits", "archs"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--table")
    parser.add_argument("sources", nargs="+")
    arguments = parser.parse_args()
    path = pathlib.Path(arguments.limits)
    limits = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for source in arguments.sources for arch in map(int, arguments.archs.split(","))
                for row in measure(arguments, source, arch, folder)]
    print(table(rows))
    if arguments.table:
        write_table(pathlib.Path(arguments.table), rows)
    if arguments.record:
        for row in rows:
            limits.setdefault(row["kernel"], {})[str(row["arch"])] = {
                "registers": row["registers"], "blocks": row["blocks"], "widest": row["widest"],
                "wide": int(100 * row["wide"] / row["global"]) / 100}
        lines = (f" {json.dumps(kernel)}: {json.dumps(kept)}" for kernel, kept in limits.items())
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    failed = [f"{row['kernel']} sm_{row['arch']}: {said}" for row in rows for said in complaints(row, limits)]
    print("\n".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
