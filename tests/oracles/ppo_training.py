"""Writes tests/fixtures/training/ppo.{json,safetensors}: PPO step by step in float64.

Policy and value model are the tiny Llama of tests/fixtures/model/tiny_gqa, the latter with a head of one label; the
reference is the policy times 0.9. Given completions and scores; rewards, GAE and whitening as losses/ppo.py writes the
papers' formulas, the clipped objectives and an entropy bonus by autograd, and AdamW: two epochs of two minibatches of two micro batches.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from online_training import EOS, MODEL, ROOT, rollouts

sys.path.insert(0, str(pathlib.Path(__file__).parent / "losses"))
from ppo import advantages_of, whiten  # noqa: E402

KL, GAMMA, LAM, CLIP, CLIP_VALUE, VF, ENTROPY, PENALTY, RATE = 0.1, 0.99, 0.9, 0.2, 0.2, 0.1, 0.05, 1.0, 1e-2
SCORES = [0.5, 2.0, -1.0, 0.25, 1.0, 1.5, -0.5, 0.0]
ORDERS = [[5, 2, 7, 0, 1, 6, 3, 4], [3, 0, 6, 1, 4, 7, 2, 5]]
KEPT = ["model.layers.0.self_attn.q_proj.weight", "model.norm.weight"]


def load(scale=1.0):
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


def main():
    prompts, completions = rollouts()
    sequences = [(prompts[i // 4], ids) for i, ids in enumerate(completions)]
    policy, reference, critic = load(), load(np.float32(0.9).item()), load()
    head = (0.3 * torch.randn(48, generator=torch.Generator().manual_seed(8))).double().requires_grad_()

    def distributions(model, i):
        prompt, ids = sequences[i]
        return model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1:-1].log_softmax(-1)

    def entropies(i):
        logs = distributions(policy, i)
        return -(logs.exp() * logs).sum(-1)

    def log_probs(model, i):
        prompt, ids = sequences[i]
        return distributions(model, i)[torch.arange(len(ids)), ids]

    def values(i):
        prompt, ids = sequences[i]
        return (critic.model(torch.tensor([prompt + ids])).last_hidden_state[0, len(prompt) - 1:-1] @ head)

    with torch.no_grad():
        old = [log_probs(policy, i) for i in range(8)]
        ref = [log_probs(reference, i) for i in range(8)]
        worth = [values(i) for i in range(8)]
    advantages, returns = [], []
    for i in range(8):
        reward = -KL * (old[i] - ref[i]).numpy()
        reward[-1] += SCORES[i] - (0 if completions[i][-1] == EOS else PENALTY)
        advantages.append(advantages_of(reward, worth[i].numpy(), GAMMA, LAM))
        returns.append(torch.tensor(advantages[-1]) + worth[i])
    white = whiten(np.concatenate(advantages), True)
    advantages = [torch.tensor(part) for part in np.split(white, np.cumsum([len(ids) for ids in completions])[:-1])]

    parameters = [*policy.parameters(), *critic.model.parameters(), head]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    steps = []
    for order in ORDERS:
        for mini in (order[:4], order[4:]):
            optimizer.zero_grad()
            total = 0.0
            for micro in (mini[:2], mini[2:]):
                gather = lambda parts: torch.cat([parts[i] for i in micro])
                ratio = (torch.cat([log_probs(policy, i) for i in micro]) - gather(old)).exp()
                a, r, v_old = gather(advantages), gather(returns), gather(worth)
                v = torch.cat([values(i) for i in micro])
                near = v_old + (v - v_old).clamp(-CLIP_VALUE, CLIP_VALUE)
                policy_loss = torch.maximum(-a * ratio, -a * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
                value_loss = 0.5 * torch.maximum((v - r) ** 2, (near - r) ** 2).mean()
                entropy = torch.cat([entropies(i) for i in micro]).mean()
                loss = (policy_loss + VF * value_loss - ENTROPY * entropy) / 2
                loss.backward()
                total += loss.item()
            optimizer.step()
            steps.append(total)
    out = ROOT / "training"
    named = {**{f"policy.{k}": v for k, v in policy.named_parameters() if k in KEPT},
             **{f"value.{k}": v for k, v in critic.named_parameters() if k in KEPT}, "value.score.weight": head[None]}
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in named.items()}
    tensors["advantages"], tensors["returns"] = torch.cat(advantages).float(), torch.cat(returns).float()
    tensors["score"] = (0.3 * torch.randn(48, generator=torch.Generator().manual_seed(8)))[None].contiguous()
    save_file(tensors, out / "ppo.safetensors")
    (out / "ppo.json").write_text(json.dumps(dict(scores=SCORES, orders=ORDERS, losses=steps)) + "\n")
    print(steps)


if __name__ == "__main__":
    main()
