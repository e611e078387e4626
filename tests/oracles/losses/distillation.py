"""Writes tests/fixtures/training/losses/distillation.json: trl's GKDTrainer.generalized_jsd_loss, values and gradients.

The factor T² is Hinton's, multiplied here. TRL's DistillationTrainer computes the same divergences in float32 by chunks
of the vocabulary, with the student's entropy: each case is held to it, to float32's rounding.
"""
import torch
from trl.experimental.gkd import GKDTrainer
from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

from common import write

ROWS, VOCABULARY = 6, 13


def logits(seed, size):
    return size * torch.randn(ROWS, VOCABULARY, generator=torch.Generator().manual_seed(seed))


STUDENT, TEACHER = logits(51, 2), logits(52, 3)


def case(name, beta, temperature=1.0, squared=False, items=0):
    student = STUDENT.clone().requires_grad_()
    options = dict(beta=beta, temperature=temperature)
    labels = torch.zeros(1, ROWS).long()
    loss = GKDTrainer.generalized_jsd_loss(student[None], TEACHER[None], labels, num_items_in_batch=items or None, **options)
    if squared:
        loss, options["scale_by_temperature_squared"] = loss * temperature**2, True
    loss.backward()
    identity = torch.eye(VOCABULARY, dtype=torch.float32)
    each, entropy = ChunkedDivergenceFunction.apply(STUDENT.float(), identity, None, TEACHER.float(), identity, None, beta,
                                                    temperature)
    scale = (temperature**2 if squared else 1) / (items or ROWS)
    assert abs(each.sum().item() * scale / loss.item() - 1) < 1e-5, name
    log_q = torch.log_softmax(STUDENT / temperature, -1)
    mean = -(log_q.exp() * log_q).sum(-1).mean()
    assert abs(entropy.mean().item() / mean.item() - 1) < 1e-5, name
    return {"name": name, "options": options, "items": items, "loss": loss.item(), "metrics": {"entropy": mean.item()},
            "gradients": student.grad.flatten().tolist()}


def hidden():
    random = torch.Generator().manual_seed(53)
    student, projection = (torch.randn(4, 3, generator=random).requires_grad_(),
                           torch.randn(5, 3, generator=random).requires_grad_())
    teacher = torch.randn(4, 5, generator=random)
    loss = torch.nn.functional.mse_loss(student @ projection.T, teacher)
    loss.backward()
    return {"name": "hidden", "student": student.flatten().tolist(), "projection": projection.flatten().tolist(),
            "teacher": teacher.flatten().tolist(), "loss": loss.item(), "gradients": student.grad.flatten().tolist(),
            "projection_gradients": projection.grad.flatten().tolist()}


def cases():
    for beta in [0.0, 0.1, 0.5, 0.9, 1.0]:
        yield case(f"beta_{int(10 * beta)}", beta)
        yield case(f"beta_{int(10 * beta)}_warm", beta, temperature=2.5, squared=True, items=40)
        yield case(f"beta_{int(10 * beta)}_cold", beta, temperature=0.9)
    yield hidden()


if __name__ == "__main__":
    write("distillation.json", {"student": STUDENT.flatten().tolist(), "teacher": TEACHER.flatten().tolist()}, list(cases()))
