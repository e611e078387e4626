"""Writes tests/fixtures/training/losses/groups.json: trl.GRPOTrainer and RLOOTrainer, losses with gradients, advantages.

The losses are the trainers' _compute_loss on given log-probabilities. Advantages are computed in the middle of
_generate_and_score_completions, behind the generation: those lines of its source run here, as they are. RLOO's
`reinforce`, the paper's form, is written out.
"""
import inspect
import itertools

import torch
from trl import GRPOTrainer, RLOOTrainer
from trl.trainer import grpo_trainer, rloo_trainer

from common import Accelerator, Completions, Stub, lines_between, metrics_of, new_metrics, write

# Lengths of 0: truncated to nothing.
DATA = {
    "eight": Completions(41, [3, 1, 5, 2, 3, 1, 5, 2], [4, 1, 7, 3, 0, 5, 2, 6], noise=0.35),
    "one": Completions(42, [2], [5], noise=0.35),
    "far": Completions(43, [2, 2, 2, 2], [6, 8, 3, 7], noise=2.5),
}
ADVANTAGES = {"eight": [0.9, -1.2, 0.3, -0.4, 1.5, -0.7, 0.0, 0.6], "one": [-0.8], "far": [1.1, -0.9, 0.4, -0.6]}
GRPO_METRICS = ["kl", "entropy", "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean",
                "clip_ratio/low_min", "clip_ratio/high_max", "cispo_clip_ratio", "vespo/phi_seq_mean", "policy_loss"]
GRPO = dict(loss_type="dapo", importance_sampling_level="token", beta=0.0, use_bias_correction_kl=True, epsilon=0.2,
            epsilon_high=None, delta=None, max_completion_length=512, sapo_temperature_pos=1.0, sapo_temperature_neg=1.05,
            vespo_k_pos=2.0, vespo_lambda_pos=3.0, vespo_k_neg=3.0, vespo_lambda_neg=2.0, top_entropy_quantile=1.0,
            entropy_coef=0.0, off_policy_mask_threshold=None)


def sampling_ratio(data):
    """Of trainer's to sampler's probability, 1 at padding; some 0, as vLLM's masks have it."""
    random = torch.Generator().manual_seed(5)
    ratio = torch.exp(0.2 * torch.randn(data.policy.shape, generator=random))
    ratio[0, -2:] = 0
    return torch.where(data.mask.bool(), ratio, 1.0)


def grpo(name, inputs, old=True, items=0, steps=1, sampled=False, **options):
    data = DATA[inputs]
    o = {**GRPO, **options}
    log_probs = data.policy.clone().requires_grad_()
    entropy = data.entropy.clone().requires_grad_()
    trainer = Stub(model=Stub(training=True), accelerator=Accelerator(), aux_loss_enabled=False, beta=o["beta"],
                   loss_type=o["loss_type"], importance_sampling_level=o["importance_sampling_level"],
                   epsilon_low=o["epsilon"], epsilon_high=o["epsilon"] if o["epsilon_high"] is None else o["epsilon_high"],
                   top_entropy_quantile=o["top_entropy_quantile"], max_completion_length=o["max_completion_length"],
                   off_policy_mask_threshold=o["off_policy_mask_threshold"], entropy_coef=o["entropy_coef"],
                   _entropy_bonus_enabled=o["entropy_coef"] != 0, use_adaptive_entropy=False, use_vllm=sampled,
                   vllm_importance_sampling_correction=sampled, current_gradient_accumulation_steps=steps,
                   _metrics=new_metrics(), get_off_policy_mask=GRPOTrainer.get_off_policy_mask,
                   get_gamma_weights=GRPOTrainer.get_gamma_weights,
                   args=Stub(delta=o["delta"], use_bias_correction_kl=o["use_bias_correction_kl"], steps_per_generation=steps,
                             **{k: v for k, v in o.items() if k.startswith(("sapo", "vespo"))}))
    trainer.get_high_entropy_mask = lambda *a: GRPOTrainer.get_high_entropy_mask(trainer, *a)
    trainer._get_per_token_logps_and_entropies = lambda *a, **k: (log_probs, entropy, None)
    rows = len(data.lengths)
    batch = {"prompt_ids": torch.zeros(rows, 1).long(), "prompt_mask": torch.ones(rows, 1).long(),
             "completion_ids": torch.zeros_like(data.mask), "completion_mask": data.mask,
             "advantages": torch.tensor(ADVANTAGES[inputs]), "ref_per_token_logps": data.reference,
             "num_items_in_batch": torch.tensor(items or data.mask.sum().item())}
    if old:
        batch["old_per_token_logps"] = data.old
    if sampled:
        batch["importance_sampling_ratio"] = sampling_ratio(data)
    if o["off_policy_mask_threshold"] is not None:  # some completions of A < 0 are kept, some are not
        kept = GRPOTrainer.get_off_policy_mask(batch["advantages"][:, None], data.policy, data.old, data.mask,
                                               o["off_policy_mask_threshold"])[batch["advantages"] < 0]
        assert kept.any() and not kept.all()
    loss = GRPOTrainer._compute_loss(trainer, trainer.model, batch)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(log_probs.grad).all(), name
    return {"name": name, "method": "grpo", "inputs": inputs, "options": options, "old": old, "items": items,
            "steps": steps, "sampled": sampled, "loss": loss.item(), "metrics": metrics_of(trainer, GRPO_METRICS),
            "gradients": data.pack(log_probs.grad),
            "entropy_gradients": data.pack(entropy.grad) if o["entropy_coef"] else []}


