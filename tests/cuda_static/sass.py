"""What a compiled kernel is made of: what ptxas says of it, and the instructions of its hottest loop."""
import collections
import pathlib
import re
import subprocess


def run(*command, text=None):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, input=text)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def short_names(mangled):
    """Mangled names to the kernel's name with its template arguments."""
    names = subprocess.run(["c++filt"], input="\n".join(mangled), capture_output=True, text=True, check=True).stdout
    short = {}
    for before, after in zip(mangled, names.splitlines()):
        after = after.replace("(bool)0", "false").replace("(bool)1", "true").replace("(int)", "")
        short[before] = re.sub(r"^void |\(.*\)$|powerhouse::(cuda::)?", "", after)
    return short


def ptx_family(arch, source):
    """Of whose PTX the library makes an architecture's code (kernels/cuda/CMakeLists.txt)."""
    own_of_90 = re.match("few_rows|early", pathlib.Path(source).name)
    return {"89": "80", "90": "90" if own_of_90 else "80", "120": "100"}.get(arch, arch)


def compile_resources(nvcc, root, source, arch, cubin):
    """Compiles to a cubin, by PTX that stays beside it for other architectures. Registers, stack and spilled bytes by
    mangled name."""
    family = ptx_family(arch, source)
    ptx = pathlib.Path(cubin).with_name(f"{pathlib.Path(source).stem}.compute_{family}.ptx")
    if not ptx.exists():
        run(nvcc, "-std=c++20", "-O3", f"-arch=compute_{family}", "-I", root, "-ptx", "-o", ptx, source)
    output = run(pathlib.Path(nvcc).with_name("ptxas"), f"-arch=sm_{arch}", "-O3", "-v", "-o", cubin, ptx)
    if "wgmma.mma_async instructions are serialized" in output:
        raise SystemExit(f"{source} for sm_{arch}: products of warpgroups wait for each other:\n{output}")
    found, name = {}, None
    for line in output.splitlines():
        if match := re.search(r"(?:entry function|properties for) '?(\w+)'?", line):
            name = match.group(1)
            found.setdefault(name, {})
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            found[name].update(stack=int(match.group(1)), spill=int(match.group(2)) + int(match.group(3)))
        elif match := re.search(r"Used (\d+) registers", line):
            found[name].update(registers=int(match.group(1)))
    return {name: values for name, values in found.items() if "registers" in values}


def constants(cxx, root, header, names, folder):
    """What constant expressions of a header without CUDA are worth."""
    program = pathlib.Path(folder) / "constants"
    values = "".join(f" << ({name}) << ' '" for name in names)
    source = f'#include "{header}"\n#include <iostream>\nint main() {{ std::cout{values}; }}\n'
    run(cxx, "-std=c++20", "-I", root, "-x", "c++", "-", "-o", program, text=source)
    return [int(value) for value in run(program).split()]


def instructions(nvdisasm, cubin):
    """By mangled name: a list of (operation, arguments), and where its labels stand in it."""
    code, labels, name = {}, {}, None
    for line in run(nvdisasm, "-c", cubin).splitlines():
        if match := re.match(r"\.text\.(\S+):", line):
            name = match.group(1)
            code[name], labels[name] = [], {}
        elif name and (match := re.match(r"(\.L_x_\d+):", line)):
            labels[name][match.group(1)] = len(code[name])
        elif name and (match := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)\s*(.*?)\s*;", line)):
            code[name].append((match.group(1), match.group(2)))
    return code, labels


def is_product(operation):
    return operation.startswith(("HMMA", "IMMA", "HGMMA"))


def hot_loop(code, labels):
    """Of the loops of products that hold no other, from a label to a branch back to it: with most, and the shortest."""
    spans = []
    for end, (operation, arguments) in enumerate(code):
        match = re.search(r"\.L_x_\d+", arguments) if operation.startswith("BRA") else None
        begin = labels.get(match.group(0), end) if match else end
        if any(is_product(name) for name, _ in code[begin:end]):
            spans.append((begin, end))
    inner = [code[begin : end + 1] for begin, end in spans
             if not any(begin <= b and e <= end and (b, e) != (begin, end) for b, e in spans)]
    return max(inner, key=lambda loop: (sum(is_product(name) for name, _ in loop), -len(loop)), default=[])


def loop_mix(loop):
    """Static counts: nothing here says how long anything takes."""
    kinds = collections.Counter(name.split(".")[0] for name, _ in loop)
    products = sum(is_product(name) for name, _ in loop)
    return {
        "instructions": len(loop),
        "products": products,
        "per_product": len(loop) / products,
        "loads_per_product": kinds["LDSM"] / products,
        "local": sum(name.startswith(("LDL", "STL")) for name, _ in loop),
    }


def global_accesses(code):
    """All of the kernel's, and how many move 16 bytes a lane, or a tile at once."""
    kinds = ("LDG.", "STG.", "LDGSTS.", "UTMALDG.")  # the last two are cp.async and the bulk copy of a tile
    names = [name for name, _ in code if name.startswith(kinds)]
    return len(names), sum(".128" in name or name.startswith("UTMALDG") for name in names)
