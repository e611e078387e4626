"""What the oracles of losses share: TRL's trainers without a trainer, and the fixtures' format.

TRL keeps a loss inside a trainer's method. Here that method runs, as it is, on an object that has the attributes it
reads, whose model returns given log-probabilities, in float64. Where TRL casts to float32, or has no entry for float64,
`patched` replaces those words of its source, and nothing else. Written with trl 1.16.0 and torch 2.11.0.

A fixture is JSON: "inputs" (name to tensors, packed), and "cases" of {name, inputs, options, loss, metrics, gradients}.
"""
import collections
import inspect
import json
import os
import textwrap
import types

import torch

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "fixtures", "training", "losses")
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
Stub = types.SimpleNamespace


class Accelerator:
    """One process."""
    device = torch.device("cpu")
    num_processes = 1
    process_index = 0
    sync_gradients = True

    def gather(self, x):
        return x

    def gather_for_metrics(self, x):
        return x

    def reduce(self, x, reduction):
        return x

    def pad_across_processes(self, x, dim, pad_index):
        return x


def patched(function, replacements, **names):
    """The function with words of its source replaced; every one must be there."""
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in replacements.items():
        assert old in source, old
        source = source.replace(old, new)
    scope = {**function.__globals__, **names}
    exec(compile(source, function.__name__, "exec"), scope)
    return scope[function.__name__]


def lines_between(source, first, last):
    """Lines of a source from the one that begins with `first` to the one before that begins with `last`, dedented."""
    lines = source.split("\n")
    begin = next(i for i, line in enumerate(lines) if line.strip().startswith(first))
    end = next(i for i, line in enumerate(lines) if i > begin and line.strip().startswith(last))
    return textwrap.dedent("\n".join(lines[begin:end]))


class Completions:
    """Random log-probabilities of completions with prompts of unequal lengths, padded on the right, as a model gives them:
    column t has the log-probability of token t + 1, and 0 where that is no token of a completion."""

    def __init__(self, seed, prompts, lengths, noise=0.3, size=1.5):
        random = torch.Generator().manual_seed(seed)
        self.prompts, self.lengths = prompts, lengths
        width = max(p + n for p, n in zip(prompts, lengths))
        rows = len(lengths)
        position = torch.arange(width).expand(rows, width)
        prompt, total = torch.tensor(prompts)[:, None], torch.tensor([p + n for p, n in zip(prompts, lengths)])[:, None]
        self.completion_mask = ((position >= prompt) & (position < total)).long()
        self.attention_mask = (position < total).long()
        self.mask = self.completion_mask[:, 1:]
        shape = (rows, width - 1)
        self.policy = -torch.empty(shape).exponential_(1 / size, generator=random)
        self.reference = self.policy + noise * torch.randn(shape, generator=random)
        self.reference = -self.reference.abs()
        self.old = -(self.policy + noise * torch.randn(shape, generator=random)).abs()
        # float32 holds it exactly: TRL takes quantiles of entropies in float32
        self.entropy = torch.rand(shape, generator=random).float().double() * 4
        self.log_sum_sq = -torch.rand(shape, generator=random) * 3
        self.all_mask = self.attention_mask[:, 1:].bool()

    def pack(self, values):
        return values[self.mask.bool()].tolist()

    def counts(self):
        return self.mask.sum(1).tolist()

    def half(self, first):
        n = len(self.lengths) // 2
        return slice(0, n) if first else slice(n, 2 * n)


def outputs_of(log_probs, data):
    """What a model with TRL's fused head returns."""
    zero = torch.zeros_like(log_probs)
    return Stub(log_probs=log_probs * data.mask, entropy=data.entropy, mean_logits=zero, is_top1=zero.bool(),
                log_sum_sq_probs=data.log_sum_sq)


def metrics_of(trainer, names):
    found = trainer._metrics["train"]
    return {name: found[name][-1] for name in names if name in found and found[name][-1] == found[name][-1]}


def new_metrics():
    return {"train": collections.defaultdict(list), "eval": collections.defaultdict(list)}


def write(name, inputs, cases):
    os.makedirs(FIXTURES, exist_ok=True)
    with open(os.path.join(FIXTURES, name), "w") as file:
        file.write('{"inputs": {\n')
        file.write(",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in inputs.items()))
        file.write('\n}, "cases": [\n')
        file.write(",\n".join("  " + json.dumps(case, allow_nan=False) for case in cases))
        file.write("\n]}\n")
