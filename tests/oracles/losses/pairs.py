"""Writes tests/fixtures/training/losses/pairs.json: trl's ORPO, CPO and reward trainers, values and gradients.

ORPO and CPO run get_batch_loss_metrics on a model with two tokens: all ids are 0, and the logits are log p and
log(1 - p), so that token 0 has the given log-probability and the gradient by it is the one asked for. ORPO's casts to
float32 become float64. Forms of papers that TRL has not (completion-only NLL, sequence-sum NLL) are written out here.
"""
import functools

import torch
from trl import RewardTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOTrainer

from common import Accelerator, Completions, Stub, metrics_of, new_metrics, patched, write

DATA = {
    "pairs": Completions(11, [3, 1, 5, 2, 6] * 2, [4, 1, 7, 3, 5, 2, 6, 3, 1, 4]),
    "one": Completions(12, [2] * 2, [5, 3]),
    "empty": Completions(13, [2, 3, 1] * 2, [3, 0, 2, 4, 1, 0]),  # for what takes no means
}


def batch_of(data):
    batch = {}
    for side in ["chosen", "rejected"]:
        half = data.half(side == "chosen")
        batch[f"{side}_input_ids"] = torch.zeros_like(data.completion_mask[half])
        batch[f"{side}_attention_mask"] = data.attention_mask[half]
        batch[f"{side}_labels"] = torch.where(data.completion_mask[half].bool(), 0, -100)
    return batch


def trainer_of(trainer, log_probs, **fields):
    def model(ids, **_):
        two = torch.stack([log_probs, torch.log(-torch.expm1(log_probs))], -1)
        return Stub(logits=torch.cat([two, torch.zeros(len(ids), 1, 2)], 1))

    stub = Stub(model=model, accelerator=Accelerator(), is_encoder_decoder=False, aux_loss_enabled=False, padding_value=0,
                pad_token_id=0, concatenated_inputs=trainer.concatenated_inputs, get_batch_logps=trainer.get_batch_logps,
                **fields)
    stub.concatenated_forward = functools.partial(trainer.concatenated_forward, stub)
    return stub


