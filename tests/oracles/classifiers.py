"""Writes tests/fixtures/model/classifiers/: what transformers' ...ForSequenceClassification compute.

expected.safetensors has, for each checkpoint NAME of tests/fixtures/model/families whose family has such a class,
`NAME.score` (the head that was put on it, [labels, hidden]) and `NAME.logits` of the documents `document.0` ...: plain
ones, one that ends in the padding's id (0), one of nothing else. For some also `NAME.grad.score.weight` and
`NAME.grad.<tensor>`, of the mean cross entropy of the first documents with classes `labels`. `loss.*` are the three losses of `loss.logits`,
and `loss.*.grad` their gradients, in float64.

llama, gpt2, opt are folders as save_pretrained writes them, with expected.safetensors (`logits` of the same documents).

All arithmetic is float32 with attn_implementation="eager". Ran with transformers 5.23.0, torch 2.11.0,
safetensors 0.8.0; the same versions write the same bytes.

    python tests/oracles/classifiers.py
"""
import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForSequenceClassification, GPT2Config, GPT2ForSequenceClassification, LlamaConfig,
                          LlamaForSequenceClassification, OPTConfig, OPTForSequenceClassification)
from transformers.loss.loss_utils import ForSequenceClassificationLoss
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
from transformers.utils import logging

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "fixtures", "model", "families")
FIXTURES = os.path.join(HERE, "..", "fixtures", "model", "classifiers")
LABELS = 3
WITH_GRADIENTS = ("llama_biases", "gpt2_unscaled", "opt_post_norm", "gemma2_caps", "qwen3_moe_norm", "bloom_pre")


def documents(generator):
    lengths = (11, 5, 17, 1)
    out = [torch.randint(3, 40, (length,), generator=generator) for length in lengths]
    out.append(torch.cat([torch.randint(3, 40, (6,), generator=generator), torch.zeros(2, dtype=torch.long)]))
    out.append(torch.zeros(3, dtype=torch.long))
    return out


def logits_of(model, texts):
    return torch.cat([model(input_ids=ids[None]).logits for ids in texts])


def fill(tensor, seed, scale):
    with torch.no_grad():
        tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(seed)) * scale)


def of_family(row, texts, classes):
    name = row["name"]
    with open(os.path.join(MODELS, name, "config.json")) as file:
        if json.load(file)["model_type"] not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
            return {}
    model = AutoModelForSequenceClassification.from_pretrained(
        os.path.join(MODELS, name), num_labels=LABELS, dtype=torch.float32, attn_implementation="eager",
        experts_implementation="eager").eval()
    model.config.pad_token_id = 0
    fill(model.score.weight, len(name), 0.5)
    logits = logits_of(model, texts)
    out = {"score": model.score.weight.detach().clone(), "logits": logits.detach()}
    if name in WITH_GRADIENTS:
        # Of those without padding: transformers gives the padding's embedding no gradient.
        loss = ForSequenceClassificationLoss(classes, logits[:len(classes)], model.config)
        loss.backward()
        out["loss"] = loss.detach().reshape(1)
        out["grad.score.weight"] = model.score.weight.grad.clone()
        parameters = dict(model.named_parameters())
        for parameter in row["parameters_with_gradients"]:
            if parameter in parameters:  # not the head, nor what files hold apart
                out["grad." + parameter] = parameters[parameter].grad.clone()
    print(f"{name}: {type(model).__name__}, logits' standard deviation {logits.std():.2f}, {len(out)} tensors", flush=True)
    return {f"{name}.{key}": value for key, value in out.items()}


def losses():
    generator = torch.Generator().manual_seed(3)
    out = {"loss.logits": torch.randn(5, LABELS, generator=generator, dtype=torch.float64)}
    config = type("Config", (), {"num_labels": LABELS, "problem_type": None})()
    cases = {"single_label_classification": torch.tensor([2, 0, 1, 1, 2]),
             "multi_label_classification": torch.randint(0, 2, (5, LABELS), generator=generator).double(),
             "regression": torch.randn(5, LABELS, generator=generator, dtype=torch.float64)}
    for kind, labels in cases.items():
        config.problem_type = kind
        logits = out["loss.logits"].clone().requires_grad_()
        loss = ForSequenceClassificationLoss(labels, logits, config)
        loss.backward()
        out |= {f"loss.{kind}.labels": labels, f"loss.{kind}": loss.detach().reshape(1), f"loss.{kind}.grad": logits.grad}
    return out


def folder(name, model, texts):
    path = os.path.join(FIXTURES, name)
    shutil.rmtree(path, ignore_errors=True)
    torch.manual_seed(len(name))
    for parameter in model.parameters():
        fill(parameter, parameter.numel(), 0.2)
    model.eval().save_pretrained(path)
    config_path = os.path.join(path, "config.json")
    with open(config_path) as file:
        config = json.load(file)
    config.pop("transformers_version", None)
    with open(config_path, "w") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
    back = type(model).from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()
    save_file({"logits": logits_of(back, texts).detach()}, os.path.join(path, "expected.safetensors"))


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    os.makedirs(FIXTURES, exist_ok=True)
    texts = documents(torch.Generator().manual_seed(11))
    classes = torch.tensor([0, 2, 1, 1])
    out = {f"document.{i}": ids for i, ids in enumerate(texts)} | {"labels": classes} | losses()
    with open(os.path.join(MODELS, "index.json")) as file:
        for row in json.load(file):
            out |= of_family(row, texts, classes)
    save_file({key: value.contiguous() for key, value in out.items()}, os.path.join(FIXTURES, "expected.safetensors"))
    small = dict(vocab_size=48, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    named = {0: "bad", 1: "fair", 2: "good"}
    folder("llama", LlamaForSequenceClassification(LlamaConfig(
        hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        id2label=named, label2id={v: k for k, v in named.items()}, problem_type="single_label_classification",
        **small)), texts)
    folder("gpt2", GPT2ForSequenceClassification(GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=32, num_labels=1,
                                                            **small)), texts)
    folder("opt", OPTForSequenceClassification(OPTConfig(
        hidden_size=16, ffn_dim=20, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=32,
        word_embed_proj_dim=8, do_layer_norm_before=False, **small)), texts)


main()
