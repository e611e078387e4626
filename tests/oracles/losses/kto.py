"""Writes tests/fixtures/training/losses/kto.json: trl.KTOTrainer._compute_loss, values and gradients.

The model gives one set of log-probabilities for the completions and another for the mismatched ones of the KL estimate.
"""
import functools

import torch
from trl import KTOTrainer

from common import Accelerator, Completions, Stub, metrics_of, new_metrics, outputs_of, write

METRICS = ["kl", "rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected", "entropy"]
DATA = {
    "mixed": (Completions(31, [3, 1, 5, 2, 6, 1, 2], [4, 1, 7, 3, 0, 5, 2]), [1, 0, 1, 1, 0, 0, 1]),
    "chosen_only": (Completions(32, [2, 3, 1], [4, 2, 6]), [1, 1, 1]),
    "rejected_only": (Completions(33, [2, 3, 1], [4, 2, 6]), [0, 0, 0]),
    "one": (Completions(34, [2], [5]), [1]),
}
NAN_ROW = 2  # of "mixed": a reference that is not known


def mismatched(name, above):
    """Completions put to other prompts; wider than the others, so that the model knows them. With `above` the policy
    gives them more than the reference, and the KL estimate is not clamped."""
    rows = len(DATA[name][1])
    data = Completions(90, [9] * rows, [3 + i % 4 for i in range(rows)])
    data.reference = data.policy + (-0.4 if above else 0.1)
    return data


def case(name, inputs, above=True, nan=False, **options):
    data, labels = DATA[inputs]
    o = {**dict(loss_type="kto", beta=0.1, desirable_weight=1.0, undesirable_weight=1.0), **options}
    other = mismatched(inputs, above)
    log_probs = data.policy.clone().requires_grad_()

    class Policy(torch.nn.Module):
        is_gradient_checkpointing = False

        def forward(self, labels, **_):
            if labels.size(1) == data.completion_mask.size(1):
                return outputs_of(log_probs, data)
            return outputs_of(other.policy, other)

    def reference(labels, **_):
        if labels.size(1) == data.completion_mask.size(1):
            return outputs_of(data.reference, data)
        return outputs_of(other.reference, other)

    assert data.completion_mask.size(1) != other.completion_mask.size(1)
    trainer = Stub(model=Policy(), ref_model=reference, accelerator=Accelerator(), aux_loss_enabled=False,
                   args=Stub(gradient_checkpointing_kwargs=None), precompute_ref_logps=nan,
                   calculate_KL=o["loss_type"] == "kto", _metrics=new_metrics(), _total_train_tokens=0, _tp_size=1, **o)
    trainer._compute_kl_logps = functools.partial(KTOTrainer._compute_kl_logps, trainer)
    batch = {"input_ids": torch.zeros_like(data.completion_mask), "attention_mask": data.attention_mask,
             "completion_mask": data.completion_mask, "label": torch.tensor(labels).bool(),
             "KL_input_ids": torch.zeros_like(other.completion_mask), "KL_attention_mask": other.attention_mask,
             "KL_completion_mask": other.completion_mask}
    sums = (data.reference * data.mask).sum(1)
    if nan:
        sums[NAN_ROW] = float("nan")
        batch["ref_logps"], batch["ref_KL_logps"] = sums, (other.reference * other.mask).sum(1)
    loss = KTOTrainer._compute_loss(trainer, trainer.model, batch, False)
    loss.backward()
    assert torch.isfinite(loss), name
    kl = o["loss_type"] == "kto"
    assert not kl or (metrics_of(trainer, ["kl"])["kl"] > 0) == above
    known = [None if value != value else value for value in sums.tolist()]
    return {"name": name, "inputs": inputs, "options": options, "reference_sums": known,
            "kl_policy": (other.policy * other.mask).sum(1).tolist() if kl else [],
            "kl_reference": (other.reference * other.mask).sum(1).tolist() if kl else [],
            "loss": loss.item(), "metrics": {} if nan else metrics_of(trainer, METRICS),
            "gradients": [] if nan else data.pack(log_probs.grad)}  # TRL's gradient of a NaN row is NaN


def cases():
    for inputs in DATA:
        for loss in ["kto", "apo_zero_unpaired"]:
            yield case(f"{loss}_{inputs}", inputs, loss_type=loss)
            yield case(f"{loss}_{inputs}_weighted", inputs, loss_type=loss, beta=0.5, desirable_weight=1.3,
                       undesirable_weight=0.4)
    yield case("kto_clamped", "mixed", above=False, beta=0.3)
    yield case("kto_nan", "mixed", nan=True)


if __name__ == "__main__":
    inputs = {name: {"counts": data.counts(), "labels": labels, "policy": data.pack(data.policy),
                     "entropy": data.pack(data.entropy)} for name, (data, labels) in DATA.items()}
    write("kto.json", inputs, list(cases()))