def result(name, method, inputs, options, log_probs, loss, metrics, data):
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(log_probs.grad).all(), name
    prompts = data.all_mask[: len(data.lengths) // 2] & ~data.mask[: len(data.lengths) // 2].bool()
    return {"name": name, "method": method, "inputs": inputs, "options": options, "loss": loss.item(),
            "metrics": {k: v for k, v in metrics.items() if not k.startswith("logits/")},
            "gradients": data.pack(log_probs.grad),
            "prompt_gradients": log_probs.grad[: len(prompts)][prompts].tolist()}


def orpo(name, inputs, beta=0.1, completion_only=False):
    data = DATA[inputs]
    log_probs = data.policy.clone().requires_grad_()
    trainer = trainer_of(ORPOTrainer, log_probs, beta=beta)
    trainer.odds_ratio_loss = functools.partial(patched(ORPOTrainer.odds_ratio_loss, {".float()": ".double()"}), trainer)
    loss, metrics = ORPOTrainer.get_batch_loss_metrics(trainer, trainer.model, batch_of(data))
    options = {"beta": beta}
    if completion_only:  # the paper's L_SFT in the place of TRL's
        options["nll"] = "completion"
        half = data.half(True)
        nll = -log_probs[half][data.mask[half].bool()].mean()
        loss = loss - trainer.concatenated_forward(trainer.model, batch_of(data))[4] + nll
        metrics["nll_loss"] = nll.item()
    return result(name, "orpo", inputs, options, log_probs, loss, metrics, data)


def cpo(name, inputs, sequence_sum=False, **options):
    data = DATA[inputs]
    log_probs = data.policy.clone().requires_grad_()
    o = {**dict(loss_type="sigmoid", beta=0.1, label_smoothing=0.0, cpo_alpha=1.0, simpo_gamma=0.5, alpha=0.0), **options}
    if o["loss_type"] == "alphapo":  # as CPOConfig.__post_init__ has it
        config = CPOConfig(output_dir="/tmp/unused", loss_type="alphapo", use_cpu=True, bf16=False)
        o.update(loss_type=config.loss_type, cpo_alpha=config.cpo_alpha)
    trainer = trainer_of(CPOTrainer, log_probs, **o)
    trainer.cpo_loss = functools.partial(CPOTrainer.cpo_loss, trainer)
    loss, metrics = CPOTrainer.get_batch_loss_metrics(trainer, trainer.model, batch_of(data))
    if sequence_sum:  # the paper's -E[log π(y_c|x)]
        options["nll"] = "sequence_sum"
        half = data.half(True)
        nll = -(log_probs[half] * data.mask[half]).sum(1).mean()
        mean = trainer.concatenated_forward(trainer.model, batch_of(data))[4]
        loss = loss + o["cpo_alpha"] * (nll - mean)
        metrics["nll_loss"] = nll.item()
    return result(name, "cpo", inputs, options, log_probs, loss, metrics, data)


def reward(name, pairs, seed, margin=False, coefficient=None):
    random = torch.Generator().manual_seed(seed)
    scores = (3 * torch.randn(2 * pairs, 1, generator=random)).requires_grad_()
    trainer = Stub(model=Stub(training=True), args=Stub(center_rewards_coefficient=coefficient),
                   accelerator=Accelerator(), _metrics=new_metrics(), _total_train_tokens=0, _tp_size=1)
    inputs = {"attention_mask": torch.ones(2 * pairs, 2)}
    if margin:
        inputs["margin"] = torch.rand(pairs, generator=random)
    given = dict(inputs)

    def model(**_):
        return Stub(logits=scores)

    loss = RewardTrainer.compute_loss(trainer, model, inputs)
    loss.backward()
    names = ["min_reward", "mean_reward", "max_reward", "accuracy", "margin"]
    return {"name": name, "method": "reward", "options": {} if coefficient is None else
            {"center_rewards_coefficient": coefficient}, "scores": scores.detach()[:, 0].tolist(),
            "margin": given["margin"].tolist() if margin else [], "loss": loss.item(),
            "metrics": metrics_of(trainer, names), "gradients": scores.grad[:, 0].tolist()}


def cases():
    for inputs in ["pairs", "one"]:
        yield orpo(f"orpo_{inputs}", inputs)
        yield orpo(f"orpo_beta_{inputs}", inputs, beta=0.7)
        yield orpo(f"orpo_completion_{inputs}", inputs, completion_only=True)
        for loss in ["sigmoid", "hinge", "ipo", "simpo"]:
            yield cpo(f"cpo_{loss}_{inputs}", inputs, loss_type=loss)
            yield cpo(f"cpo_{loss}_{inputs}_options", inputs, loss_type=loss, beta=2.0, label_smoothing=0.1,
                      cpo_alpha=0.0, simpo_gamma=1.6)
            yield cpo(f"cpo_{loss}_{inputs}_alpha", inputs, loss_type=loss, alpha=0.1, beta=0.3)
        yield cpo(f"cpo_alphapo_{inputs}", inputs, loss_type="alphapo", alpha=-0.2)
        yield cpo(f"cpo_sequence_sum_{inputs}", inputs, sequence_sum=True, cpo_alpha=0.4)
    yield cpo("cpo_sigmoid_empty", "empty")
    yield cpo("cpo_hinge_empty", "empty", loss_type="hinge")
    yield reward("reward", 6, 21)
    yield reward("reward_margin", 6, 22, margin=True)
    yield reward("reward_centered", 5, 23, coefficient=0.01)
    yield reward("reward_one", 1, 24, margin=True, coefficient=0.3)


def inputs_of(data):
    half = data.half(True)
    prompts = data.all_mask[half] & ~data.mask[half].bool()
    return {"counts": data.counts(), "policy": data.pack(data.policy), "prompt": data.policy[half][prompts].tolist()}


if __name__ == "__main__":
    write("pairs.json", {name: inputs_of(data) for name, data in DATA.items()}, list(cases()))
