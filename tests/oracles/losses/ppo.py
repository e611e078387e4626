"""Writes tests/fixtures/training/losses/ppo.json: PPO, values and gradients. Usage: ppo.py trl-0.24.0-py3-none-any.whl

TRL 1.16 has no PPO. Cases "trl" run lines of PPOTrainer.train of TRL 0.24.0, read from its wheel, as they are: rewards,
whitening, advantages, and the losses. Cases "paper" follow the papers step by step in numpy: the score at the last
token, the recursion of GAE, the clipped objectives, and their gradients by hand.
"""
import ast
import sys
import zipfile
from typing import Optional

import numpy as np
import torch

from common import Stub, lines_between, write

WIDTH = 7
DEFAULTS = dict(kl_coef=0.05, kl_estimator="k1", gamma=1.0, lam=0.95, cliprange=0.2, cliprange_value=0.2, vf_coef=0.1,
                whiten_rewards=False, missing_eos_penalty=None)


def trl_lines(wheel):
    with zipfile.ZipFile(wheel) as files:
        assert "Version: 0.24.0" in files.read("trl-0.24.0.dist-info/METADATA").decode()
        trainer, core = (files.read(f"trl/{name}.py").decode() for name in ["trainer/ppo_trainer", "core"])
    scope = {"torch": torch, "Optional": Optional}
    functions = [node for node in ast.parse(core).body if getattr(node, "name", "").startswith("masked_")]
    for node in functions:
        exec(ast.get_source_segment(core, node), scope)
    return {"scope": scope, "targets": lines_between(trainer, "contain_eos_token =", "empty_cache()"),
            "loss": lines_between(trainer, "new_logprobs = torch.masked_fill(", "accelerator.backward(loss)"),
            "clipped": lines_between(trainer, "pg_clipfrac = masked_mean(", "prob_dist ="),
            "objective": lines_between(trainer, "mean_kl =", "eps =")}


def draw(seed, lengths):
    random = torch.Generator().manual_seed(seed)
    shape = (len(lengths), WIDTH)

    def normal(size):
        return size * torch.randn(shape, generator=random)

    log_probs = -normal(2).abs()
    return dict(lengths=torch.tensor(lengths), log_probs=log_probs, ref_log_probs=-(log_probs + normal(0.3)).abs(),
                values=normal(1), scores=2 * torch.randn(len(lengths), generator=random),
                new_log_probs=-(log_probs + normal(0.3)).abs(), change=normal(0.3))


def trl(name, lines, data, ended, **options):
    o = Stub(**{**DEFAULTS, **options})
    lengths, rows = data["lengths"], len(data["lengths"])
    ids = torch.where(torch.tensor(ended), 9, 1)[:, None].expand(rows, WIDTH)
    scope = {**lines["scope"], "self": Stub(args=o, processing_class=Stub(eos_token_id=9)), "args": o, "responses": ids,
             "postprocessed_responses": ids, "scores": data["scores"].clone(), "sequence_lengths": lengths - 1,
             "logprobs": data["log_probs"], "ref_logprobs": data["ref_log_probs"], "values": data["values"],
             "INVALID_LOGPROB": 1.0}
    exec(lines["targets"], scope)
    exec(lines["objective"], scope)
    new = data["new_log_probs"].clone().requires_grad_()
    predicted = (scope["values"] + data["change"]).detach().requires_grad_()
    scope.update(new_logprobs=new, context_length=1, micro_batch_inds=slice(None), mb_advantage=scope["advantages"],
                 vpred_temp=torch.cat([predicted, torch.zeros(rows, 1)], 1)[..., None], mb_return=scope["returns"],
                 mb_values=scope["values"], mb_logprobs=scope["logprobs"])
    exec(lines["loss"], scope)
    exec(lines["clipped"], scope)
    scope["loss"].backward()
    position, action = ~scope["padding_mask_p1"], ~scope["padding_mask"]
    metrics = {"objective/kl": scope["mean_kl"], "objective/non_score_reward": scope["mean_non_score_reward"],
               "objective/rlhf_reward": scope["rlhf_reward"], "objective/scores": scope["scores"].mean(),
               "loss/policy_avg": scope["pg_loss"], "loss/value_avg": scope["vf_loss"],
               "val/clipfrac_avg": scope["vf_clipfrac"], "policy/clipfrac_avg": scope["pg_clipfrac"]}

    def pack(values):
        return values[position].tolist()

    return {"name": name, "options": options, "counts": position.sum(1).tolist(), "is_action": pack(action),
            "ended": ended, "log_probs": pack(data["log_probs"]), "ref_log_probs": pack(data["ref_log_probs"]),
            "values": pack(scope["values"]), "scores": data["scores"].tolist(), "rewards": pack(scope["rewards"]),
            "advantages": pack(scope["advantages"]), "returns": pack(scope["returns"]),
            "new_log_probs": pack(new.detach()), "new_values": pack(predicted.detach()), "loss": scope["loss"].item(),
            "gradients": pack(new.grad), "value_gradients": pack(predicted.grad),
            "metrics": {key: value.item() for key, value in metrics.items()}}


def kl_of(log_probs, reference, estimator):
    d = reference - log_probs
    return {"k1": -d, "k2": d * d / 2, "k3": np.exp(d) - 1 - d}[estimator]


def advantages_of(rewards, values, gamma, lam):
    """Σ (γλ)^k δ_{t+k}, written as that sum (Schulman et al. 2016, eq. 16)."""
    count = len(rewards)
    following = np.append(values[1:], 0.0)
    delta = rewards + gamma * following - values
    return np.array([sum((gamma * lam) ** k * delta[t + k] for k in range(count - t)) for t in range(count)])