def rloo(name, inputs, reinforce=False, **options):
    data = DATA[inputs]
    log_probs = data.policy.clone().requires_grad_()
    epsilon, high = options.get("epsilon", 0.2), options.get("epsilon_high", options.get("epsilon", 0.2))
    trainer = Stub(model=Stub(training=True), accelerator=Accelerator(), aux_loss_enabled=False, epsilon_low=epsilon,
                   epsilon_high=high, _metrics=new_metrics())
    trainer._get_per_token_logps_and_entropies = lambda *a, **k: (log_probs, data.entropy, None)
    rows = len(data.lengths)
    old = (data.old * data.mask).sum(1)
    advantages = torch.tensor(ADVANTAGES[inputs])
    batch = {"prompt_ids": torch.zeros(rows, 1).long(), "prompt_mask": torch.ones(rows, 1).long(),
             "completion_ids": torch.zeros_like(data.mask), "completion_mask": data.mask, "advantages": advantages,
             "old_logps": old}
    loss = RLOOTrainer._compute_loss(trainer, trainer.model, batch)
    if reinforce:
        loss, options = -(advantages * (log_probs * data.mask).sum(1)).mean(), {"objective": "reinforce"}
    loss.backward()
    return {"name": name, "method": "rloo", "inputs": inputs, "options": options, "old_sums": old.tolist(),
            "loss": loss.item(), "metrics": metrics_of(trainer, ["entropy"] + GRPO_METRICS[2:7]),
            "gradients": data.pack(log_probs.grad)}


ADVANTAGE_LINES = {
    "grpo": lines_between(inspect.getsource(GRPOTrainer._generate_and_score_completions), "unscorable_mask =",
                          "# Log prompts and completions"),
    "rloo": lines_between(inspect.getsource(RLOOTrainer._generate_and_score_completions), "unscorable_mask =",
                          "# Log prompts and completions"),
}
nan = float("nan")
REWARDS = {
    "plain": [[1.0], [0.0], [0.5], [2.0], [1.0], [1.0], [1.0], [1.0], [0.3], [-0.7], [0.1], [0.2]],
    "two": [[1.0, 0.2], [0.0, 0.1], [0.5, -1.0], [2.0, 0.3], [1.0, 0.4], [0.0, 0.4], [1.0, 0.5], [0.0, 0.6]],
    "nan": [[1.0, nan], [nan, 0.1], [nan, nan], [2.0, 0.3], [nan, nan], [nan, nan], [nan, 0.5], [nan, nan]],
}


def advantages(name, method, rewards, num_generations, weights=None, kl=None, **options):
    values = torch.tensor(REWARDS[rewards])
    o = {**dict(scale_rewards="group", multi_objective_aggregation="sum_then_normalize", beta=0.05 if kl else 0.0,
                normalize_advantages=False, reward_clip_range=None), **options}
    functions = values.size(1)
    trainer = Stub(reward_weights=torch.tensor(weights or [1.0] * functions), reward_funcs=[None] * functions,
                   reward_func_names=[str(i) for i in range(functions)], accelerator=Accelerator(),
                   _metrics=new_metrics(), **o)
    module = grpo_trainer if method == "grpo" else rloo_trainer
    kl = kl or [0.0] * len(values)
    scope = {**vars(module), "self": trainer, "rewards_per_func": values, "num_generations": num_generations,
             "device": torch.device("cpu"), "prompts": values, "mode": "train", "gather": lambda x: x,
             "old_per_token_logps": torch.tensor(kl)[:, None], "ref_per_token_logps": torch.zeros(len(values), 1),
             "completion_mask": torch.ones(len(values), 1)}
    exec(ADVANTAGE_LINES[method], scope)
    options = {**options, "beta": o["beta"]} if method == "rloo" else options
    if weights:
        options["reward_weights"] = weights
    return {"name": name, "method": f"{method}_advantages", "options": options, "num_generations": num_generations,
            "rewards": [[None if x != x else x for x in row] for row in values.tolist()], "kl": kl,
            "advantages": scope["advantages"].tolist(),
            "metrics": metrics_of(trainer, ["reward", "reward_std", "frac_reward_zero_std"])}


