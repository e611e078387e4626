"""Writes tests/fixtures/training/losses/dpo.json: every loss type of trl.DPOTrainer, values and gradients.

DPOTrainer._compute_loss runs on given log-probabilities (common.py); its alpha divergence has no float64 and is given
one. Forms of papers that TRL has not (ipo_sum, cdpo, the shift of bco_pair) are written out here.
"""
import torch
import torch.nn.functional as F
from trl import DPOTrainer

from common import Accelerator, Completions, Stub, metrics_of, new_metrics, outputs_of, patched, write

compute_loss = patched(DPOTrainer._compute_loss, {
    ".float()": ".double()", "torch.float32: 80.0}": "torch.float32: 80.0, torch.float64: 80.0}"})
METRICS = ["rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen",
           "logps/rejected", "entropy"]

# Chosen, then rejected; one completion of each is truncated to nothing. In the last set a prompt is empty.
DATA = {
    "pairs": Completions(1, [3, 1, 5, 2, 6, 1] * 2, [4, 1, 7, 3, 0, 5, 2, 6, 3, 0, 4, 5]),
    "far": Completions(2, [2, 2, 1, 1] * 2, [9, 7, 8, 3, 9, 5, 6, 8], noise=4, size=6),
    "one": Completions(3, [2] * 2, [5, 3]),
    "no_prompt": Completions(4, [0, 2, 0, 2], [4, 3, 1, 5]),
}
DEFAULTS = dict(loss_type=["sigmoid"], loss_weights=None, beta=0.1, label_smoothing=0.0, f_divergence_type="reverse_kl",
                f_alpha_divergence_coef=0.5, ld_alpha=None, use_weighting=False, discopop_tau=0.05)


def trainer_of(data, log_probs, options):
    o = {**DEFAULTS, **options}

    def policy(**_):
        return outputs_of(log_probs, data)

    class Policy(torch.nn.Module):
        is_gradient_checkpointing = False
        forward = staticmethod(policy)

    return Stub(model=Policy(), ref_model=lambda **_: outputs_of(data.reference, data), accelerator=Accelerator(),
                args=Stub(gradient_checkpointing_kwargs=None, discopop_tau=o["discopop_tau"]), aux_loss_enabled=False,
                precompute_ref_logps=False, loss_types=o["loss_type"],
                loss_weights=o["loss_weights"] or [1.0] * len(o["loss_type"]), beta=o["beta"],
                label_smoothing=o["label_smoothing"], f_divergence_type=o["f_divergence_type"],
                f_alpha_divergence_coef=o["f_alpha_divergence_coef"], ld_alpha=o["ld_alpha"],
                use_weighting=o["use_weighting"], _metrics=new_metrics(), _total_train_tokens=0, _tp_size=1)


def paper(data, log_probs, options):
    """ipo_sum, cdpo, and bco_pair with a shift."""
    o = {**DEFAULTS, **options}
    n, beta, epsilon = len(data.lengths) // 2, o["beta"], o["label_smoothing"]
    u = ((log_probs - data.reference) * data.mask).sum(1)
    chosen, rejected = u[:n], u[n:]
    if o["loss_type"] == ["ipo_sum"]:
        return ((chosen - rejected - 1 / (2 * beta)) ** 2).mean()
    if o["loss_type"] == ["cdpo"]:
        x = beta * (chosen - rejected)
        return (-(1 - epsilon) * torch.log(torch.sigmoid(x)) - epsilon * torch.log(torch.sigmoid(-x))).mean()
    shift = o["bco_reward_shift"]
    return -(F.logsigmoid(beta * chosen - shift) + F.logsigmoid(-(beta * rejected - shift))).mean()


def case(name, inputs, by_paper=False, **options):
    data = DATA[inputs]
    log_probs = data.policy.clone().requires_grad_()
    trainer = trainer_of(data, log_probs, options)
    batch = {"input_ids": torch.zeros_like(data.completion_mask), "attention_mask": data.attention_mask,
             "completion_mask": data.completion_mask}
    metrics = {}
    if by_paper:
        loss = paper(data, log_probs, options)
    else:
        loss = compute_loss(trainer, trainer.model, batch, False)
        metrics = metrics_of(trainer, METRICS)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(log_probs.grad).all(), name
    return {"name": name, "inputs": inputs, "options": options, "loss": loss.item(), "metrics": metrics,
            "gradients": data.pack(log_probs.grad)}


def inputs_of(data):
    return {"counts": data.counts(), "lengths": data.lengths, "policy": data.pack(data.policy),
            "reference": data.pack(data.reference), "entropy": data.pack(data.entropy),
            "log_sum_sq_probs": data.pack(data.log_sum_sq)}


def cases():
    types = ["sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
             "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"]
    for loss in types:
        smoothing = {"label_smoothing": 1e-3} if loss == "exo_pair" else {}
        yield case(loss, "pairs", loss_type=[loss], **smoothing)
        yield case(f"{loss}_smoothed", "pairs", loss_type=[loss], label_smoothing=0.2, beta=0.6)
        for other in ["one", "no_prompt"]:
            yield case(f"{loss}_{other}", other, loss_type=[loss], **smoothing)
        yield case(f"{loss}_far", "far", loss_type=[loss], label_smoothing=0.1, beta=0.4, discopop_tau=0.5)
    for divergence in ["forward_kl", "js_divergence", "alpha_divergence"]:
        for loss in ["sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft"]:
            yield case(f"{loss}_{divergence}", "pairs", loss_type=[loss], f_divergence_type=divergence,
                       label_smoothing=0.1)
    for coefficient in [0.2, 1.0, 3.0]:
        yield case(f"alpha_{int(10 * coefficient)}", "pairs", f_divergence_type="alpha_divergence",
                   f_alpha_divergence_coef=coefficient)
    data = DATA["far"]  # an exponent beyond 80 in one pair at least, and below it in another
    exponents = 5 * ((data.policy - data.reference) * data.mask).sum(1)
    assert (exponents > 80).any() and (exponents < 80).any()
    yield case("alpha_clamped", "far", f_divergence_type="alpha_divergence", f_alpha_divergence_coef=6.0, beta=1e-34)
    for loss in ["sigmoid", "ipo", "aot", "sppo_hard", "sigmoid_norm"]:
        yield case(f"ld_{loss}", "pairs", loss_type=[loss], ld_alpha=0.3)
    yield case("ld_0", "pairs", ld_alpha=0.0)
    yield case("ld_1", "pairs", ld_alpha=1.0)
    for loss in ["sigmoid", "ipo", "nca_pair", "apo_down"]:
        yield case(f"wpo_{loss}", "pairs", loss_type=[loss], use_weighting=True)
    yield case("mpo", "pairs", loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0])
    yield case("sum", "pairs", loss_type=["sigmoid", "hinge"])
    yield case("ipo_sum", "pairs", True, loss_type=["ipo_sum"], beta=0.3)
    yield case("cdpo", "pairs", True, loss_type=["cdpo"], label_smoothing=0.2)
    yield case("bco_shift", "pairs", True, loss_type=["bco_pair"], bco_reward_shift=0.07)


if __name__ == "__main__":
    write("dpo.json", {name: inputs_of(data) for name, data in DATA.items()}, list(cases()))