def whiten(x, shift):
    mean, variance = x.mean(), x.var(ddof=1)
    return (x - mean) / np.sqrt(variance + 1e-8) + (0 if shift else mean)


def paper(name, data, ended, **options):
    o = {**DEFAULTS, "entropy_coef": 0.0, "whiten_advantages": True, **options}
    lengths = data["lengths"].tolist()
    rows = {key: [value[i, :n].numpy() for i, n in enumerate(lengths)] for key, value in data.items()
            if value.dim() == 2}
    kl = [kl_of(p, q, o["kl_estimator"]) for p, q in zip(rows["log_probs"], rows["ref_log_probs"])]
    scores = data["scores"].numpy() - np.where(ended, 0.0, o["missing_eos_penalty"] or 0.0)
    rewards = [-o["kl_coef"] * k for k in kl]
    for reward, score in zip(rewards, scores):
        reward[-1] += score
    if o["whiten_rewards"]:
        flat = whiten(np.concatenate(rewards), False)
        rewards = np.split(flat, np.cumsum(lengths)[:-1])
    advantages = [advantages_of(r, v, o["gamma"], o["lam"]) for r, v in zip(rewards, rows["values"])]
    values = np.concatenate(rows["values"])
    advantages = np.concatenate(advantages)
    returns = advantages + values
    if o["whiten_advantages"]:
        advantages = whiten(advantages, True)

    new, old = np.concatenate(rows["new_log_probs"]), np.concatenate(rows["log_probs"])
    predicted = values + np.concatenate(rows["change"])
    count, ratio = len(new), np.exp(new - old)
    clipped = np.clip(ratio, 1 - o["cliprange"], 1 + o["cliprange"])
    objective = np.minimum(ratio * advantages, clipped * advantages)
    policy_gradient = np.where(ratio * advantages <= clipped * advantages, -ratio * advantages, 0) / count
    squares, inside = (predicted - returns) ** 2, np.ones(count, bool)
    if o["cliprange_value"] is not None:
        near = values + np.clip(predicted - values, -o["cliprange_value"], o["cliprange_value"])
        inside = (predicted - returns) ** 2 >= (near - returns) ** 2
        squares = np.maximum(squares, (near - returns) ** 2)
    value_gradient = o["vf_coef"] * np.where(inside, predicted - returns, 0) / count
    entropy = np.linspace(0.5, 2.5, count)
    loss = -objective.mean() + o["vf_coef"] * 0.5 * squares.mean() - o["entropy_coef"] * entropy.mean()
    sums = [k.sum() for k in kl]
    metrics = {"objective/kl": np.mean(sums), "objective/scores": scores.mean(),
               "objective/entropy": np.mean([-p.sum() for p in rows["log_probs"]]),
               "objective/non_score_reward": -o["kl_coef"] * np.mean(sums),
               "objective/rlhf_reward": scores.mean() - o["kl_coef"] * np.mean(sums),
               "policy/approxkl_avg": 0.5 * ((new - old) ** 2).mean(), "val/ratio": ratio.mean(),
               "policy/clipfrac_avg": (clipped * advantages < ratio * advantages).mean(),
               "loss/policy_avg": -objective.mean(), "loss/value_avg": 0.5 * squares.mean(),
               "policy/entropy_avg": entropy.mean()}
    return {"name": name, "options": options, "counts": lengths, "is_action": [], "ended": ended, "log_probs": old.tolist(),
            "ref_log_probs": np.concatenate(rows["ref_log_probs"]).tolist(), "values": values.tolist(),
            "scores": data["scores"].tolist(), "rewards": np.concatenate(rewards).tolist(),
            "advantages": advantages.tolist(), "returns": returns.tolist(), "new_log_probs": new.tolist(),
            "new_values": predicted.tolist(), "entropy": entropy.tolist(), "loss": loss,
            "gradients": policy_gradient.tolist(), "value_gradients": value_gradient.tolist(),
            "entropy_gradients": [-o["entropy_coef"] / count] * count, "metrics": metrics}


def cases(lines):
    some, all_ended = [True, False, True, True], [True] * 4
    mixed, full = draw(61, [4, WIDTH, 1, 5]), draw(62, [WIDTH, WIDTH, 3, 2])
    yield trl("trl", lines, mixed, all_ended)
    yield trl("trl_k3", lines, full, all_ended, kl_estimator="k3", gamma=0.9, lam=0.8)
    yield trl("trl_options", lines, mixed, some, whiten_rewards=True, missing_eos_penalty=1.0, cliprange=0.1,
              cliprange_value=0.05, vf_coef=0.5, kl_coef=0.2)
    yield paper("paper", mixed, all_ended)
    yield paper("paper_k2", full, some, kl_estimator="k2", missing_eos_penalty=1.0, gamma=0.97)
    yield paper("paper_k3", mixed, all_ended, kl_estimator="k3", lam=0.7, whiten_rewards=True)
    yield paper("paper_plain", mixed, all_ended, whiten_advantages=False, cliprange_value=None, entropy_coef=0.01)
    yield paper("paper_lam_1", full, all_ended, lam=1.0, whiten_advantages=False)
    yield paper("paper_lam_0", full, all_ended, lam=0.0, gamma=0.5)


if __name__ == "__main__":
    write("ppo.json", {}, list(cases(trl_lines(sys.argv[1]))))
