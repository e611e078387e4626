"""How one fixture is made: a tiny random checkpoint, and what transformers computes with it.

A Variant says which class with which settings. write() fills its folder with config.json, model.safetensors and
expected.safetensors: input_ids and attention_mask (the second row padded on the left), `logits` of that batch (zero where
padded), `single_logits` of the first row alone, `single_logits.1` of the second without its padding, `final_norm` of the
first (where hidden_states[-1] is that), `loss` of the first, `grad.<tensor of the file>` in the file's layout. Mixtures
of experts: `aux_loss` of the first row over all layers' tokens, `aux_loss.layers` of each layer that routes, `aux_loss.batch`
of the padded batch. Falcon with ALiBi: all of it again as `sdpa.<name>`, see alibi.py. All arithmetic is float32 with attn_implementation="eager", on weights read back from the
folder, so that what is expected is what the files say.
"""
import copy
import inspect
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "fixtures", "model", "families")
LENGTH, PADDING = 28, 7  # of the rows; of the second row's left
FINAL_NORMS = ("norm", "ln_f", "norm_f", "final_layer_norm", "final_layernorm")


@dataclass
class Variant:
    name: str
    model: type
    config: dict
    gradients: list[str]
    note: str
    bf16: bool = True            # the parameters are bfloat16 values and stored so
    off: list[dict] = field(default_factory=list)  # settings without the odd ones: each must change the logits
    spell: list = field(default_factory=list)      # rewrites of (config, tensors) into what older checkpoints hold
    padded: str = ""             # why transformers' padded row is not its row alone; "" where it is
    sdpa: str = ""               # why sdpa's logits are kept too
    length: int = LENGTH
    shape: object = None         # changes the model that the class builds, for a family that transformers has no class of
    fused: bool = False          # experts as one 3-D tensor, as in memory, not the names that checkpoints have
    scale: float = 0.15          # standard deviation of the parameters


def rope(theta, kind="default", **more):
    return {"rope_type": kind, "rope_theta": theta, **more}


def build(variant, settings):
    config = variant.model.config_class(**{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **settings})
    config._attn_implementation = config._experts_implementation = "eager"
    model = variant.model(config).float().eval()
    if variant.shape:
        variant.shape(model)
    return model


def fill(model, variant):
    """Larger than the usual 0.02, so that attention and MLP matter; norms around 1, no bias zero."""
    torch.manual_seed(sum(map(ord, variant.name)))
    with torch.no_grad():
        for module_name, module in model.named_modules():
            for name, parameter in module.named_parameters(recurse=False):
                parameter.normal_(0, variant.scale)
                kind = type(module).__name__
                if "Norm" in kind and name == "weight" and not kind.startswith(("Gemma", "Nemotron")):  # 1 + weight
                    parameter.add_(1.0)
                if "Router" in kind or module_name.endswith(".gate") or module_name.endswith("router"):
                    parameter.mul_(2)
                if variant.bf16:
                    parameter.copy_(parameter.bfloat16().float())
        model.tie_weights()
    return model


def save(model, variant, folder):
    shutil.rmtree(folder, ignore_errors=True)
    stored = copy.deepcopy(model).to(torch.bfloat16) if variant.bf16 else model
    stored.save_pretrained(folder, save_original_format=not variant.fused)
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    config_path, weights_path = os.path.join(folder, "config.json"), os.path.join(folder, "model.safetensors")
    with open(config_path) as file:
        config = json.load(file)
    config.pop("transformers_version", None)
    tensors = load_file(weights_path)
    for rewrite in variant.spell:
        config, tensors = rewrite(config, tensors)
    with open(config_path, "w") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
    if variant.spell:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, weights_path,
                  metadata={"format": "pt"})


def read_back(variant, folder):
    if variant.shape:
        model = build(variant, variant.config)
        report = model.load_state_dict(load_file(os.path.join(folder, "model.safetensors")), strict=False)
        tied = ["lm_head.weight"] if model.config.tie_word_embeddings else []
        if report.missing_keys != tied or report.unexpected_keys:
            raise ValueError(f"{variant.name}: {report}")
        return model
    config = AutoConfig.from_pretrained(folder)
    model, report = variant.model.from_pretrained(folder, config=config, dtype=torch.float32,
                                                  attn_implementation="eager", experts_implementation="eager",
                                                  output_loading_info=True)
    if report["missing_keys"] or report["mismatched_keys"]:
        raise ValueError(f"{variant.name}: {report}")
    return model.eval()


