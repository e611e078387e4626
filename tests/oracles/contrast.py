"""Writes tests/fixtures/generation/contrast.json: decoding by contrast, and drafts of prompt lookup.

    python tests/oracles/contrast.py

transformers computes logits and hidden states of the tiny checkpoints; what is made of them is written from the papers
(context-aware decoding, arXiv 2305.14739; contrastive decoding, 2210.15097), and for DoLa (2309.03883) from what
transformers computed until it moved the strategy out. `rows` are the formulas on random logits (null is -infinity),
`runs` whole texts: the ids, greedy, and at each step the probabilities of all tokens. Steps that are won by less than
1e-3 logits are refused: choose another prompt. `lookup` are drafts by transformers' PromptLookupCandidateGenerator.
Written with transformers 5.23.0, torch 2.11.0.
"""
import json
import math
import pathlib

import torch
from transformers import AutoModelForCausalLM
from transformers.generation.candidate_generator import PromptLookupCandidateGenerator

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
STEPS = 10
PROMPT = [1, 5, 9, 3, 7, 11, 2, 30, 4, 13]


def context_aware(full, bare, alpha):
    return (1 + alpha) * full - alpha * bare


def contrastive(expert, amateur, alpha, tau, temperature):
    p = expert.softmax(-1)
    scores = p.log() - tau * (amateur / temperature).softmax(-1).log()
    return scores.masked_fill(p < alpha * p.max(), -math.inf)


def divergences(last, early, kind):
    """Of each row of `early` from `last`."""
    p, q = last.softmax(-1), early.softmax(-1)
    middle = (p + q) / 2

    def kl(a, b):
        return torch.where(a > 0, a * (a.log() - b.log()), torch.zeros_like(a)).sum(-1)

    if kind == "reversed":  # torch.kl_div(log p, middle) is KL(middle | p)
        return (kl(middle, p.expand_as(q)) + kl(middle, q)) / 2
    return (kl(p.expand_as(q), middle) + kl(q, middle)) / 2


def dola(last, early, relative_top, kind):
    best = int(divergences(last, early, kind).argmax()) if len(early) > 1 else 0
    log_last, log_early = last.log_softmax(-1), early[best].log_softmax(-1)
    keep = log_last >= log_last.max() + math.log(relative_top)
    return (log_last - log_early).masked_fill(~keep, -math.inf), best


def numbers(row):
    return [None if math.isinf(x) else x for x in row.tolist()]


def random_rows():
    generator = torch.Generator().manual_seed(7)
    cases = []
    for spread in (1.0, 4.0):
        rows = torch.randn(6, 60, generator=generator) * spread
        a, b = rows[0].double(), rows[1].double()
        case = {"logits": rows.tolist(), "context_aware": [], "contrastive": [], "dola": []}
        for alpha in (0.0, 0.5, 1.7):
            case["context_aware"].append({"alpha": alpha, "scores": numbers(context_aware(a, b, alpha))})
        for alpha, tau, temperature in ((0.1, 1.0, 1.0), (0.5, 0.5, 1.0), (0.01, 1.0, 0.5), (1.0, 0.0, 2.0)):
            case["contrastive"].append({"alpha": alpha, "tau": tau, "temperature": temperature,
                                        "scores": numbers(contrastive(a, b, alpha, tau, temperature))})
        for count in (1, 2, 5):
            for kind in ("reversed", "jensen_shannon"):
                for top in (0.1, 0.9):
                    scores, best = dola(rows[-1].double(), rows[:count].double(), top, kind)
                    case["dola"].append({"early": count, "divergence": kind, "relative_top": top, "premature": best,
                                         "scores": numbers(scores)})
        cases.append(case)
    return cases


def load(name):
    return AutoModelForCausalLM.from_pretrained(FIXTURES / "model" / name, dtype=torch.float32,
                                                attn_implementation="eager").eval()


def logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, -1].float()


def early_logits(model, ids, layers):
    with torch.no_grad():
        hidden = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        return torch.stack([model.get_output_embeddings()(hidden[layer][0, -1]).float() for layer in layers])


def run(step):
    """Greedy tokens of step(ids so far) -> scores."""
    new, probabilities = [], []
    for _ in range(STEPS):
        scores = step(new)
        top = scores.topk(2).values
        assert top[0] - top[1] > 1e-3, (len(new), top)
        new.append(int(scores.argmax()))
        probabilities.append([round(p, 8) for p in scores.softmax(-1).tolist()])
    return {"ids": new, "probabilities": probabilities}


def dola_layers(model, half):
    count = model.config.num_hidden_layers
    if half == "high":
        return list(range(count // 2 if count <= 40 else count - 20, count, 2))
    first = 0 if not model.config.tie_word_embeddings else 2 if count > 2 else 1 if count == 2 else 0
    if first == count // 2:
        return [first]
    return list(range(first, count // 2 if count <= 40 else 20, 2))


def texts():
    runs = []
    context = [8, 22, 6, 17, 10, 25, 12, 31]
    for name in ("tiny_gqa", "tiny_bias_llama3", "families/gpt2_bare_names"):
        model = load(name)
        out = run(lambda new: context_aware(logits(model, context + PROMPT + new), logits(model, PROMPT + new), 0.5))
        runs.append({"strategy": "context_aware", "model": name, "alpha": 0.5, "with_context": context + PROMPT,
                     "without": PROMPT, **out})
    for expert_name, amateur_name in (("families/llama_biases", "families/granite_biases"),
                                      ("families/gemma2_caps", "families/olmo_tied")):
        expert, amateur = load(expert_name), load(amateur_name)
        out = run(lambda new: contrastive(logits(expert, PROMPT + new), logits(amateur, PROMPT + new), 0.1, 0.8, 1.5))
        runs.append({"strategy": "contrastive", "model": expert_name, "amateur": amateur_name, "alpha": 0.1,
                     "tau": 0.8, "temperature": 1.5, "prompt": PROMPT, **out})
    for name, half in (("families/gemma3_hub", "low"), ("families/gemma3_hub", "high"), ("tiny_mqa_linear", [0, 1, 2]),
                       ("tiny_gqa", "low"), ("tiny_bias_llama3", "low"), ("families/cohere2_window", "high"),
                       ("families/gemma2_caps", [1]), ("families/bloom_pre", [0, 1])):
        model = load(name)
        layers = dola_layers(model, half) if isinstance(half, str) else half
        premature = []

        def step(new):
            scores, best = dola(logits(model, PROMPT + new), early_logits(model, PROMPT + new, layers), 0.1, "reversed")
            premature.append(layers[best])
            return scores

        out = run(step)
        runs.append({"strategy": "dola", "model": name, "half": half if isinstance(half, str) else None,
                     "layers": layers, "prompt": PROMPT, "premature": premature, **out})
    return runs


def lookups():
    generator = torch.Generator().manual_seed(3)
    cases = []
    for length in (1, 2, 3, 12, 40, 200):
        for alphabet in (2, 6, 30):
            ids = torch.randint(alphabet, (1, length), generator=generator)
            for ngram, count in ((1, 3), (2, 10), (4, 10)):
                found, _ = PromptLookupCandidateGenerator(
                    num_output_tokens=count, max_matching_ngram_size=ngram, max_length=10**6).get_candidates(ids)
                cases.append({"ids": ids[0].tolist(), "ngram": ngram, "count": count,
                              "draft": found[0, length:].tolist()})
    return cases


with open(FIXTURES / "generation" / "contrast.json", "w") as file:
    json.dump({"rows": random_rows(), "runs": texts(), "lookup": lookups()}, file, separators=(",", ":"))
    file.write("\n")
