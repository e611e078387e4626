"""Writes tests/fixtures/generation/contrastive_search.json: contrastive search (Su et al. 2022, arXiv 2202.06417,
equation 5) in numpy, on logits and hidden states of transformers over three tiny models.

Each step: the top_k most probable tokens after the penalty; each is put behind the text, and the model says what the
last hidden state at it is; (1 - alpha) p - alpha max cos decides. No cache: everything is computed anew. A setting is
kept only where what decides is 1e-5 apart at each step. Written with transformers 5.23.0, torch 2.11.0, numpy
2.4.6.
"""
import numpy
import torch

from beam_search import MODELS, tiny, tiny_prompts, write

SETTINGS = [{"penalty_alpha": alpha, "top_k": k, "repetition_penalty": penalty}
            for alpha, k, penalty in [(0.6, 4, 1.0), (0.0, 4, 1.0), (1.0, 3, 1.0), (0.4, 8, 1.0), (0.6, 1, 1.0),
                                      (0.8, 5, 1.2), (0.2, 10, 0.9)]]


def run(model, ids):
    with torch.no_grad():
        out = model(torch.tensor([ids]), output_hidden_states=True)
    return out.logits[0, -1].numpy().astype(numpy.float64), out.hidden_states[-1][0].numpy().astype(numpy.float64)


def penalized(logits, ids, penalty):
    logits = logits.copy()
    for i in set(ids):
        logits[i] = logits[i] * penalty if logits[i] < 0 else logits[i] / penalty
    return logits


def search(model, prompt, options, count):
    """New ids, and the smallest distance of the best two scores."""
    text, gap = list(prompt), numpy.inf
    for _ in range(count):
        logits, hidden = run(model, text)
        logits = penalized(logits, text, options["repetition_penalty"])
        p = numpy.exp(logits - logits.max())
        p /= p.sum()
        best = numpy.argsort(-p)
        gap = min(gap, p[best[options["top_k"] - 1]] - p[best[options["top_k"]]])  # who is a candidate at all
        context = hidden / numpy.linalg.norm(hidden, axis=1, keepdims=True)
        scores = []
        for token in best[:options["top_k"]]:
            h = run(model, text + [int(token)])[1][-1]
            alike = (context @ (h / numpy.linalg.norm(h))).max()
            scores.append((1 - options["penalty_alpha"]) * p[token] - options["penalty_alpha"] * alike)
        order = numpy.argsort(-numpy.array(scores))
        if len(order) > 1:
            gap = min(gap, scores[order[0]] - scores[order[1]])
        text.append(int(best[order[0]]))
    return text[len(prompt):], gap


def main():
    content = {}
    for seed, name in enumerate(MODELS):
        model = tiny(name)
        prompts = tiny_prompts(model.config.vocab_size, seed + 20)
        content[name] = []
        for i, options in enumerate(SETTINGS):
            for prompt in prompts[i:] + prompts[:i]:
                ids, gap = search(model, prompt, options, 12)
                if gap > 1e-5:
                    break
            else:
                raise SystemExit(f"every prompt of {options} is too close")
            content[name].append({"prompt": prompt, "options": options, "ids": ids})
    write("contrastive_search.json", content)


if __name__ == "__main__":
    main()