def grpo_cases():
    types = ["grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"]
    for loss, level in itertools.product(types, ["token", "sequence"]):
        base = dict(loss_type=loss, importance_sampling_level=level)
        yield grpo(f"{loss}_{level}", "eight", **base)
        yield grpo(f"{loss}_{level}_options", "eight", beta=0.04, epsilon=0.1, epsilon_high=0.3, items=70, steps=3,
                   max_completion_length=9, **base)
        yield grpo(f"{loss}_{level}_first_step", "eight", old=False, beta=0.1, use_bias_correction_kl=False, **base)
        yield grpo(f"{loss}_{level}_far", "far", delta=2.5, epsilon_high=1.2, **base)
        yield grpo(f"{loss}_{level}_one", "one", **base)
    for loss in ["grpo", "dapo", "cispo", "vespo", "luspo"]:
        yield grpo(f"{loss}_sampled", "eight", loss_type=loss, sampled=True, beta=0.04)
        yield grpo(f"{loss}_entropy_mask", "eight", loss_type=loss, top_entropy_quantile=0.4, beta=0.04)
        yield grpo(f"{loss}_bonus", "eight", loss_type=loss, entropy_coef=0.02, steps=2)
    yield grpo("bonus_masked", "eight", entropy_coef=0.02, top_entropy_quantile=0.4)
    yield grpo("off_policy", "eight", off_policy_mask_threshold=0.06)
    yield grpo("off_policy_far", "far", loss_type="grpo", off_policy_mask_threshold=-1.0, beta=0.1)


def advantage_cases():
    for scale in ["group", "batch", "none"]:
        yield advantages(f"grpo_{scale}", "grpo", "plain", 4, scale_rewards=scale)
        yield advantages(f"grpo_{scale}_nan", "grpo", "nan", 4, scale_rewards=scale, weights=[1.0, 0.5])
        yield advantages(f"grpo_{scale}_alone", "grpo", "plain", 1, scale_rewards=scale)
    for rewards in ["plain", "two", "nan"]:
        yield advantages(f"grpo_gdpo_{rewards}", "grpo", rewards, 4, multi_objective_aggregation="normalize_then_sum")
        yield advantages(f"rloo_{rewards}", "rloo", rewards, 4)
        yield advantages(f"rloo_{rewards}_normalized", "rloo", rewards, 4, normalize_advantages=True)
        yield advantages(f"rloo_{rewards}_pairs", "rloo", rewards, 2)
    yield advantages("rloo_alone", "rloo", "plain", 1)
    yield advantages("rloo_clipped", "rloo", "two", 4, weights=[0.7, 2.0], reward_clip_range=[-0.4, 0.8])
    yield advantages("rloo_kl", "rloo", "two", 4, kl=[0.1, -0.2, 0.5, 1.0, 0.0, 2.0, 0.3, 0.7])


def cases():
    yield from grpo_cases()
    for inputs in DATA:
        yield rloo(f"rloo_{inputs}", inputs)
        yield rloo(f"rloo_{inputs}_high", inputs, epsilon=0.1, epsilon_high=0.4)
        yield rloo(f"rloo_{inputs}_reinforce", inputs, reinforce=True)
    yield from advantage_cases()


if __name__ == "__main__":
    inputs = {name: {"counts": data.counts(), "advantages": ADVANTAGES[name], "policy": data.pack(data.policy),
                     "old": data.pack(data.old), "reference": data.pack(data.reference),
                     "entropy": data.pack(data.entropy), "sampling_ratio": data.pack(sampling_ratio(data))}
              for name, data in DATA.items()}
    write("groups.json", inputs, list(cases()))
