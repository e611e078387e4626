"""Writes tests/fixtures/model/smollm2_{logits.safetensors,greedy.json}: what transformers makes of the real model.

    python tests/oracles/smollm2.py FOLDER    # the folder with SmolLM2-135M-Instruct.Q4_1.gguf

The logits of a 64-token prompt would be 12 MB: kept are, for each position, mean, standard deviation, logsumexp, the 16
largest with their ids, the values at 512 fixed ids, and how far transformers' own bf16 and f16 logits are from its f32
ones (root mean square). Greedy texts: 10 prompts, 64 new tokens each, with the gap between the best and the second
logit at each step. All in float32 with attn_implementation="eager", on the weights that gguf-py dequantizes (checked).
Written with transformers 5.23.0, torch 2.11.0, gguf 0.19.0, safetensors 0.8.0.
"""
import copy
import json
import os
import sys

import gguf
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "model")
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

PASSAGE = ("The river rose in the night, and by morning the lower fields lay under a sheet of brown water. "
           "Nobody in the village had seen it come so fast. The miller counted 14 sacks of flour (about 350 kg), "
           "and swore that he would build his next house on the hill, where the old church stands today.")
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n    ",
    "Water boils at 100 degrees Celsius because",
    "<|im_start|>user\nWhat is photosynthesis?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nYou are a terse assistant.<|im_end|>\n<|im_start|>user\nName three colours.<|im_end|>\n"
    "<|im_start|>assistant\n",
    "La ville de Lyon se trouve",
    "1, 1, 2, 3, 5, 8, 13,",
    "Dear Sir or Madam,\n\nI am writing to",
    "The quick brown fox",
]


def check_dequantization(folder, model):
    """transformers reads the same weights out of the file as gguf-py does."""
    heads = {"attn_q": model.config.num_attention_heads, "attn_k": model.config.num_key_value_heads}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    state = {names.get_name(name.removesuffix(".weight")) + ".weight": value
             for name, value in model.state_dict().items()}
    for tensor in gguf.GGUFReader(os.path.join(folder, FILE)).tensors:
        data = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        count = heads.get(tensor.name.split(".")[-2])
        if count:  # llama.cpp keeps the pairs of RoPE side by side
            data = data.reshape(count, data.shape[0] // count // 2, 2, -1).swapaxes(1, 2).reshape(data.shape)
        assert torch.equal(data, state[tensor.name]), tensor.name


def bf16_and_f16_distance(model, ids, logits):
    distance = {}
    for name, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16)):
        with torch.no_grad():
            low = copy.deepcopy(model).to(dtype)
            low.model.rotary_emb.inv_freq = model.model.rotary_emb.inv_freq  # float32, as from_pretrained leaves it
            distance[name + "_rms"] = (low(ids[None]).logits[0].float() - logits).pow(2).mean(-1).sqrt()
    return distance


def main():
    folder = sys.argv[1]
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    check_dequantization(folder, model)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    ids = tokenizer(PASSAGE, add_special_tokens=False).input_ids
    assert len(ids) >= 64, len(ids)
    ids = torch.tensor(ids[:64])
    generator = torch.Generator().manual_seed(1)
    sample = torch.randperm(model.config.vocab_size, generator=generator)[:512].sort().values
    with torch.no_grad():
        logits = model(ids[None]).logits[0]
    top = logits.topk(16)
    save_file({
        "ids": ids, "mean": logits.mean(-1), "std": logits.std(-1), "logsumexp": logits.logsumexp(-1),
        "top_ids": top.indices, "top_values": top.values, "sample_ids": sample,
        "sample_values": logits[:, sample].contiguous(),
        **bf16_and_f16_distance(model, ids, logits),
    }, os.path.join(HERE, "smollm2_logits.safetensors"))
    greedy = []
    for prompt in PROMPTS:
        prompt_ids = tokenizer(prompt, add_special_tokens=False).input_ids
        with torch.no_grad():
            out = model.generate(torch.tensor([prompt_ids]), max_new_tokens=64, do_sample=False, eos_token_id=[],
                                 pad_token_id=0, return_dict_in_generate=True, output_logits=True,
                                 repetition_penalty=1.0)
        new = out.sequences[0, len(prompt_ids):].tolist()
        gaps = [round(float(a - b), 5) for a, b in (step[0].topk(2).values for step in out.logits)]
        assert len(new) == 64
        greedy.append({"prompt": prompt, "prompt_ids": prompt_ids, "ids": new, "text": tokenizer.decode(new),
                       "gaps": gaps})
    with open(os.path.join(HERE, "smollm2_greedy.json"), "w") as file:
        json.dump(greedy, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
