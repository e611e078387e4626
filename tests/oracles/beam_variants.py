"""Writes tests/fixtures/generation/beam_variants.json: diverse and constrained beam search, by references written from
the papers, on logits of transformers over three tiny models.

- Diverse: Vijayakumar et al. 2018 (arXiv 1610.02424), algorithm 1 with the Hamming distance: groups go one after the
  other, and from the log-probability of a token `diversity_penalty` is taken for each beam of an earlier group that took
  it in this step.
- Constrained: Hokamp and Liu 2017 (arXiv 1704.07138), with the dynamic beam allocation of Post and Vilar 2018 (arXiv
  1804.06609): candidates are the best of all, what brings a constraint on, and the best of each beam; banks by tokens of
  constraints that stand are given beams in turn; EOS only behind all constraints.

References are plain: no cache, every candidate sorted, phrases found by looking through the text. What ends a search,
and scores, are as in transformers' beam search (length_penalty, early_stopping). A setting is kept only where float64
gives the same. Written with transformers 5.23.0, torch 2.11.0.
"""
import torch

from beam_search import MODELS, likely, tiny, tiny_prompts, write

DIVERSE = [
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    {"num_beams": 4, "num_beam_groups": 4, "diversity_penalty": 1.0},
    {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 0.2, "early_stopping": True},
    {"num_beams": 6, "num_beam_groups": 2, "diversity_penalty": 2.0, "early_stopping": "never", "length_penalty": 0.5},
    {"num_beams": 3, "num_beam_groups": 3, "diversity_penalty": 5.0, "length_penalty": 0.0},
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.0},
]
CONSTRAINED = [  # lengths of phrases: one list a constraint
    {"num_beams": 4, "lengths": [[1]]},
    {"num_beams": 4, "lengths": [[2]], "early_stopping": True},
    {"num_beams": 6, "lengths": [[3], [1]]},
    {"num_beams": 5, "lengths": [[2, 3]], "length_penalty": 0.5},
    {"num_beams": 5, "lengths": [[1, 2], [2]], "early_stopping": "never"},
    {"num_beams": 2, "lengths": [[3], [3]], "max_new_tokens": 4},  # no room for both
]


def logits_of(model):
    def log_probs(ids):
        with torch.no_grad():
            return model(torch.tensor([ids])).logits[0, -1].log_softmax(-1).tolist()
    return log_probs


class Pool:
    """Finished hypotheses of one group."""

    def __init__(self, size, options):
        self.size, self.options, self.found = size, options, []

    def scored(self, total, length):
        return total / length ** self.options.get("length_penalty", 1.0)

    def add(self, ids, total, met=True):
        self.found.append((met, self.scored(total, len(ids)), ids))
        self.found.sort(key=lambda one: (not one[0], -one[1]))
        del self.found[self.size:]

    def over(self, best, length):
        if len(self.found) < self.size:
            return False
        rule = self.options.get("early_stopping", False)
        if rule is True:
            return True
        longest = rule == "never" and self.options.get("length_penalty", 1.0) > 0
        return self.scored(best, self.options["max_new_tokens"] if longest else length) <= self.found[-1][1]


def step(beams, order, pool, options, length, met=lambda ids: True):
    """Those of `order`, [(total, ids)], that go on."""
    width, going = pool.size, []
    for place, (total, ids) in enumerate(order):
        if ids[-1] in options["eos_token_id"] or length == options["max_new_tokens"]:
            if place < width:
                pool.add(ids, total, met(ids))
        elif len(going) < width:
            going.append((total, ids))
    if going and pool.over(max(total for total, _ in going), length):
        going = []
    return going


def diverse(log_probs, prompt, options):
    groups = options["num_beam_groups"]
    width = options["num_beams"] // groups
    pools = [Pool(width, options) for _ in range(groups)]
    beams = [[(0.0, [])] for _ in range(groups)]
    for length in range(1, options["max_new_tokens"] + 1):
        taken = []
        for g in range(groups):
            order = []
            for total, ids in beams[g]:
                for token, value in enumerate(log_probs(prompt + ids)):
                    value -= options["diversity_penalty"] * taken.count(token)
                    order.append((total + value, ids + [token]))
            order.sort(key=lambda one: -one[0])
            beams[g] = step(beams[g], order, pools[g], options, length)
            taken += [ids[-1] for _, ids in beams[g]]
    found = [one for pool in pools for one in pool.found]
    return sorted(found, key=lambda one: -one[1])


