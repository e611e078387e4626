"""Writes tests/fixtures/generation/sampling_hf.json: what transformers' logits processors leave of rows of logits, each
alone and many at once in the order in which `generate` runs them; and watermark.json, its watermark and detector.

Written with transformers 5.23.0, torch 2.11.0.
"""
import json
import os
import types

import numpy
import torch
from transformers import GenerationConfig, WatermarkDetector, WatermarkingConfig
from transformers.generation import GenerationMixin

import sampling_rows as rows

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "generation")
EOS = 2
WARPERS = ["temperature", "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"]

OPTIONS = [
    {"typical_p": 0.9}, {"typical_p": 0.3}, {"typical_p": 0.995}, {"epsilon_cutoff": 0.003}, {"epsilon_cutoff": 0.2},
    {"eta_cutoff": 0.004}, {"eta_cutoff": 0.3}, {"top_h": 0.4}, {"top_h": 0.9}, {"top_h": 0.05},
    {"temperature": 0.7, "typical_p": 0.8}, {"temperature": 1.6, "eta_cutoff": 0.01}, {"top_k": 20, "typical_p": 0.9},
    {"top_p": 0.8}, {"top_p": 0.97}, {"min_p": 0.1}, {"top_k": 50, "top_p": 0.9, "min_p": 0.02},
    {"temperature": 0.8, "top_h": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.01, "typical_p": 0.9,
     "epsilon_cutoff": 0.001, "eta_cutoff": 0.002},
    {"no_repeat_ngram_size": 1}, {"no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 3},
    {"bad_words_ids": [[1], [3, 0], [EOS], [4, 1, 5]]}, {"sequence_bias": [[[1], 2.5], [[3, 0], -4.0], [[6, 1], 1.0]]},
    {"min_length": 40}, {"min_length": 8}, {"min_new_tokens": 6}, {"min_new_tokens": 4}, {"suppress_tokens": [0, 5]},
    {"begin_suppress_tokens": [1, 3]}, {"forced_eos_token_id": [EOS]}, {"forced_eos_token_id": [1, 4]},
    {"exponential_decay_length_penalty": [2, 1.3]}, {"exponential_decay_length_penalty": [10, 1.3]},
    {"guidance_scale": 1.5}, {"guidance_scale": 0.5}, {"guidance_scale": 3.0, "temperature": 0.8, "top_p": 0.9},
    {"watermark": {"greenlist_ratio": 0.25, "bias": 2.0}}, {"watermark": {"greenlist_ratio": 0.5, "bias": 1.5,
     "hashing_key": 4242}},
    {"guidance_scale": 1.2, "sequence_bias": [[[1], 1.5], [[3, 0], -2.0]], "repetition_penalty": 1.2,
     "no_repeat_ngram_size": 3, "bad_words_ids": [[5]], "min_new_tokens": 6,
     "exponential_decay_length_penalty": [1, 1.1], "suppress_tokens": [4], "temperature": 0.9, "top_k": 60,
     "top_p": 0.9, "min_p": 0.01, "typical_p": 0.95, "epsilon_cutoff": 0.0005, "eta_cutoff": 0.001,
     "watermark": {"bias": 1.0}},
]
# (prompt, new tokens): the processors see both. The last of max_new_tokens 6 is the sixth.
TEXTS = [([3, 0, 6, 1, 3], [0, 4, 1, 3, 0]), ([6], []), ([6, 1, 4], []), ([1, 0], [3, 6, 1, 6, 3])]
MAX_NEW_TOKENS = 6


class Model(GenerationMixin):
    """What _get_logits_processor asks of a model; called, it answers with the row without the prompt."""

    def __init__(self, vocab_size, negative):
        self.config = types.SimpleNamespace(is_encoder_decoder=False, vocab_size=vocab_size,
                                            get_text_config=lambda: types.SimpleNamespace(vocab_size=vocab_size))
        self.negative = negative

    def __call__(self, input_ids, **_):
        logits = self.negative.expand(1, input_ids.shape[1], -1)
        output = types.SimpleNamespace(logits=logits)
        output.get = lambda name, default=None: default
        return output


def processed(row, negative, prompt, new, options):
    settings = {name: value for name, value in options.items() if name != "watermark"}
    for name in ("top_k", "top_p", "temperature"):  # off, where transformers has another default
        settings.setdefault(name, {"top_k": 0, "top_p": 1.0, "temperature": 1.0}[name])
    if "exponential_decay_length_penalty" in settings:
        settings["exponential_decay_length_penalty"] = tuple(settings["exponential_decay_length_penalty"])
    config = GenerationConfig(do_sample=any(name in options for name in WARPERS), **settings,
                              max_length=len(prompt) + MAX_NEW_TOKENS)
    if "watermark" in options:
        config.watermarking_config = WatermarkingConfig(**options["watermark"])
    config._eos_token_tensor = torch.tensor([EOS])
    chain = Model(len(row), torch.from_numpy(negative))._get_logits_processor(config, len(prompt), device="cpu")
    ids = torch.tensor([prompt + new])
    return chain(ids, torch.from_numpy(row)[None].clone())[0]


def expected(scores):
    probabilities = torch.softmax(scores.double(), 0)
    kept = [i for i in range(len(scores)) if torch.isfinite(scores[i])]
    return rows.written(kept, probabilities[kept].tolist())


def chains(generator):
    small = rows.small_rows(generator)
    large = [({"seed": 3, "size": 49152}, 7), ({"seed": 4, "size": 3000}, 8)]
    for options in OPTIONS:
        for row in [*small, *large]:
            described, negative = row if isinstance(row, tuple) else (rows.written_row(row), None)
            values = rows.seeded(described["size"], described["seed"]) if negative else row
            if len(values) < 7 and not (set(options) <= set(WARPERS)):
                continue  # the rules name ids up to 6
            if options == {"typical_p": 0.995} and isinstance(row, tuple):
                continue  # what a tail of tokens of 1e-7 each sums to is rounding
            if any(row is tied for tied in small[2:]) and set(options) & {"top_p", "top_h"}:
                continue  # torch leaves ties in no fixed order
            texts = TEXTS[:1] if set(options) <= set(WARPERS) else TEXTS
            for prompt, new in texts if len(values) < 200 or set(options) & {"watermark", "guidance_scale"} else texts[:1]:
                against = rows.seeded(len(values), negative or 11)
                scores = processed(values, against, prompt, new, options)
                case = {"row": described, "prompt": prompt, "new": new, "options": options,
                        "expected": expected(scores)}
                if "guidance_scale" in options:
                    case["negative_seed"] = negative or 11
                yield case
    # Behind a prompt of one token.
    for options in [{"forced_bos_token_id": 5}, {"forced_bos_token_id": 5, "begin_suppress_tokens": [1, 3]}]:
        for prompt, new in [([6], []), ([6], [5]), ([6, 1], [])]:
            yield {"row": rows.written_row(small[0]), "prompt": prompt, "new": new, "options": options,
                   "expected": expected(processed(small[0], small[0], prompt, new, options))}


def watermark_cases(generator):
    vocab = 1000
    schemes = [("lefthash", 1), ("selfhash", 1), ("lefthash", 2), ("selfhash", 3)]
    settled = [(*scheme, ratio, key) for scheme in schemes for ratio, key in [(0.25, 15485863), (0.4, 77)]]
    large = (1 << 60) + 12345  # its products leave 64 bits: lefthash multiplies integers, selfhash int64 tensors
    for scheme, width, ratio, key in settled + [(*scheme, 0.25, large) for scheme in schemes[:2]]:
        settings = {"greenlist_ratio": ratio, "bias": 2.5, "hashing_key": key, "seeding_scheme": scheme,
                    "context_width": width}
        config = WatermarkingConfig(**settings)
        processor = config.construct_processor(vocab, "cpu")
        ids = generator.integers(3, vocab, 5).tolist()
        biased = []
        for step in range(60):  # greedily, over rows that change
            row = rows.seeded(vocab, 100 + step)
            scores = processor(torch.tensor([ids]), torch.from_numpy(row)[None].clone())[0].numpy()
            changed = numpy.nonzero(scores != row)[0]
            biased.append({"count": len(changed), "sum": int(changed.sum())})
            ids.append(int(scores.argmax()))
        model_config = types.SimpleNamespace(bos_token_id=1, is_encoder_decoder=False, vocab_size=vocab)
        reports = []
        for repeated in (False, True):
            detector = WatermarkDetector(model_config, "cpu", config, ignore_repeated_ngrams=repeated)
            for text in (ids, [1] + ids[:30], generator.integers(3, vocab, 80).tolist()):
                out = detector(torch.tensor([text]), return_dict=True)
                reports.append({"ids": text, "ignore_repeated_ngrams": repeated,
                                "tokens": int(out.num_tokens_scored[0]), "green": int(out.num_green_tokens[0]),
                                "z": float(out.z_score[0]), "p": float(out.p_value[0])})
        yield {"options": settings, "vocab_size": vocab, "ids": ids, "biased": biased, "reports": reports}


def write(name, cases):
    cases = list(cases)
    with open(os.path.join(OUT, name), "w") as file:
        file.write("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "]\n")
    print(name, len(cases), "cases")


def main():
    write("sampling_hf.json", chains(numpy.random.default_rng(12)))
    write("watermark.json", watermark_cases(numpy.random.default_rng(5)))


if __name__ == "__main__":
    main()
