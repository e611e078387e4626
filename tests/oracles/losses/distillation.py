"""Writes tests/fixtures/training/losses/distillation.json and distillation_partial.json.

The first: trl's GKDTrainer.generalized_jsd_loss, values and gradients. The second: what trl makes of a teacher that is
known in part: ServerDistillationTrainer's top-k tokens with a tail bucket, GOLD's ULDLoss for other vocabularies ("bayesian"
merging of spans).

The factor T² is Hinton's, multiplied here. TRL's DistillationTrainer computes the same divergences in float32 by chunks
of the vocabulary, with the student's entropy: each case is held to it, to float32's rounding.
"""
import torch
from trl.experimental.server_distillation.server_distillation_trainer import _add_tail_bucket, _jsd_divergence
from trl.experimental.gold.gold_trainer import ULDLoss
from trl.experimental.gkd import GKDTrainer
from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

from common import Stub, write

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


def top_tokens(name, k, beta, temperature=1.0, items=0):
    """The teacher's k largest and the student's numbers for them, each with its tail."""
    student = STUDENT.clone().requires_grad_()
    log_q = torch.log_softmax(student / temperature, -1)
    log_p, ids = torch.log_softmax(TEACHER / temperature, -1).topk(k)
    there = torch.ones_like(ids).bool()
    (q, mask), (p, _) = _add_tail_bucket(log_q.gather(-1, ids), there), _add_tail_bucket(log_p, there)
    loss = _jsd_divergence(q, p, beta, mask).sum() / (items or ROWS)
    loss.backward()
    return {"name": name, "k": k, "options": dict(beta=beta, temperature=temperature), "items": items, "loss": loss.item(),
            "gradients": student.grad.flatten().tolist()}


SPANS = [([0], [0]), ([1, 2], [1]), ([3], [2, 3, 4]), ([4, 5], [5, 6])]  # targets of student and teacher
ROWS_OTHER, OTHER = 7, 17


def universal(name, temperature=1.0):
    """A completion of six targets for the student and seven for the teacher, behind one token of a prompt."""
    random = torch.Generator().manual_seed(54)
    teacher = 3 * torch.randn(ROWS_OTHER, OTHER, generator=random)
    ids = torch.randint(0, VOCABULARY, (ROWS,), generator=random)
    other_ids = torch.randint(0, OTHER, (ROWS_OTHER,), generator=random)
    student = STUDENT.clone().requires_grad_()
    loss_of = ULDLoss(Stub(uld_crossentropy_weight=0.0, uld_distillation_weight=1.0, uld_student_temperature=temperature,
                           uld_teacher_temperature=temperature, uld_skip_student_eos=False, uld_skip_teacher_eos=False,
                           use_extended_uld=True, uld_token_merge_strategy="bayesian"))
    def batch(logits, tokens, side):  # the last row's logits predict nothing
        ends = torch.zeros(len(tokens), dtype=torch.long)
        end = 0
        for spans in SPANS:
            end += 10
            for i, target in enumerate(spans[side]):
                ends[target] = end - (len(spans[side]) - 1 - i) * (2 + side)  # no two inner ends are the same
        offsets = torch.stack([torch.zeros_like(ends), ends], -1)
        first = torch.zeros(1, dtype=torch.long)
        return (torch.cat([logits, logits[-1:]])[None], torch.cat([first - 100, tokens])[None],
                torch.cat([first, tokens])[None], torch.cat([torch.zeros(1, 2).long(), offsets])[None])
    a, b = batch(student, ids, 0), batch(teacher, other_ids, 1)
    loss = loss_of(a[0], b[0], a[1], b[1], a[2], b[2], a[3], b[3])
    loss.backward()
    return {"name": name, "options": dict(temperature=temperature), "spans": [list(span) for span in SPANS],
            "other": teacher.flatten().tolist(), "ids": ids.tolist(), "other_ids": other_ids.tolist(), "loss": loss.item(),
            "gradients": student.grad.flatten().tolist()}


def partial_cases():
    for beta in [0.0, 0.5, 1.0]:
        for k in [1, 4, 12]:
            yield top_tokens(f"top_{k}_beta_{int(10 * beta)}", k, beta)
        yield top_tokens(f"top_5_beta_{int(10 * beta)}_warm", 5, beta, temperature=2.5, items=40)
    yield universal("universal")
    yield universal("universal_warm", temperature=2.0)


if __name__ == "__main__":
    write("distillation.json", {"student": STUDENT.flatten().tolist(), "teacher": TEACHER.flatten().tolist()}, list(cases()))
    write("distillation_partial.json", {"student": STUDENT.flatten().tolist(), "teacher": TEACHER.flatten().tolist()},
          list(partial_cases()))
