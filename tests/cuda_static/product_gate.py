#!/usr/bin/env python3
"""Holds the machine code of products with quantized weights, and of products of few rows, to limits. Arguments:
command.py.

Every kernel of the files: no stack and no spilled register. Those on tensor cores: registers, blocks of a
multiprocessor, instructions a product of the main loop and the share of accesses of 16 bytes as recorded, nothing in
local memory, copies of 16 bytes a lane; where a weight is made an element once for all rows of a block, at most the
recorded instructions for that.
"""
import collections
import math
import pathlib
import re
import sys

import command
import flow
import sass

# What codes become elements with. Addresses (IADD3, IMAD, LEA) and the scaling of sums (FFMA) are not among them.
DECODING = ("LOP3", "PRMT", "SHF", "SHFL", "HFMA2", "HADD2", "HMUL2", "FADD", "FMUL", "F2FP", "F2F", "I2F", "I2FP", "SEL")


def format_name(root, number):
    header = (pathlib.Path(root) / "kernels/common/blocks.h").read_text()
    enumeration = re.sub(r"//.*", "", header.partition("enum class BlockFormat")[2].partition("{")[2].partition("}")[0])
    return [one.strip() for one in enumeration.split(",")][int(number)]


def kernel_shape(root, mangled):
    """The kernel's name with its format, its shape in kernels/cuda, and how many tiles of rows an element of the weight
    is made for; 0: one, each time that it is multiplied. None: not on tensor cores."""
    demangled = sass.run("c++filt", mangled).strip().replace("(int)", "")
    element = re.search(r"powerhouse::(b?float16)\b", demangled)
    if match := re.search(r"\b(few_block_rows|blocks_product)_kernel<\(powerhouse::BlockFormat\)(\d+)", demangled):
        kernel, name = match.group(1), format_name(root, match.group(2))
        if kernel == "blocks_product":  # products stand in the loop for either type of x
            return f"{kernel}_kernel<{name}>", f"BlocksShape<powerhouse::BlockFormat::{name}>", 2 * 8
        return f"{kernel}_kernel<{name}, {element.group(1)}>", f"FewBlockRowsShape<powerhouse::BlockFormat::{name}>", 0
    if match := re.search(r"repacked_product_kernel<(\d+), (\d+)", demangled):
        bits, tiles = match.groups()
        return f"repacked_product_kernel<{bits}, {tiles}, {element.group(1)}>", f"StripShape<{bits}, {tiles}>", int(tiles)
    if match := re.search(r"few_rows_kernel<powerhouse::b?float16, (\d+), \(powerhouse::cuda::FewRowsKind\)(\d)>", demangled):
        tiles, kind = match.group(1), ("plain", "normed", "gated")[int(match.group(2))]
        shape = f"FewRowsShape<{tiles}, powerhouse::cuda::FewRowsKind::{kind}>"
        return f"few_rows_kernel<{element.group(1)}, {tiles}, {kind}>", shape, 0
    return None


def block_sizes(shape):
    """Threads of a block, and its bytes of shared memory: of few rows with blocks of quantized weights the smaller of the
    two blocks that there are, with the fewest stages."""
    if shape.startswith("FewBlockRowsShape"):
        return f"{shape}::kThreads / 2", f"{shape}::shared_bytes(powerhouse::cuda::kFewMostWarps / 2, 2)"
    return f"{shape}::kThreads", f"{shape}::kSharedBytes"


def measure(arguments, source, arch, folder):
    """Rows of figures, one a kernel on tensor cores; and the file's kernels that use local memory."""
    cubin = pathlib.Path(folder) / f"{pathlib.Path(source).stem}_{arch}.cubin"
    resources = sass.compile_resources(arguments.nvcc, arguments.root, source, arch, cubin)
    code, labels = flow.read(arguments.nvdisasm, cubin)
    spilled = [f"{name} sm_{arch}: {found['stack']} bytes of stack, {found['spill']} spilled"
               for name, found in resources.items() if found["stack"] or found["spill"]]
    shapes = {name: shape for name in resources if (shape := kernel_shape(arguments.root, name))}
    wanted = [f"powerhouse::cuda::{size}" for _, shape, _ in shapes.values() for size in block_sizes(shape)]
    header = "kernels/cuda/few_rows_shape.h" if "few_rows" in source else "kernels/cuda/product_shape.h"
    sizes = iter(sass.constants(arguments.cxx, arguments.root, header, wanted, folder))
    rows = []
    for mangled, (name, _, tiles) in shapes.items():
        threads, shared_bytes = next(sizes), next(sizes)
        loop = flow.hot_loop(code[mangled], labels[mangled])
        kinds = collections.Counter(operation.split(".")[0] for operation in loop)
        products = sum(map(sass.is_product, loop))
        accesses, wide = sass.global_accesses([(operation, of) for operation, of, _ in code[mangled]])
        copies = [operation for operation in loop if operation.startswith("LDGSTS")]
        row = {
            "kernel": name, "arch": arch, "registers": resources[mangled]["registers"],
            "blocks": command.blocks_resident(arch, threads, resources[mangled]["registers"], shared_bytes),
            "shared": shared_bytes, "instructions": len(loop), "products": products,
            "per_product": len(loop) / products,
            "shared_loads": sum(".128" in one for one in loop if one.startswith("LDS.")) / products,
            "global": accesses, "wide": wide, "narrow_copies": sum(".128" not in one for one in copies),
            "local": sum(one.startswith(("LDL", "STL")) for one, _, _ in code[mangled]),
        }
        if tiles > 0:  # a fragment of eight weights of a lane is multiplied with every tile of rows
            row["decode"] = sum(kinds[one] for one in DECODING) / (8 * products / tiles)
        rows.append(row)
    return sorted(rows, key=lambda row: row["kernel"]), spilled


def counted(row):
    """What a row is held to that is counted in its loop."""
    return [name for name in ("per_product", "decode") if name in row]


def complaints(row, limit):
    said = command.over(row, limit, "registers", *counted(row)) + command.under(row, limit, "blocks")
    if row["narrow_copies"] or row["local"]:
        said.append(f"{row['narrow_copies']} copies narrower than 16 bytes, {row['local']} accesses to local memory")
    return said + command.narrow(row, limit)


def recorded(row):
    return {"registers": row["registers"], "blocks": row["blocks"],
            **{name: math.ceil(row[name] * 100) / 100 for name in counted(row)}, "wide": command.wide_share(row)}


def cells(row):
    decode = f"{row['decode']:.2f} static" if "decode" in row else ""
    return [row["registers"], f"{row['shared'] / 1024:.1f}", row["blocks"], row["instructions"], row["products"],
            f"{row['per_product']:.2f} static", decode, f"{row['shared_loads']:.3f} static",
            f"{row['wide']} of {row['global']}"]


# In the table sm_80 stands for the others, whose figures are in the limits.
if __name__ == "__main__":
    sys.exit(command.run(command.Gate(
        measure, complaints, recorded,
        ["registers", "shared KiB", "blocks", "loop", "products", "instructions a product", "decoding a weight",
         "16-byte LDS a product", "16 bytes"], cells, "products", table_archs={"80"})))
