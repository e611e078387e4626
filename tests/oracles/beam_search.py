"""Writes tests/fixtures/generation/beam_search.json: what transformers' beam search makes of three tiny models, and
beam_search_smollm2.json where FOLDER holds SmolLM2-135M-Instruct.Q4_1.gguf.

    python tests/oracles/beam_search.py [FOLDER]

20 settings a model: hypotheses (new ids) and their scores. All in float32 with attn_implementation="eager"; a setting is
kept only where float64 gives the same hypotheses, so that no tie of rounding decides a test. Written with transformers
5.23.0, torch 2.11.0, gguf 0.19.0.
"""
import copy
import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODELS = ["tiny_gqa", "tiny_bias_llama3", "tiny_mqa_linear"]

SETTINGS = [
    {"num_beams": 1},
    {"num_beams": 2},
    {"num_beams": 3, "num_return_sequences": 3},
    {"num_beams": 4, "num_return_sequences": 2, "early_stopping": True},
    {"num_beams": 5, "num_return_sequences": 5, "early_stopping": "never"},
    {"num_beams": 4, "length_penalty": 0.0, "num_return_sequences": 4},
    {"num_beams": 4, "length_penalty": 2.0, "num_return_sequences": 4},
    {"num_beams": 4, "length_penalty": -1.0, "num_return_sequences": 4},
    {"num_beams": 4, "length_penalty": 0.6, "early_stopping": "never", "num_return_sequences": 4},
    {"num_beams": 4, "length_penalty": -0.5, "early_stopping": "never", "num_return_sequences": 3},
    {"num_beams": 3, "length_penalty": 0.0, "early_stopping": "never", "num_return_sequences": 3},
    {"num_beams": 5, "no_repeat_ngram_size": 2, "early_stopping": True, "num_return_sequences": 5},
    {"num_beams": 4, "no_repeat_ngram_size": 1, "num_return_sequences": 4},
    {"num_beams": 3, "no_repeat_ngram_size": 3, "length_penalty": 1.5, "num_return_sequences": 2},
    {"num_beams": 4, "repetition_penalty": 1.3, "num_return_sequences": 4},
    {"num_beams": 4, "repetition_penalty": 0.8, "no_repeat_ngram_size": 2, "num_return_sequences": 2},
    {"num_beams": 6, "early_stopping": True, "length_penalty": 0.3, "num_return_sequences": 6},
    {"num_beams": 8, "num_return_sequences": 8, "max_new_tokens": 5},
    {"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 1},
    {"num_beams": 10, "num_return_sequences": 3, "repetition_penalty": 1.1, "no_repeat_ngram_size": 3,
     "early_stopping": "never", "length_penalty": 1.2},
]


def search(model, prompt, setting):
    """[(new ids, score)] of generate; greedy has no scores of sequences."""
    with torch.no_grad():
        out = model.generate(torch.tensor([prompt]), do_sample=False, pad_token_id=0, return_dict_in_generate=True,
                             output_scores=True, output_logits=True, attention_mask=torch.ones(1, len(prompt)).long(),
                             **setting)
    if setting["num_beams"] == 1:
        ids = out.sequences[0, len(prompt):]
        scores = [logits[0].log_softmax(-1)[i].item() for logits, i in zip(out.logits, ids)]
        return [{"ids": ids.tolist(), "score": sum(scores) / len(scores)}]
    found = []
    for row, score, beams in zip(out.sequences, out.sequences_scores, out.beam_indices):
        length = int((beams >= 0).sum())
        found.append({"ids": row[len(prompt):len(prompt) + length].tolist(), "score": float(score)})
    return found


def cases(model, prompts, settings):
    exact = copy.deepcopy(model).double()
    for i, setting in enumerate(settings):
        for attempt in range(len(prompts)):
            prompt = prompts[(i + attempt) % len(prompts)]
            found = search(model, prompt, setting)
            if [one["ids"] for one in found] == [one["ids"] for one in search(exact, prompt, setting)]:
                break
        else:
            raise SystemExit(f"every prompt of {setting} hangs on rounding")
        yield {"prompt": prompt, "options": setting, "hypotheses": found}


def write(name, content):
    with open(os.path.join(HERE, "generation", name), "w") as file:
        json.dump(content, file)
        file.write("\n")


def tiny(name):
    return AutoModelForCausalLM.from_pretrained(os.path.join(HERE, "model", name), dtype=torch.float32,
                                                attn_implementation="eager").eval()


def tiny_prompts(vocabulary, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, vocabulary, (4 + i,), generator=generator).tolist() for i in range(8)]


def likely(model, prompt, count):
    """Tokens that the model often likes, so that they end hypotheses here and there."""
    with torch.no_grad():
        ids = model.generate(torch.tensor([prompt]), do_sample=True, top_k=0, max_new_tokens=40, eos_token_id=[],
                             pad_token_id=0)[0, len(prompt):].tolist()
    return sorted(set(ids), key=lambda i: (-ids.count(i), i))[:count]


def main():
    content = {}
    for seed, name in enumerate(MODELS):
        torch.manual_seed(seed)
        model = tiny(name)
        prompts = tiny_prompts(model.config.vocab_size, seed)
        ends = likely(model, prompts[0], 3)
        settings = []
        for i, setting in enumerate(SETTINGS):
            # One EOS, three of them, or one that hardly comes.
            eos = [ends[:1], ends, [2]][i % 3]
            settings.append({"max_new_tokens": 14, **setting, "eos_token_id": eos})
        content[name] = list(cases(model, prompts, settings))
        endings = sum(one["ids"][-1] in case["options"]["eos_token_id"] for case in content[name]
                      for one in case["hypotheses"])
        print(name, endings, "of", sum(len(case["hypotheses"]) for case in content[name]), "end by EOS")
    write("beam_search.json", content)
    if len(sys.argv) < 2:
        return
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], gguf_file=FILE, dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], gguf_file=FILE)
    texts = ["The capital of France is", "Once upon a time, in a small village by the sea,",
             "<|im_start|>user\nName three colours.<|im_end|>\n<|im_start|>assistant\n"]
    prompts = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    newline, dot = (tokenizer(text, add_special_tokens=False).input_ids[-1] for text in ("\n", " end."))
    settings = [{"max_new_tokens": 12, **setting, "eos_token_id": [[2], [2, newline], [2, dot]][i % 3]}
                for i, setting in enumerate(SETTINGS)]
    write("beam_search_smollm2.json", list(cases(model, prompts, settings)))


if __name__ == "__main__":
    main()
