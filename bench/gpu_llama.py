#!/usr/bin/env python3
"""llama.cpp on a GPU beside Powerhouse: prefill of 512 tokens, decoding 128 one by one, and 8 sequences at once.

    bench/gpu_llama.py POWERHOUSE LLAMA_BIN FOLDER [--types BF16 Q8_0 Q4_0 Q4_K_M] [--turns 3] [--json FILE]

POWERHOUSE is the program of a build with CUDA, LLAMA_BIN the folder of llama-bench and llama-batched-bench of one with
GGML_CUDA=ON. FOLDER takes the models: a Llama of 1.17 billion parameters with random weights in bf16, made by transformers
where it is not there yet, and its files, written by `powerhouse quantize`. Both programs read the same file; turns alternate,
medians. All layers are on the device, llama.cpp with its flash attention.
"""
import argparse
import json
import pathlib
import re
import statistics
import subprocess

PROMPT, NEW, BATCH = 512, 128, 8


def make_folder(folder):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=49152, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
                         num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=8192,
                         tie_word_embeddings=False, bos_token_id=1, eos_token_id=2)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        LlamaForCausalLM(config).save_pretrained(folder)


def output(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-1000:]}\n{done.stderr[-1000:]}")
    return done.stdout


class Ours:
    def __init__(self, program):
        self.program = program

    def run(self, model):
        def benchmark(prompt, batch):
            return json.loads(output([self.program, "benchmark", "--model", model, "--device", "cuda", "--prompt-tokens", prompt,
                                      "--new-tokens", NEW, "--batch", batch, "--repetitions", 5, "--no-limits", "--json"]))

        one, many = benchmark(PROMPT, 1), benchmark(0, BATCH)
        return {"prefill": one["prompt_tokens_per_second"], "decode": one["new_tokens_per_second"],
                f"decode, batch {BATCH}": many["new_tokens_per_second"]}


class Theirs:
    def __init__(self, folder):
        self.bench, self.batched = folder / "llama-bench", folder / "llama-batched-bench"

    def run(self, model):
        rows = json.loads(output([self.bench, "-m", model, "-ngl", 99, "-fa", 1, "-p", PROMPT, "-n", NEW, "-r", 5, "-o", "json"]))
        found = {"prefill" if row["n_prompt"] else "decode": row["avg_ts"] for row in rows}
        text = output([self.batched, "-m", model, "-ngl", 99, "-fa", 1, "-c", 8192, "-npp", PROMPT, "-ntg", NEW, "-npl", BATCH])
        row = re.search(rf"^\|\s*{PROMPT} \|\s*{NEW} \|\s*{BATCH} \|(.*)\|\s*$", text, re.MULTILINE)
        if row is None:
            raise SystemExit(f"llama-batched-bench printed no row:\n{text[-1000:]}")
        found[f"decode, batch {BATCH}"] = float(row.group(1).split("|")[4])
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("powerhouse", type=pathlib.Path)
    parser.add_argument("llama_bin", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--types", nargs="+", default=["BF16", "F16", "Q8_0", "Q4_0", "Q4_K_M"])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json")
    arguments = parser.parse_args()

    source = arguments.folder / "model"
    if not source.exists():
        make_folder(source)
    programs = {"ours": Ours(arguments.powerhouse), "llama.cpp": Theirs(arguments.llama_bin)}
    table = {}
    print("| type | what | ours, tokens/s | llama.cpp | ratio |\n|---|---|---|---|---|")
    for name in arguments.types:
        model = arguments.folder / f"{name}.gguf"
        if not model.exists():
            output([arguments.powerhouse, "quantize", "--model", source, "--type", name, "--output", model])
        runs = {program: [] for program in programs}
        for _ in range(arguments.turns):
            for program, runner in programs.items():
                runs[program].append(runner.run(model))
        table[name] = {program: {what: statistics.median(run[what] for run in of) for what in of[0]} for program, of in runs.items()}
        for what, ours in table[name]["ours"].items():
            theirs = table[name]["llama.cpp"][what]
            print(f"| {name} | {what} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |", flush=True)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
