"""The command line that the gates share: they measure files for architectures, hold rows of figures to recorded limits,
and write the figures where a Markdown file keeps them.

  GATE.py --nvcc N --nvdisasm D --cxx C --root REPOSITORY --limits limits.json --archs 80,90 SOURCE...
          [--record]          write what is found into the limits
          [--table FILE]      write the figures between the lines that mark the gate's table in a Markdown file
"""
import argparse
import json
import pathlib
import sys
import tempfile
from dataclasses import dataclass, field
from typing import Callable

# Compute capability: kilobytes of shared memory and threads that a multiprocessor holds.
MULTIPROCESSORS = {"80": (164, 2048), "89": (100, 1536), "90": (228, 2048), "90a": (228, 2048), "100": (228, 2048),
                   "120": (100, 1536)}


@dataclass
class Gate:
    measure: Callable      # (arguments, source, arch, folder): rows of figures, one a kernel, and complaints about others
    complaints: Callable   # (row, limit): what a row of figures falls short of
    recorded: Callable     # (row): its limits, were they written now
    columns: list          # of the table
    cells: Callable        # (row): what stands in them behind the kernel and the architecture
    mark: str              # of the table's place: <!-- mark --> and <!-- end of mark -->
    table_archs: set = field(default_factory=lambda: set(MULTIPROCESSORS))


def blocks_resident(arch, threads, registers, shared_bytes):
    """Blocks that fit on a multiprocessor: registers come 256 to a warp, shared memory with 1 KiB more a block."""
    kilobytes, most_threads = MULTIPROCESSORS[arch]
    warps = threads // 32
    by_registers = 65536 // (-(-registers * 32 // 256) * 256 * warps)
    return min(by_registers, kilobytes * 1024 // (shared_bytes + 1024), most_threads // threads)


def over(row, limit, *names):
    return [f"{row[name]:g} {name}, at most {limit[name]:g} recorded" for name in names if row[name] > limit[name]]


def under(row, limit, *names):
    return [f"{name}: {row[name]} on a multiprocessor, at least {limit[name]} recorded"
            for name in names if row[name] < limit[name]]


def wide_share(row):
    """Of the accesses to global memory, what moves 16 bytes a lane: a limit that holds."""
    return int(100 * row["wide"] / row["global"]) / 100


def narrow(row, limit):
    if row["wide"] / row["global"] >= limit["wide"]:
        return []
    return [f"{row['wide']} of {row['global']} accesses move 16 bytes, at least {limit['wide']:.0%} recorded"]


def table(gate, rows):
    columns = ["kernel", "sm", *gate.columns]
    lines = [columns, ["---"] * len(columns)]
    lines += [[f"`{row['kernel']}`", row["arch"], *gate.cells(row)] for row in rows]
    # A rule has no blanks around its dashes.
    return "\n".join(f"|{'|'.join(line)}|" if line[0] == "---" else f"| {' | '.join(map(str, line))} |" for line in lines)


def write_table(gate, path, rows):
    """Replaces the table of a Markdown file."""
    before, begin, rest = path.read_text().partition(f"<!-- {gate.mark} -->\n")
    _, end, after = rest.partition(f"<!-- end of {gate.mark} -->")
    path.write_text(before + begin + table(gate, [row for row in rows if row["arch"] in gate.table_archs]) + "\n" + end
                    + after)


def record(gate, path, limits, rows):
    for row in rows:
        limits.setdefault(row["kernel"], {}).setdefault(row["arch"], {}).update(gate.recorded(row))
    lines = (f" {json.dumps(kernel)}: {json.dumps(kept)}" for kernel, kept in limits.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def complaints(gate, row, limits):
    limit = limits.get(row["kernel"], {}).get(row["arch"])
    return ["no limits recorded"] if limit is None else gate.complaints(row, limit)


def run(gate):
    parser = argparse.ArgumentParser()
    for name in ("nvcc", "nvdisasm", "cxx", "root", "limits", "archs"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--table")
    parser.add_argument("sources", nargs="+")
    arguments = parser.parse_args()
    path = pathlib.Path(arguments.limits)
    limits, rows, failed = json.loads(path.read_text()), [], []
    with tempfile.TemporaryDirectory() as folder:
        for source in arguments.sources:
            for arch in arguments.archs.split(","):
                found, others = gate.measure(arguments, source, arch, folder)
                rows += found
                failed += others
    print(table(gate, rows))
    if arguments.table:
        write_table(gate, pathlib.Path(arguments.table), rows)
    if arguments.record:
        record(gate, path, limits, rows)
    failed += [f"{row['kernel']} sm_{row['arch']}: {said}" for row in rows for said in complaints(gate, row, limits)]
    print("\n".join(failed), file=sys.stderr)
    return 1 if failed or not rows else 0