def standing(ids, phrases):
    """Tokens of a constraint that `ids` holds, and whether that is all."""
    for phrase in phrases:
        if any(ids[i:i + len(phrase)] == phrase for i in range(len(ids))):
            return max(map(len, phrases)), True
    ends = [n for phrase in phrases for n in range(1, len(phrase)) if ids[-n:] == phrase[:n]]
    return max(ends, default=0), False


def constrained(log_probs, prompt, options):
    constraints, width = options["force_words_ids"], options["num_beams"]
    met = lambda ids: all(standing(ids, phrases)[1] for phrases in constraints)
    bank_of = lambda ids: sum(standing(ids, phrases)[0] for phrases in constraints)
    pool, beams = Pool(width, options), [(0.0, [])]
    for length in range(1, options["max_new_tokens"] + 1):
        everything, wanted = [], []
        for total, ids in beams:
            row = [(total + value, ids + [token]) for token, value in enumerate(log_probs(prompt + ids))
                   if token not in options["eos_token_id"] or met(ids)]
            everything += row
            wanted.append(max(row))
            for phrases in constraints:
                if standing(ids, phrases)[1]:
                    continue
                for phrase in phrases:
                    longest = max(n for n in range(len(phrase)) if n == 0 or ids[-n:] == phrase[:n])
                    wanted += [one for one in row if one[1][-1] == phrase[longest]]
        everything.sort(key=lambda one: -one[0])
        candidates = everything[:max(2, 1 + len(options["eos_token_id"])) * width]
        for one in wanted:
            if one not in candidates:
                candidates.append(one)
        candidates.sort(key=lambda one: -one[0])
        banks = {}
        for one in candidates:
            banks.setdefault(bank_of(one[1]), []).append(one)
        order = []
        for turn in range(len(candidates)):
            order += [banks[bank][turn] for bank in sorted(banks, reverse=True) if turn < len(banks[bank])]
        beams = step(beams, order, pool, options, length, met)
        if not beams:
            break
    return pool.found


def cases(model, prompts, settings, reference):
    for i, options in enumerate(settings):
        for prompt in prompts[i % len(prompts):] + prompts:
            found = reference(logits_of(model.float()), prompt, options)
            again = reference(logits_of(model.double()), prompt, options)
            if [one[2] for one in found] == [one[2] for one in again]:
                break
        else:
            raise SystemExit(f"every prompt of {options} hangs on rounding")
        yield {"prompt": prompt, "options": options,
               "hypotheses": [{"ids": ids, "score": score, "met": met} for met, score, ids in found]}


def main():
    content = {}
    for seed, name in enumerate(MODELS):
        torch.manual_seed(seed)
        model = tiny(name)
        vocabulary = model.config.vocab_size
        prompts = tiny_prompts(vocabulary, seed)
        ends = likely(model, prompts[0], 2)
        common = lambda i: {"max_new_tokens": 9, "eos_token_id": [ends[:1], ends, [2]][i % 3]}
        generator = torch.Generator().manual_seed(seed + 10)
        allowed = [i for i in range(3, vocabulary) if i not in ends]
        phrase = lambda n: [allowed[int(torch.randint(len(allowed), (1,), generator=generator))] for _ in range(n)]
        forced = []
        for i, setting in enumerate(CONSTRAINED):
            options = {**common(i), **setting}
            options["force_words_ids"] = [[phrase(n) for n in lengths] for lengths in options.pop("lengths")]
            forced.append(options)
        # Phrases that begin again within themselves, and overlap each other.
        a, b, c = phrase(3)
        forced.append({**common(0), "num_beams": 4, "force_words_ids": [[[a, a, b]], [[a, b, c]]]})
        groups = [{**common(i), **setting} for i, setting in enumerate(DIVERSE)]
        content[name] = {"diverse": list(cases(model, prompts, groups, diverse)),
                         "constrained": list(cases(model, prompts, forced, constrained))}
        missed = sum(not one["met"] for case in content[name]["constrained"] for one in case["hypotheses"])
        print(name, missed, "hypotheses miss a constraint")
    write("beam_variants.json", content)


if __name__ == "__main__":
    main()
