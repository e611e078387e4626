"""Writes tests/fixtures/generation/sampling_llama.json: llama.cpp's samplers on rows of logits, each alone and in
llama.cpp's own order, by llama_samplers.cpp beside this file.

    sampling_llama.py LLAMA [VOCABULARY.gguf]

LLAMA is a built source tree of llama.cpp (static libraries). With a GGUF file of SmolLM2 it writes
sampling_llama_dry.json instead: DRY with sequence breakers, which need a vocabulary.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy

import sampling_rows as rows

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "fixtures", "generation")

DEFAULTS = {"penalty_last_n": 64, "repetition_penalty": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0,
            "dry_multiplier": 0.0, "dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": 64,
            "top_n_sigma": 0.0, "top_k": 0, "typical_p": 1.0, "top_p": 1.0, "min_p": 0.0, "xtc_probability": 0.0,
            "xtc_threshold": 0.1, "temperature": 1.0, "dynatemp_range": 0.0, "dynatemp_exponent": 1.0}
ORDER = ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"]
ARGUMENTS = {
    "penalties": ["penalty_last_n", "repetition_penalty", "frequency_penalty", "presence_penalty"],
    "dry": ["dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n"],
    "top_n_sigma": ["top_n_sigma"], "top_k": ["top_k"], "typ_p": ["typical_p"], "top_p": ["top_p"], "min_p": ["min_p"],
    "xtc": ["xtc_probability", "xtc_threshold"],
    "temperature": ["temperature", "dynatemp_range", "dynatemp_exponent"],
}
BY_DEFAULT = {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8}

OPTIONS = [
    {}, {"temperature": 0.7}, {"temperature": 0.0}, {"temperature": 1.0, "dynatemp_range": 0.6},
    {"temperature": 0.8, "dynatemp_range": 0.8, "dynatemp_exponent": 2.0}, {"top_k": 1}, {"top_k": 7}, {"top_k": 300},
    {"top_p": 0.9}, {"top_p": 0.3}, {"top_p": 0.99}, {"min_p": 0.05}, {"min_p": 0.5}, {"typical_p": 0.9},
    {"typical_p": 0.4}, {"top_n_sigma": 1.0}, {"top_n_sigma": 2.5}, {"xtc_probability": 1.0, "xtc_threshold": 0.02},
    {"xtc_probability": 1.0, "xtc_threshold": 0.1}, {"xtc_probability": 1.0, "xtc_threshold": 0.6},
    {"repetition_penalty": 1.3}, {"repetition_penalty": 0.8, "penalty_last_n": 4}, {"frequency_penalty": 0.7},
    {"presence_penalty": 1.5, "frequency_penalty": -0.2, "penalty_last_n": 10}, {"dry_multiplier": 0.8},
    {"dry_multiplier": 1.2, "dry_base": 1.2, "dry_allowed_length": 1, "dry_penalty_last_n": 20},
    BY_DEFAULT, {**BY_DEFAULT, "dynatemp_range": 0.5}, {**BY_DEFAULT, "xtc_probability": 1.0, "repetition_penalty": 1.1},
    {**BY_DEFAULT, "top_n_sigma": 6.0, "typical_p": 0.95, "dry_multiplier": 0.8, "presence_penalty": 0.3,
     "xtc_probability": 1.0, "xtc_threshold": 0.15},
    {"top_n_sigma": 1.5, "dynatemp_range": 0.4}, {"top_k": 50, "top_n_sigma": 1.0, "dynatemp_range": 0.4},
    {"order": ["temperature", "top_k", "top_p"], "temperature": 1.4, "top_k": 60, "top_p": 0.8},
    {"order": ["top_k", "penalties", "temperature", "min_p"], "top_k": 30, "presence_penalty": 2.0, "temperature": 0.6,
     "min_p": 0.1},
]
MIROSTAT = [{"mirostat": 1}, {"mirostat": 2}, {"mirostat": 1, "mirostat_tau": 2.0, "mirostat_eta": 0.3},
            {"mirostat": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.5, "temperature": 0.8}]


def built(llama, folder):
    program = os.path.join(folder, "llama_samplers")
    libraries = [os.path.join(llama, "build", "src", "libllama.a")]
    libraries += [os.path.join(llama, "build", "ggml", "src", f"libggml{part}.a") for part in ("", "-cpu", "-base")]
    libraries = [path for path in libraries if os.path.exists(path)]
    include = [f"-I{os.path.join(llama, part)}" for part in ("include", "ggml/include")]
    subprocess.check_call(["g++", "-O1", "-std=c++17", *include, os.path.join(HERE, "llama_samplers.cpp"), "-o",
                           program, *libraries, "-fopenmp", "-ldl", "-lpthread"])
    return program


def chain_of(options):
    values = {**DEFAULTS, **options}
    if values.get("mirostat"):
        tau, eta = values.get("mirostat_tau", 5.0), values.get("mirostat_eta", 0.1)
        return f"plain_temperature:{values['temperature']} mirostat{values['mirostat']}:{tau}:{eta}"
    parts = []
    for name in options.get("order", ORDER):
        parts.append(":".join([name] + [str(values[argument]) for argument in ARGUMENTS[name]]))
    if options.get("logit_bias"):
        parts.insert(0, ":".join(["bias"] + [f"{i}:{b}" for i, b in options["logit_bias"]]))
    return " ".join(parts)


def case_text(case):
    row = case["row"]
    lines = [f"seeded {row['size']} {row['seed']}" if isinstance(row, dict) else
             f"row {len(row)} " + " ".join("-inf" if x is None else repr(x) for x in row)]
    lines.append(f"seen {len(case['seen'])} " + " ".join(map(str, case["seen"])))
    lines.append("chain " + chain_of(case["options"]))
    lines.append(f"run {case.get('steps', 1)}")
    return "\n".join(lines) + "\n"


def results(text):
    lines = iter(text.splitlines())
    for head in lines:
        count, chosen = map(int, head.split())
        left = [next(lines).split() for _ in range(count)]
        # Forbidden tokens stay candidates there; their probability is 0.
        left = [(int(i), float(p)) for i, _, p in left if float(p) > 0]
        yield chosen, [i for i, _ in left], [p for _, p in left]


def repeating(generator, size, count):
    """Ids with repetitions in them, and one at the end for DRY to see."""
    ids = generator.integers(0, min(size, 12), count).tolist()
    return ids + ids[3:8] + [1 % size] + ids[3:7]


def cases(generator):
    small = [rows.written_row(row) for row in rows.small_rows(generator)]
    large = [{"seed": 3, "size": 49152}, {"seed": 4, "size": 3000}]
    for number, options in enumerate(OPTIONS):
        for row in small + large:
            size = row["size"] if isinstance(row, dict) else len(row)
            # Of ties at a cut llama.cpp keeps whichever its sort left in front.
            tied = row in small[2:] and any(name in options for name in ("top_k", "typical_p", "top_p", "xtc_probability"))
            # There float32 sums over 49,152 tokens are off by more than the last ones that 0.99 needs.
            if tied or (options == {"top_p": 0.99} and size > 10000):
                continue
            yield {"row": row, "seen": repeating(generator, size, 25), "options": options}
    biased = {"logit_bias": [[2, 3.5], [5, float("-inf")], [0, -1.0]], "temperature": 0.9}
    yield {"row": small[0], "seen": [], "options": biased}
    yield {"row": large[1], "seen": [], "options": {**BY_DEFAULT, **biased, "dynatemp_range": 0.3}}
    for options in MIROSTAT:
        for row in [small[0], *large]:
            yield {"row": row, "seen": [], "options": options, "steps": 6}


def dry_cases(tokenizer_size, generator):
    """Texts of SmolLM2: an id of its vocabulary has a breaker somewhere inside."""
    for options in [{"dry_multiplier": 0.8}, {"dry_multiplier": 1.5, "dry_base": 1.3, "dry_allowed_length": 1}]:
        for ids in ([504, 2, 28, 504, 2, 28, 504], [957, 42, 198, 957, 42, 198, 957, 42],
                    [260, 1234, 42, 260, 1234], [18, 957, 260, 42, 18, 957, 260, 42, 18, 957],
                    generator.integers(20, 60, 200).tolist()):
            yield {"row": {"seed": 9, "size": tokenizer_size}, "seen": [int(i) for i in ids], "options": options}


def main():
    llama, vocabulary = sys.argv[1], sys.argv[2:3]
    generator = numpy.random.default_rng(12)
    found = list(dry_cases(49152, generator) if vocabulary else cases(generator))
    with tempfile.TemporaryDirectory() as folder:
        program = built(llama, folder)
        printed = subprocess.run([program, *vocabulary], input="".join(map(case_text, found)), text=True, check=True,
                                 stdout=subprocess.PIPE).stdout
    printed = results(printed)
    for case in found:
        case["expected"] = []
        for _ in range(case.get("steps", 1)):
            chosen, ids, probabilities = next(printed)
            case["expected"].append({"chosen": chosen, **rows.written(ids, probabilities)})
        for bias in case["options"].get("logit_bias", []):
            bias[1] = None if bias[1] in (None, float("-inf")) else bias[1]
    name = "sampling_llama_dry.json" if vocabulary else "sampling_llama.json"
    with open(os.path.join(OUT, name), "w") as file:
        file.write("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in found) + "]\n")
    print(len(found), "cases")


main()