def positions_of(model, mask):
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return {}
    return {"position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}


def apart(a, b):
    """The largest difference over the standard deviation."""
    return ((a - b).abs().max() / b.std()).item()


def gradients(model, ids, names, fused):
    """Loss and gradients, these by saving a model that holds them: so they have the names and layouts of files."""
    model.zero_grad()
    loss = model(ids, labels=ids).loss
    loss.backward()
    holder = copy.deepcopy(model)
    with torch.no_grad():
        for (_, there), (_, here) in zip(holder.named_parameters(), model.named_parameters()):
            there.copy_(here.grad if here.grad is not None else torch.zeros_like(here))
    with tempfile.TemporaryDirectory() as folder:
        holder.save_pretrained(folder, save_original_format=not fused)
        tensors = load_file(os.path.join(folder, "model.safetensors"))
    return loss.detach().reshape(1), {name: tensors[name].clone() for name in names}


def final_norm(model, ids):
    """hidden_states[-1] of the first row if that is what the final norm gave, else None."""
    seen = {}
    hooks = [module.register_forward_hook(lambda m, i, o, n=name: seen.setdefault(n, o))
             for name, module in model.named_modules()
             if name.rsplit(".", 1)[-1] in FINAL_NORMS and ".layers." not in name and ".h." not in name]
    hidden = model(ids, output_hidden_states=True).hidden_states[-1]
    for hook in hooks:
        hook.remove()
    same = [value for value in seen.values() if value.shape == hidden.shape and torch.equal(value, hidden)]
    return hidden[0] if same else None


def inputs(model, variant):
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(3, model.config.vocab_size, (2, variant.length), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, :PADDING] = 0
    ids[1, :PADDING] = 0
    return ids, mask


def balancing(model, ids, mask):
    """The auxiliary loss of the first row, of its layers one by one, of the padded batch; and what is wrong."""
    result = model(ids[:1], output_router_logits=True)
    top = model.config.num_experts_per_tok
    loss_of = sys.modules[type(model).__module__].load_balancing_loss_func
    by_layer = [loss_of((logits,), logits.shape[-1], top, None) for logits in result.router_logits]
    batch = model(ids, attention_mask=mask, output_router_logits=True, **positions_of(model, mask)).aux_loss
    problems = []
    for logits in result.router_logits:
        best = logits.sort(-1, descending=True).values
        gap = (best[:, top - 1] - best[:, top]).min().item()
        if gap < 1e-4:
            problems.append(f"experts nearly tie: {gap:.1e}")
    return {"aux_loss": result.aux_loss.reshape(1), "aux_loss.layers": torch.stack(by_layer),
            "aux_loss.batch": batch.reshape(1)}, problems


def expected(model, variant):
    ids, mask = inputs(model, variant)
    out = {"input_ids": ids, "attention_mask": mask}
    problems = []
    with torch.no_grad():
        # Alone first: rope "dynamic" remembers the longest sequence it has seen.
        short = model(ids[1:, PADDING:]).logits[0]
        single = model(ids[:1]).logits[0]
        batch = model(ids, attention_mask=mask, **positions_of(model, mask)).logits * mask[..., None]
        if apart(batch[0], single) > 1e-4:
            problems.append(f"the first row of a batch is {apart(batch[0], single):.1e} from itself alone")
        distance = apart(batch[1, PADDING:], short)
        if (distance > 1e-4) != bool(variant.padded):
            problems.append(f"the padded row is {distance:.1e} from itself alone, told: '{variant.padded}'")
        if variant.padded:
            batch[1, PADDING:] = short  # the row alone is the truth
        out |= {"logits": batch, "single_logits": single, "single_logits.1": short}
        norm = final_norm(model, ids[:1])
        if norm is not None:
            out["final_norm"] = norm
        if hasattr(model.config, "output_router_logits"):
            found, wrong = balancing(model, ids, mask)
            out |= found
            problems += wrong
    out["loss"], found = gradients(model, ids[:1], variant.gradients, variant.fused)
    for name, gradient in found.items():
        if gradient.abs().max() < 1e-6:
            problems.append(f"no gradient of {name}")
        out["grad." + name] = gradient
    spread = single.std().item()
    if not 0.1 < spread < 10:
        problems.append(f"logits have a standard deviation of {spread:.2g}")
    if variant.sdpa and model.config._attn_implementation == "eager":
        model.config._attn_implementation = "sdpa"
        found, wrong = expected(model, variant)
        model.config._attn_implementation = "eager"
        out |= {"sdpa." + name: tensor for name, tensor in found.items() if name not in out or tensor.is_floating_point()}
        problems += wrong
    return {name: tensor.detach().contiguous().clone() for name, tensor in out.items()}, problems


def write(variant):
    """Writes the folder; returns its line of index.json and what is wrong with it."""
    folder = os.path.join(FIXTURES, variant.name)
    made = fill(build(variant, variant.config), variant)
    save(made, variant, folder)
    model = read_back(variant, folder)
    out, problems = expected(model, variant)
    with torch.no_grad():
        here = made(out["input_ids"][:1]).logits[0]
        if apart(here, out["single_logits"]) > 1e-5:
            problems.append(f"read back it is {apart(here, out['single_logits']):.1e} from what was saved")
        for change in variant.off:
            plain = build(variant, {**variant.config, **change})
            plain.load_state_dict(made.state_dict(), strict=False)
            effect = apart(plain(out["input_ids"][:1]).logits[0], out["single_logits"])
            if effect < 1e-2:
                problems.append(f"{change} changes the logits by {effect:.1e} only")
    save_file(out, os.path.join(folder, "expected.safetensors"))
    size = os.path.getsize(os.path.join(folder, "model.safetensors"))
    with open(os.path.join(folder, "config.json")) as file:
        architecture = json.load(file)["architectures"][0]
    print(f"{variant.name}: {size // 1024} KiB, logits' standard deviation {out['single_logits'].std():.2f}"
          + ("" if "final_norm" in out else ", no final_norm"), flush=True)
    for problem in problems:
        print(f"  PROBLEM: {problem}", flush=True)
    return {"name": variant.name, "folder": variant.name, "architecture": architecture,
            "parameters_with_gradients": variant.gradients, "note": variant.note}, problems
