"""Writes tests/fixtures/training/distillation/: distillation in 20 steps by transformers' Trainer with TRL's losses.

    python tests/oracles/distillation_runs.py

runs.json      a line a run: alpha, beta, temperature, `losses` (a step's, before its update) and `grad_norms`. The data of
               tests/fixtures/training/rows.json in their order, as in training.py; the student is model/tiny_gqa, all of it
               trained. The divergence is trl.GKDTrainer.compute_loss, which normalizes by num_items_in_batch and has
               temperature 1 (its `temperature` is the sampler's); for others GKDTrainer.generalized_jsd_loss is given it.
teacher/       a random Llama of the same vocabulary and another width.
other/         a random Llama with another vocabulary, and a tokenizer of pairs of characters (tokenizers).
universal.json texts, and the losses of 20 steps of GOLD's ULDLoss ("bayesian") on one text each: the student's tokenizer has
               a token a character (tests/training/tiny_run.h).

Runs are repeated in float64; losses must agree to 1e-5. Ran with transformers 5.23.0, trl 1.16.0, torch 2.11.0.
"""
import json
import os
import types

import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.utils import logging
from trl.experimental.gkd import GKDTrainer
from trl.experimental.gold.gold_trainer import ULDLoss

import training
from training import FIXTURES, FULL, OUT, Recorder, Run, collate

HERE = os.path.join(OUT, "distillation")
RUNS = [dict(name="reverse", alpha=1.0, beta=1.0, temperature=1.0), dict(name="forward_half", alpha=0.5, beta=0.0, temperature=1.0),
        dict(name="jsd", alpha=1.0, beta=0.5, temperature=1.0), dict(name="warm", alpha=0.7, beta=0.1, temperature=2.0)]
CHARACTERS = "</s> abcdefghijklmnopqrstuvwxyz0123456789.,?!:'ABCDEFGHIJKLMNOPQRSTUVWXYZ\n#-"
TEXTS = ["the cat sat on the mat.", "a dog, a hat, and the rest of it", "what is there to see?", "one more of these texts!",
         "the end of them all is near"]


def random_llama(folder, vocabulary, seed):
    torch.manual_seed(seed)
    config = LlamaConfig(vocab_size=vocabulary, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, initializer_range=0.3,
                         attn_implementation="eager", dtype="float32")
    LlamaForCausalLM(config).save_pretrained(folder)
    generation = os.path.join(folder, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)


def student_and(teacher, double):
    dtype = torch.float64 if double else torch.float32
    options = dict(dtype=torch.float32, attn_implementation="eager")
    student = LlamaForCausalLM.from_pretrained(os.path.join(FIXTURES, "model/tiny_gqa"), **options).to(dtype)
    return student, LlamaForCausalLM.from_pretrained(os.path.join(HERE, teacher), **options).to(dtype).eval()


class Distiller(Recorder):
    """GKDTrainer's loss in a plain Trainer: its own makes completions and batches of chats."""
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        method = self.method
        stand_in = types.SimpleNamespace(
            teacher_model=self.teacher, beta=method["beta"],
            generalized_jsd_loss=lambda **more: GKDTrainer.generalized_jsd_loss(temperature=method["temperature"], **more))
        loss, outputs = GKDTrainer.compute_loss(stand_in, model, inputs, True, num_items_in_batch)
        loss = method["alpha"] * loss
        if method["alpha"] < 1:
            own = model(**inputs, num_items_in_batch=num_items_in_batch)
            loss = loss + (1 - method["alpha"]) * own.loss
        return (loss, outputs) if return_outputs else loss


def run(method, rows, double):
    student, teacher = student_and("teacher", double)
    Distiller.method, Distiller.teacher = method, teacher
    training.Recorder = Distiller
    found, _ = training.train(student, Run(method["name"], "", **FULL), rows)
    return found


def other_tokenizer():
    """Characters and some pairs and words; the first token ends a text."""
    vocabulary = {"</s>": 0}
    for character in CHARACTERS[4:]:
        vocabulary[character] = len(vocabulary)
    merges = [("t", "h"), ("th", "e"), ("a", "t"), ("i", "s"), (" ", "the"), ("o", "n"), ("e", "r"), ("o", "f"), (" ", "of")]
    for a, b in merges:
        vocabulary[a + b] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    from tokenizers import decoders
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["</s>"])
    return tokenizer


def side(tokens, ends):
    """ids, labels and byte offsets of a text that ends with </s>, all of it trained."""
    ids = torch.tensor([tokens + [0]])
    ends = torch.tensor([ends + [ends[-1]]])
    return ids, ids.clone(), torch.stack([torch.zeros_like(ends), ends], -1)


def universal(double):
    student, teacher = student_and("other", double)
    tokenizer = Tokenizer.from_file(os.path.join(HERE, "other", "tokenizer.json"))
    characters = {c: i + 1 for i, c in enumerate(CHARACTERS[4:])}
    loss_of = ULDLoss(types.SimpleNamespace(
        uld_crossentropy_weight=0.0, uld_distillation_weight=1.0, uld_student_temperature=1.0, uld_teacher_temperature=1.0,
        uld_skip_student_eos=True, uld_skip_teacher_eos=True, use_extended_uld=True, uld_token_merge_strategy="bayesian"))
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=0.0)
    losses = []
    for step in range(20):
        text = TEXTS[step % len(TEXTS)]
        found = tokenizer.encode(text, add_special_tokens=False)
        a = side([characters[c] for c in text], list(range(1, len(text) + 1)))
        b = side(found.ids, [end for _, end in found.offsets])
        with torch.no_grad():
            other = teacher(input_ids=b[0]).logits
        loss = loss_of(student(input_ids=a[0]).logits, other, a[1], b[1], a[0], b[0], a[2], b[2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def agreed(name, here, there):
    apart = max(abs(a / b - 1) for a, b in zip(here, there))
    print(f"{name}: loss {here[0]:.4f} to {here[-1]:.4f}, apart by {apart:.1e}", flush=True)
    assert apart < 1e-5, name


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    os.makedirs(HERE, exist_ok=True)
    random_llama(os.path.join(HERE, "teacher"), 97, 5)
    tokenizer = other_tokenizer()
    random_llama(os.path.join(HERE, "other"), tokenizer.get_vocab_size(), 6)
    tokenizer.save(os.path.join(HERE, "other", "tokenizer.json"))
    with open(os.path.join(HERE, "other", "tokenizer_config.json"), "w") as file:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "</s>"}, file)
    with open(os.path.join(OUT, "rows.json")) as file:
        rows = json.load(file)
    lines = []
    for method in RUNS:
        here, there = run(method, rows, False), run(method, rows, True)
        agreed(method["name"], here["losses"], there["losses"])
        lines.append({**method, **here})
    with open(os.path.join(HERE, "runs.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(line) for line in lines) + "\n]\n")
    here, there = universal(False), universal(True)
    agreed("universal", here, there)
    with open(os.path.join(HERE, "universal.json"), "w") as file:
        json.dump({"texts": TEXTS, "losses": here}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
