"""Beam search beside transformers, in turns: new tokens a second on SmolLM2 with 4 beams.

    python bench/beam_search.py build/release/bin/powerhouse FOLDER [--threads 2] [--beams 4] [--new 64] [--rounds 5]

FOLDER holds SmolLM2-135M-Instruct.Q4_1.gguf. transformers computes in float32 on the dequantized weights. Both search
for the same number of tokens without EOS. Prints medians and their ratio.
"""
import argparse
import json
import os
import statistics
import subprocess
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPT = ("The river rose in the night, and by morning the lower fields lay under a sheet of brown water. Nobody in the "
          "village had seen it come so fast. The miller")


def ours(program, model, options):
    out = subprocess.run([program, "generate", "--model", model, "--prompt", PROMPT, "--strategy", "beam",
                          "--num-beams", str(options.beams), "--max-new-tokens", str(options.new), "--early-stopping",
                          "never", "--threads", str(options.threads), "--json"],
                         check=True, capture_output=True, text=True)
    result = json.loads(out.stdout)
    return len(result["sequences"][0]["ids"]), result["seconds"]


def theirs(model, ids, options):
    begin = time.perf_counter()
    with torch.no_grad():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), num_beams=options.beams, do_sample=False,
                             max_new_tokens=options.new, early_stopping="never", pad_token_id=0)
    return out.shape[1] - ids.shape[1], time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    for name, default in (("threads", 2), ("beams", 4), ("new", 64), ("rounds", 5)):
        parser.add_argument("--" + name, type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = AutoModelForCausalLM.from_pretrained(options.folder, gguf_file=FILE, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(options.folder, gguf_file=FILE)
    ids = tokenizer(PROMPT, add_special_tokens=False, return_tensors="pt").input_ids
    speeds = {"powerhouse": [], "transformers": []}
    for _ in range(options.rounds):
        count, seconds = ours(options.program, os.path.join(options.folder, FILE), options)
        speeds["powerhouse"].append(count / seconds)
        count, seconds = theirs(model, ids, options)
        speeds["transformers"].append(count / seconds)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(json.dumps({"beams": options.beams, "threads": options.threads, "tokens_per_second": medians,
                      "ratio": medians["powerhouse"] / medians["transformers"], "all": speeds}, indent=1))


if __name__ == "__main__":
    main()
