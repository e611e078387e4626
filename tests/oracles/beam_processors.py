"""Writes tests/fixtures/generation/beam_processors.json: how transformers' logits processors work in beam search.

`rows`: what they leave of one beam's log-probabilities, with one EOS id and with three: its samplers keep more tokens
there than elsewhere. `searches`: hypotheses of three tiny models under rules about tokens, as in beam_search.py.

Written with transformers 5.23.0, torch 2.11.0.
"""
import numpy
import torch
from transformers import GenerationConfig, WatermarkingConfig

import beam_search
import sampling_hf
import sampling_rows as rows

EOS = [[2], [2, 4, 5]]
ROWS = [
    {"top_k": 1}, {"top_p": 0.01}, {"min_p": 0.99}, {"typical_p": 0.01}, {"epsilon_cutoff": 0.9}, {"eta_cutoff": 0.9},
    {"top_h": 0.05}, {"temperature": 0.7}, {"top_k": 6}, {"top_p": 0.7}, {"min_p": 0.05}, {"typical_p": 0.6},
    {"temperature": 0.7, "top_k": 20, "top_p": 0.8}, {"repetition_penalty": 1.3, "top_k": 5},
    {"watermark": {"bias": 2.0}, "top_k": 1}, {"no_repeat_ngram_size": 1, "top_p": 0.01},
    {"repetition_penalty": 1.2, "min_new_tokens": 9, "temperature": 0.9, "top_k": 4, "top_p": 0.5, "min_p": 0.9,
     "typical_p": 0.5, "epsilon_cutoff": 0.5, "eta_cutoff": 0.5, "watermark": {"bias": 1.0}},
]
TEXT = ([3, 0, 6, 1, 3], [0, 4, 1, 3, 0])

SEARCHES = [
    {"watermark": {"greenlist_ratio": 0.25, "bias": 2.0}, "num_return_sequences": 4},
    {"watermark": {"greenlist_ratio": 0.5, "bias": 1.0, "hashing_key": 77, "context_width": 2},
     "repetition_penalty": 1.2},
    {"min_new_tokens": 9, "num_return_sequences": 4},
    {"min_length": 12, "early_stopping": True},
    {"exponential_decay_length_penalty": [3, 1.2], "num_return_sequences": 2},
    {"exponential_decay_length_penalty": [2, 0.5], "num_return_sequences": 2},
    {"forced_eos_token_id": [7], "num_return_sequences": 3},
    {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "min_new_tokens": 4, "num_return_sequences": 4,
     "watermark": {"bias": 1.5}},
]


def by_name(options):
    """Options as transformers takes them."""
    settings = {name: value for name, value in options.items() if name != "watermark"}
    if "exponential_decay_length_penalty" in settings:
        settings["exponential_decay_length_penalty"] = tuple(settings["exponential_decay_length_penalty"])
    if "watermark" in options:
        settings["watermarking_config"] = WatermarkingConfig(**options["watermark"])
    return settings


def processed(row, ends, options):
    prompt, new = TEXT
    off = {"top_k": 0, "top_p": 1.0, "temperature": 1.0}
    config = GenerationConfig(do_sample=any(name in options for name in sampling_hf.WARPERS), num_beams=4,
                              max_length=len(prompt) + 20, eos_token_id=ends, **{**off, **by_name(options)})
    config._eos_token_tensor = torch.tensor(ends)
    chain = sampling_hf.Model(len(row), torch.zeros(len(row)))._get_logits_processor(config, len(prompt), device="cpu")
    return chain(torch.tensor([prompt + new]), torch.from_numpy(row)[None].log_softmax(-1))[0]


def row_cases(generator):
    small = rows.small_rows(generator)[0]
    written = [(rows.written_row(small), small), ({"size": 40, "seed": 6}, rows.seeded(40, 6)),
               ({"size": 3000, "seed": 4}, rows.seeded(3000, 4))]
    for options in ROWS:
        for ends in EOS:
            for described, row in written:
                left = processed(row, ends, options)
                ids = torch.isfinite(left).nonzero()[:, 0].tolist()
                if len(ids) > 120:
                    continue
                yield {"row": described, "prompt": TEXT[0], "new": TEXT[1], "eos_token_id": ends, "options": options,
                       "ids": ids, "log_probs": [float(f"{left[i].item():.9g}") for i in ids]}


def searches(seed, name):
    torch.manual_seed(seed)
    model = beam_search.tiny(name)
    prompts = beam_search.tiny_prompts(model.config.vocab_size, seed)
    ends = beam_search.likely(model, prompts[0], 3)
    liked = [[ends[0]], [ends[1], ends[2]]]
    rules = [{"bad_words_ids": [[ends[1]], [ends[2], ends[1]]], "num_return_sequences": 4},
             {"sequence_bias": [[liked[0], -3.0], [liked[1], 4.0]], "num_return_sequences": 2},
             {"suppress_tokens": ends[1:], "begin_suppress_tokens": [ends[0]], "num_return_sequences": 4}]
    settings = [{"num_beams": 4, "max_new_tokens": 14, **rule, "eos_token_id": [ends[:1], ends][i % 2]}
                for i, rule in enumerate(SEARCHES + rules)]
    found = list(beam_search.cases(model, prompts, [by_name(setting) for setting in settings]))
    for case, setting in zip(found, settings):
        case["options"] = setting
        free = {key: value for key, value in setting.items()
                if key in ("num_beams", "max_new_tokens", "eos_token_id", "num_return_sequences")}
        without = beam_search.search(model, case["prompt"], free)
        case["changes"] = [one["ids"] for one in without] != [one["ids"] for one in case["hypotheses"]]
    print(name, sum(case.pop("changes") for case in found), "of", len(found), "rules change what is found")
    return found


def main():
    beam_search.write("beam_processors.json", {
        "rows": list(row_cases(numpy.random.default_rng(9))),
        "searches": {name: searches(seed, name) for seed, name in enumerate(beam_search.MODELS)}})


if __name__ == "__main__":
    main()
