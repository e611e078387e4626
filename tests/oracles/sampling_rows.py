"""Rows of logits for sampling_hf.py and sampling_llama.py, and how a result is written.

Large rows come from a seed by a formula in integers that C++ computes as well (tests/generation/sampling_case.h);
small ones are written out, with ties and forbidden tokens among them.
"""
import math

import numpy

FORBIDDEN = -math.inf


def mixed(x):
    """splitmix64's finalizer, on arrays of uint64."""
    x = x + numpy.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return x ^ (x >> numpy.uint64(31))


def seeded(count, seed):
    """A bell of deviation 2.3, and one token in 499 that stands out by 4 to 12."""
    number = numpy.uint64
    with numpy.errstate(over="ignore"):
        bits = mixed(number(seed << 32) | numpy.arange(count, dtype=number))
        rare = mixed(bits)
    part = lambda shift: ((bits >> number(shift)) & number(0xffff)).astype(numpy.float64)
    high = numpy.where(rare % number(499) == 0, (4 * 8192 + ((rare >> number(40)) & number(0xffff))) / 8192.0, 0.0)
    return ((part(0) + part(16) + part(32) + part(48) - 131070) / 16384 + high).astype(numpy.float32)


def small_rows(generator):
    """Tiny vocabularies, ties, forbidden tokens, and a few hundred random logits."""
    rows = [numpy.array([2.0, -1.0, 0.5, 2.5, -3.0, 0.25, 1.5]), numpy.array([1.0, 3.0]),
            numpy.round(generator.normal(0, 2, 30)), generator.normal(0, 3, 120)]
    rows[2][[4, 11, 20]] = FORBIDDEN
    rows[3][10:16] = rows[3][3]
    return [row.astype(numpy.float32) for row in rows]


def written_row(row):
    return [None if math.isinf(x) else float(x) for x in row]


def written(ids, probabilities):
    """All of a small result; of a large one the count, two checksums and some forty."""
    ids = [int(i) for i in ids]
    probabilities = [float(f"{p:.9g}") for p in probabilities]
    if len(ids) <= 120:
        return {"ids": ids, "probabilities": probabilities}
    step = len(ids) // 40
    return {"count": len(ids), "sum": sum(ids), "squares": sum(i * i for i in ids), "every": step,
            "ids": ids[::step], "probabilities": probabilities[::step]}
