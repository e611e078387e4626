#!/usr/bin/env python3
"""Holds the machine code of products with quantized weights to limits. Arguments: command.py.

Every kernel of the files: no stack and no spilled register. Those on tensor cores: registers and blocks of a
multiprocessor as recorded, nothing in local memory, copies of 16 bytes a lane, and at most the recorded instructions
that make elements of a weight.
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


def kernel_shape(root, mangled):
    """The kernel's name with its format, and its shape in kernels/cuda/product_shape.h; None: not on tensor cores."""
    demangled = sass.run("c++filt", mangled).strip()
    element = re.search(r"powerhouse::(b?float16)>", demangled)
    if match := re.search(r"blocks_product_kernel<\(powerhouse::BlockFormat\)(\d+)", demangled):
        header = (pathlib.Path(root) / "kernels/common/blocks.h").read_text()
        enumeration = re.sub(r"//.*", "", header.partition("enum class BlockFormat")[2].partition("{")[2].partition("}")[0])
        name = [one.strip() for one in enumeration.split(",")][int(match.group(1))]
        return f"blocks_product_kernel<{name}, {element.group(1)}>", f"BlocksShape<powerhouse::BlockFormat::{name}>", 8
    if match := re.search(r"repacked_product_kernel<\(?(?:int\))?(\d+), \(?(?:int\))?(\d+)", demangled):
        bits, tiles = match.groups()
        return f"repacked_product_kernel<{bits}, {tiles}, {element.group(1)}>", f"StripShape<{bits}, {tiles}>", int(tiles)
    return None


def measure(arguments, source, arch, folder):
    """Rows of figures, one a kernel on tensor cores; and the file's kernels that use local memory."""
    cubin = pathlib.Path(folder) / f"{pathlib.Path(source).stem}_{arch}.cubin"
    resources = sass.compile_resources(arguments.nvcc, arguments.root, source, arch, cubin)
    code, labels = flow.read(arguments.nvdisasm, cubin)
    spilled = [f"{name} sm_{arch}: {found['stack']} bytes of stack, {found['spill']} spilled"
               for name, found in resources.items() if found["stack"] or found["spill"]]
    shapes = {name: shape for name in resources if (shape := kernel_shape(arguments.root, name))}
    wanted = [f"powerhouse::cuda::{shape}::{what}" for _, shape, _ in shapes.values()
              for what in ("kThreads", "kSharedBytes")]
    sizes = iter(sass.constants(arguments.cxx, arguments.root, "kernels/cuda/product_shape.h", wanted, folder))
    rows = []
    for mangled, (name, _, tiles) in shapes.items():
        threads, shared_bytes = next(sizes), next(sizes)
        loop = flow.hot_loop(code[mangled], labels[mangled])
        kinds = collections.Counter(operation.split(".")[0] for operation in loop)
        products = sum(map(sass.is_product, loop))
        weights = 8 * products / tiles  # of a lane: a fragment of eight is multiplied with every tile of rows
        copies = [operation for operation in loop if operation.startswith("LDGSTS")]
        rows.append({
            "kernel": name, "arch": arch, "registers": resources[mangled]["registers"],
            "blocks": command.blocks_resident(arch, threads, resources[mangled]["registers"], shared_bytes),
            "shared": shared_bytes, "instructions": len(loop), "products": products,
            "decode": sum(kinds[one] for one in DECODING) / weights,
            "wide": sum(".128" in one for one in loop if one.startswith("LDS.")) / products,
            "narrow_copies": sum(".128" not in one for one in copies),
            "local": sum(one.startswith(("LDL", "STL")) for one, _, _ in code[mangled]),
        })
    return sorted(rows, key=lambda row: row["kernel"]), spilled


def complaints(row, limit):
    said = command.over(row, limit, "registers", "decode") + command.under(row, limit, "blocks")
    if row["narrow_copies"] or row["local"]:
        said.append(f"{row['narrow_copies']} copies narrower than 16 bytes, {row['local']} accesses to local memory")
    return said


def recorded(row):
    return {"registers": row["registers"], "blocks": row["blocks"], "decode": math.ceil(row["decode"] * 100) / 100}


def cells(row):
    return [row["registers"], f"{row['shared'] / 1024:.1f}", row["blocks"], row["instructions"], row["products"],
            f"{row['decode']:.2f} static", f"{row['wide']:.3f} static"]


# In the table sm_80 stands for the others, whose registers, blocks and decoding are in the limits.
if __name__ == "__main__":
    sys.exit(command.run(command.Gate(
        measure, complaints, recorded,
        ["registers", "shared KiB", "blocks", "loop", "products", "decoding a weight", "16-byte LDS a product"], cells,
        "products", table_archs={80})))
