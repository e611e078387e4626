"""Loops of a kernel as control flows, wherever their instructions lie: compilers put rare parts behind the end."""
import re

import sass


def read(nvdisasm, cubin):
    """By mangled name: a list of (operation, arguments, whether a predicate decides), and where its labels stand."""
    code, labels, name = {}, {}, None
    for line in sass.run(nvdisasm, "-c", cubin).splitlines():
        if match := re.match(r"\.text\.(\S+):", line):
            name = match.group(1)
            code[name], labels[name] = [], {}
        elif name and (match := re.match(r"(\.L_x_\d+):", line)):
            labels[name][match.group(1)] = len(code[name])
        elif name and (match := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(@!?U?P\w+\s+)?([A-Z0-9_.]+)\s*(.*?)\s*;", line)):
            code[name].append((match.group(2), match.group(3), match.group(1) is not None))
    return code, labels


def successors(code, labels):
    """Of each instruction. What follows BRA.DIV is for warps that are not together, which no kernel of ours lets happen."""
    following = []
    for at, (operation, arguments, predicate) in enumerate(code):
        target = re.search(r"\.L_x_\d+", arguments) if operation.startswith("BRA") else None
        target = None if operation.startswith("BRA.DIV") else target
        ends = operation.split(".")[0] in ("EXIT", "RET", "BRX") or operation == "BRA"
        always = ends and not predicate and not re.match(r"!?U?P\d", arguments)
        next_ones = [] if always or at + 1 == len(code) else [at + 1]
        if target and target.group(0) in labels:
            next_ones.append(labels[target.group(0)])
        if operation.startswith("BRX"):  # by a table
            next_ones += [labels[one] for one in re.findall(r"\.L_x_\d+", arguments) if one in labels]
        following.append(next_ones)
    return following


def natural_loops(code, labels):
    """Sets of instructions: from each branch back, all that lead to it and are entered by its target alone."""
    following = successors(code, labels)
    before, reached, open_ones = [[] for _ in code], set(), [0]
    while open_ones:
        at = open_ones.pop()
        if at in reached or at >= len(code):
            continue
        reached.add(at)
        open_ones += following[at]
        for one in following[at]:
            if one < len(code):
                before[one].append(at)
    loops = []
    for end in sorted(reached):
        for head in following[end]:
            if head > end:
                continue
            body, open_ones = {head}, [end]
            while open_ones:
                one = open_ones.pop()
                if one not in body:
                    body.add(one)
                    open_ones += before[one]
            if 0 not in body:  # the kernel's beginning: entered elsewhere too, so no loop
                loops.append(body)
    return loops


def hot_loop(code, labels):
    """Operations of the smallest loop with most products; a loop that is left at several places is one."""
    best = []
    for body in natural_loops(code, labels):
        operations = [code[at][0] for at in sorted(body)]
        products = sum(map(sass.is_product, operations))
        found = sum(map(sass.is_product, best))
        if products > found or (products == found and products > 0 and len(operations) < len(best)):
            best = operations
    return best


def inner_loop(code, labels):
    """Operations of the loop with most products of those that hold no other one with products, and of these the
    shortest."""
    found = [body for body in natural_loops(code, labels) if any(sass.is_product(code[at][0]) for at in body)]
    inner = [[code[at][0] for at in sorted(body)] for body in found if not any(other < body for other in found)]
    return max(inner, key=lambda loop: (sum(map(sass.is_product, loop)), -len(loop)), default=[])
