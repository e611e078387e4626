"""Writes tests/fixtures/training/online.{json,safetensors}: trl.GRPOTrainer and RLOOTrainer on the tiny Llama of
tests/fixtures/model/tiny_gqa, in float32, with completions and rewards that are given.

The trainers' own _generate_and_score_completions (rewards, advantages, log-probabilities of the reference and of the
policy that sampled) and compute_loss run, micro batch by micro batch. Where a run has `drift`, noise stands for the
steps that the policy took since it sampled.
"""
import json
import math
import pathlib
import tempfile

import torch
from datasets import Dataset
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from trl.trainer.utils import split_tensor_dict

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
MODEL = str(ROOT / "model/tiny_gqa")
EOS = 2
KEPT = ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight", "model.norm.weight"]

RUNS = [
    dict(name="dapo"),
    dict(name="grpo_kl", loss_type="grpo", beta=0.04, drift=True),
    dict(name="dr_grpo", loss_type="dr_grpo", scale_rewards="none", drift=True),
    dict(name="bnpo_sequence", loss_type="bnpo", importance_sampling_level="sequence", drift=True),
    dict(name="dapo_masked", mask_truncated_completions=True, temperature=0.7, drift=True),
    dict(name="dapo_half_a_generation", steps_per_generation=4, gradient_accumulation_steps=2),
    dict(name="cispo", loss_type="cispo", epsilon_high=1.05, drift=True),
    dict(name="nan", functions=2, scale_rewards="batch", drift=True),
    dict(name="equal", equal=True),
    dict(name="entropy_bonus", entropy_coef=0.1, temperature=0.7, drift=True),
    dict(name="entropy_bonus_of_some", loss_type="grpo", entropy_coef=0.2, top_entropy_quantile=0.5, drift=True),
    dict(name="rloo", method="rloo", beta=0.05, temperature=0.8),
    dict(name="rloo_normalized", method="rloo", beta=0.0, normalize_advantages=True, drift=True),
]


def rollouts():
    """Two prompts with four completions each; some end, one at once, some are cut off."""
    random = torch.Generator().manual_seed(3)
    draw = lambda count: torch.randint(3, 97, (count,), generator=random).tolist()
    prompts = [draw(5), draw(2)]
    completions = [draw(n - (1 if ends else 0)) + ([EOS] if ends else [])
                   for n, ends in [(6, True), (8, False), (1, True), (4, True), (8, False), (3, True), (7, True), (5, True)]]
    return prompts, completions


def tokenizer():
    words = {"<pad>": 0, "<s>": 1, "</s>": 2, **{f"t{i}": i for i in range(3, 97)}}
    inner = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def run(spec):
    prompts, completions = rollouts()
    options = {k: v for k, v in spec.items() if k not in ("name", "method", "drift", "functions", "equal")}
    rloo = spec.get("method") == "rloo"
    values = [[0.5, 2.0, -1.0, 0.25, 1.0, 1.5, -0.5, 0.0], [math.nan, 1.0, 0.5, math.nan, math.nan, 2.0, 0.0, 1.0]]
    if spec.get("functions") == 2:
        values[0][3] = math.nan  # now a completion has none
    if spec.get("equal"):
        values[0] = [0.5] * 8
    rewards = values[:spec.get("functions", 1)]
    table = {tuple(ids): i for i, ids in enumerate(completions)}

    def function(which):
        def judge(prompts, completions, completion_ids, **_):
            return [None if math.isnan(r) else r for r in (rewards[which][table[tuple(ids)]] for ids in completion_ids)]
        judge.__name__ = f"f{which}"
        return judge

    args = dict(per_device_train_batch_size=2, gradient_accumulation_steps=4, num_generations=4, max_completion_length=8,
                report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no",
                output_dir=tempfile.mkdtemp(), pad_to_multiple_of=None)
    args.update(options)
    if spec.get("functions") == 2:
        args["reward_weights"] = [1.0, 0.5]
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    config, trainer_class = (RLOOConfig, RLOOTrainer) if rloo else (GRPOConfig, GRPOTrainer)
    trainer = trainer_class(model=model, reward_funcs=[function(i) for i in range(len(rewards))], args=config(**args),
                            processing_class=tokenizer(), train_dataset=Dataset.from_list([{"prompt": f"t{3 + i}"} for i in range(8)]))
    trainer.eos_token_ids = [EOS]
    trainer._generate_single_turn = lambda *a, **k: completions if rloo else (completions, None)
    trainer._tokenize_prompts = lambda given: ([prompts[i // 4] for i in range(8)], None, {})
    if args.get("beta", 0) != 0:
        trainer.ref_model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
        with torch.no_grad():
            for p in trainer.ref_model.parameters():
                p.mul_(0.9)
        patched = trainer.model.forward
        if hasattr(patched, "__func__") and patched.__func__ is not type(trainer.model).forward:
            trainer.ref_model.forward = patched.__func__.__get__(trainer.ref_model)
    trainer.model.train()
    accumulation = args["gradient_accumulation_steps"]
    trainer.current_gradient_accumulation_steps = accumulation
    batch = trainer._generate_and_score_completions([{"prompt": f"t{3 + i // 4}"} for i in range(8)])
    mask = batch["completion_mask"]
    if "old_per_token_logps" not in batch:
        with torch.no_grad():
            batch_old, _, _ = trainer._get_per_token_logps_and_entropies(
                trainer.model, torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
                torch.cat([batch["prompt_mask"], mask], 1), mask.size(1), 8)
    else:
        batch_old = batch["old_per_token_logps"]
    noise = 0.3 * torch.randn(batch_old.shape, generator=torch.Generator().manual_seed(11)) if spec.get("drift") else 0
    old = batch_old + noise
    if rloo:
        batch["old_logps"] = (old * mask).sum(1)
    elif spec.get("drift"):
        batch["old_per_token_logps"] = old
    total = 0.0
    micro = args.get("steps_per_generation", accumulation)
    for part in split_tensor_dict(batch, micro)[:accumulation]:
        loss = trainer.compute_loss(trainer.model, part)
        if rloo:
            loss = loss / accumulation  # as transformers' Trainer does
        loss.backward()
        total += loss.item()
    parameters = dict(model.named_parameters())
    metrics = {k: sum(v) / len(v) for k, v in trainer._metrics["train"].items() if v and not math.isnan(sum(v))}
    packed = torch.cat([row[:n] for row, n in zip(old, mask.sum(1).tolist())])
    tensors = {f"{spec['name']}.{name}": parameters[name].grad.clone() for name in KEPT}
    tensors[f"{spec['name']}.old"] = packed.detach().clone()
    options.pop("gradient_accumulation_steps", None)
    return dict(name=spec["name"], method=spec.get("method", "grpo"), drift=bool(spec.get("drift")), options=options,
                accumulation=accumulation, steps_per_generation=micro,
                rewards=[[None if math.isnan(r) else r for r in each] for each in rewards], loss=total,
                advantages=batch["advantages"].tolist(), metrics=metrics), tensors


def main():
    prompts, completions = rollouts()
    runs, tensors = [], {}
    for spec in RUNS:
        made, more = run(spec)
        print(made["name"], made["loss"], made["advantages"], made["metrics"])
        runs.append(made)
        tensors.update(more)
    out = ROOT / "training"
    (out / "online.json").write_text(json.dumps(dict(prompts=prompts, completions=completions, eos=EOS, runs=runs)) + "\n")
    save_file(tensors, out / "online.safetensors")


if __name__ == "__main__":
    main()
