"""Writes tests/fixtures/adapters/*: adapters that PEFT wrote for the tiny models of tests/fixtures/model/families, and what
it computes with them.

Each folder holds adapter_config.json and adapter_model.safetensors as `save_pretrained` writes them, and
expected.safetensors: input_ids [1, length], `logits` with the adapter, `loss` of the next tokens, `grad.<tensor of the
file>`, `merged.<parameter>` of what merging makes of some weights, `unmerged.<parameter>` after taking it out again.
combined/ holds two adapters and what PEFT makes of both; where it draws, the masks are those of this library's dropout. index.json lists the folders and their models.

All arithmetic is float32 with attn_implementation="eager". Ran with peft 0.21.0, transformers 5.23.0, torch 2.11.0,
safetensors 0.8.0; the same versions write the same bytes.

    python tests/oracles/adapters.py [NAME_PREFIX ...]
"""
import json
import os
import shutil
import sys
import warnings

import torch
from peft import IA3Config, LoraConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "fixtures", "model", "families")
FIXTURES = os.path.join(HERE, "..", "fixtures", "adapters")
LENGTH = 13
TASK = {"task_type": "CAUSAL_LM"}

CASES = {
    "lora": ("llama_biases", LoraConfig(r=4, lora_alpha=6, **TASK)),
    "all_linear": ("llama_biases", LoraConfig(
        r=4, use_rslora=True, target_modules="all-linear", rank_pattern={"q_proj": 2, "layers.1.mlp.up_proj": 3},
        alpha_pattern={"^.*\\.0\\..*down_proj": 20}, **TASK)),
    "dora": ("llama_biases", LoraConfig(r=3, use_dora=True, target_modules="all-linear", **TASK)),
    "dora_embeddings": ("gemma_hub", LoraConfig(r=3, use_dora=True, target_modules=["embed_tokens", "o_proj"], **TASK)),
    "embeddings": ("gemma_hub", LoraConfig(r=3, target_modules=["embed_tokens", "q_proj"], **TASK)),
    "head": ("llama_biases", LoraConfig(r=3, target_modules=["embed_tokens", "lm_head", "v_proj"], **TASK)),
    "tied_head": ("gemma_hub", LoraConfig(r=3, target_modules=["lm_head", "v_proj"], **TASK)),
    "saved": ("llama_biases", LoraConfig(r=4, lora_bias=True, bias="lora_only", target_modules=["q_proj", "up_proj"],
                                         modules_to_save=["lm_head", "input_layernorm", "o_proj"], **TASK)),
    "bias_all": ("llama_biases", LoraConfig(r=2, bias="all", target_modules=["k_proj"], **TASK)),
    "tokens": ("llama_biases", LoraConfig(r=2, target_modules=["q_proj"], trainable_token_indices=[3, 7, 11], **TASK)),
    "tied_tokens": ("gemma_hub", LoraConfig(r=2, target_modules=["q_proj"], trainable_token_indices=[5, 9], **TASK)),
    "pattern": ("llama_biases", LoraConfig(r=2, target_modules=r".*\.(q|k|up)_proj", exclude_modules=r".*\.1\.mlp.*",
                                           **TASK)),
    "layers": ("llama_biases", LoraConfig(r=2, target_modules=["o_proj", "mlp.gate_proj"], layers_to_transform=[1],
                                          layers_pattern="layers", exclude_modules=["mlp.down_proj"], **TASK)),
    "gpt2": ("gpt2_unscaled", LoraConfig(r=3, **TASK)),
    "gpt2_dora": ("gpt2_unscaled", LoraConfig(r=3, use_dora=True, target_modules=["c_attn", "c_proj", "wte"], **TASK)),
    "gpt2_saved": ("gpt2_unscaled", LoraConfig(r=3, target_modules=["c_fc"], modules_to_save=["attn.c_proj", "ln_2"],
                                               **TASK)),
    "falcon": ("falcon_40b", LoraConfig(r=3, target_modules="all-linear", **TASK)),
    "gpt_neox": ("gpt_neox_parallel", LoraConfig(r=3, **TASK)),
    "phi3": ("phi3_window", LoraConfig(r=3, target_modules="all-linear", **TASK)),
    "mixtral": ("mixtral_experts", LoraConfig(r=3, target_modules="all-linear", **TASK)),
    "mixtral_one": ("mixtral_fused", LoraConfig(r=3, target_modules=["q_proj"],
                                                target_parameters=["mlp.experts.gate_up_proj"], **TASK)),
    "gpt_oss": ("gpt_oss_plain", LoraConfig(
        r=2, target_modules="all-linear", target_parameters=["experts.gate_up_proj", "experts.down_proj"], **TASK)),
    "qwen2_moe": ("qwen2_moe_mlp_only", LoraConfig(r=2, target_modules="all-linear", **TASK)),
    "pissa": ("llama_biases", LoraConfig(r=3, init_lora_weights="pissa", target_modules=["q_proj", "down_proj"], **TASK)),
    "olora": ("gpt_neox_parallel", LoraConfig(r=3, init_lora_weights="olora", **TASK)),
    "ia3": ("llama_biases", IA3Config(**TASK)),
    "ia3_gpt2": ("gpt2_unscaled", IA3Config(**TASK)),
    "prompt": ("llama_biases", PromptTuningConfig(num_virtual_tokens=5, **TASK)),
    "prompt_gemma": ("gemma_hub", PromptTuningConfig(num_virtual_tokens=4, **TASK)),
    "prompt_granite": ("granite_multipliers", PromptTuningConfig(num_virtual_tokens=4, **TASK)),
    "prompt_gpt2": ("gpt2_unscaled", PromptTuningConfig(num_virtual_tokens=4, **TASK)),
    "prefix": ("llama_biases", PrefixTuningConfig(num_virtual_tokens=5, **TASK)),
    "prefix_projected": ("llama_biases", PrefixTuningConfig(num_virtual_tokens=3, prefix_projection=True,
                                                            encoder_hidden_size=6, **TASK)),
    "prefix_gpt2": ("gpt2_unscaled", PrefixTuningConfig(num_virtual_tokens=4, **TASK)),
}


def load(name):
    model = AutoModelForCausalLM.from_pretrained(os.path.join(MODELS, name), dtype=torch.float32,
                                                 attn_implementation="eager", experts_implementation="eager")
    return model.eval()


def ids_for(model):
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(3, model.config.vocab_size, (1, LENGTH), generator=generator)
    ids[0, 2], ids[0, 5] = 7, 9  # among the tokens that train
    return ids


def fill(model, seed):
    """Every trainable tensor becomes random around what it is: B is not zero, magnitudes are not those of the start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                kept = 0.0 if "lora_embedding_A" in name or "prompt" in name else 1.0
                noise = torch.randn(parameter.shape, generator=generator) * 0.2
                parameter.copy_(parameter * kept + noise)


def file_name(name):
    if name.startswith("prompt_encoder"):
        return "prompt_embeddings"
    name = name.replace(".modules_to_save.default", "")
    if name.endswith("lora_magnitude_vector.default.weight"):
        name = name.removesuffix(".weight")
    return name.replace(".default", "")


def logits_of(model, ids):
    return model(input_ids=ids).logits[:, -ids.shape[1]:]


def loss_of(logits, ids):
    return torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:])


def base_weights(model):
    """Weights of the base under the names that they have without adapters."""
    return {name.replace(".base_layer", "").removeprefix("base_model.model."): tensor
            for name, tensor in model.named_parameters()
            if "lora_" not in name and "ia3_" not in name and "modules_to_save" not in name}


def merging(model, out):
    before = {name: tensor.detach().clone() for name, tensor in base_weights(model).items()}
    model.merge_adapter()
    merged = {name: tensor.detach().clone() for name, tensor in base_weights(model).items()}
    model.unmerge_adapter()
    after = base_weights(model)
    changed = [name for name in before if not torch.equal(before[name], merged[name])]
    for name in changed[:2] + changed[-2:]:
        out["merged." + name] = merged[name]
        out["unmerged." + name] = after[name].detach()


def write(name, base, config):
    folder = os.path.join(FIXTURES, name)
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(sum(map(ord, name)))
    model = load(base)
    plain = model(input_ids=ids_for(model)).logits.detach()
    model = get_peft_model(model, config)
    fill(model, len(name))
    model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "README.md")):
        os.remove(os.path.join(folder, "README.md"))
    clean(folder, base)
    # What is expected is what the files say. PEFT trains no prompt that was loaded.
    if is_projected(config):
        model = PeftModel.from_pretrained(load(base), folder)
    elif not config.is_prompt_learning:
        model = PeftModel.from_pretrained(load(base), folder, is_trainable=True)
    model.eval()
    ids = ids_for(model)
    logits = logits_of(model, ids)
    loss = loss_of(logits, ids)
    out = {"input_ids": ids, "logits": logits.detach(), "loss": loss.detach().reshape(1)}
    if not is_projected(config):
        loss.backward()
        for parameter_name, parameter in model.named_parameters():
            if parameter.requires_grad:
                out["grad." + file_name(parameter_name)] = parameter.grad.clone()
    if config.peft_type in ("LORA", "IA3") and not (model.config.tie_word_embeddings and touches_embeddings(config)):
        merging(model, out)
    effect = ((logits - plain).abs().max() / plain.std()).item()
    if effect < 0.05:
        print(f"  PROBLEM: {name} changes the logits by {effect:.1e} only")
    save_file({key: value.contiguous() for key, value in out.items()}, os.path.join(folder, "expected.safetensors"))
    print(f"{name}: effect {effect:.2f}, {len(out)} tensors", flush=True)
    return {"name": name, "model": base, "merged": any(key.startswith("merged.") for key in out)}


def touches_embeddings(config):
    names = {"embed_tokens", "lm_head", "wte"}
    targets = config.target_modules if not isinstance(config.target_modules, str) else ()
    return bool(names & {*targets, *(config.modules_to_save or ())}) or bool(
        getattr(config, "trainable_token_indices", None))


def is_projected(config):
    return getattr(config, "prefix_projection", False)


def clean(folder, base):
    """No path of this machine, and lists in an order of their own (PEFT's are sets)."""
    path = os.path.join(folder, "adapter_config.json")
    with open(path) as file:
        config = json.load(file)
    config["base_model_name_or_path"] = base
    for key in ("target_modules", "exclude_modules", "target_parameters", "feedforward_modules"):
        if isinstance(config.get(key), list):
            config[key] = sorted(config[key])
    with open(path, "w") as file:
        json.dump(config, file, indent=2)
        file.write("\n")


def write_old_mixtral():
    """Experts one by one under their names of transformers 4, as adapters on the hub have them."""
    name, base = "mixtral_old", "mixtral_experts"
    folder = os.path.join(FIXTURES, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    model = load(base)
    generator = torch.Generator().manual_seed(11)
    tensors = {}
    hidden, inner, rank = model.config.hidden_size, model.config.intermediate_size, 2
    for layer in range(model.config.num_hidden_layers):
        block = f"base_model.model.model.layers.{layer}.block_sparse_moe."
        shapes = {f"experts.{e}.{w}": (inner, hidden) if w != "w2" else (hidden, inner)
                  for e in range(model.config.num_local_experts) for w in ("w1", "w2", "w3")}
        for module, (rows, columns) in {**shapes, "gate": (model.config.num_local_experts, hidden)}.items():
            tensors[f"{block}{module}.lora_A.weight"] = torch.randn(rank, columns, generator=generator) * 0.3
            tensors[f"{block}{module}.lora_B.weight"] = torch.randn(rows, rank, generator=generator) * 0.3
    config = LoraConfig(r=rank, lora_alpha=4, target_modules=["w1", "w2", "w3", "gate"], **TASK)
    config.save_pretrained(folder)
    save_file(tensors, os.path.join(folder, "adapter_model.safetensors"), metadata={"format": "pt"})
    clean(folder, base)
    model = PeftModel.from_pretrained(load(base), folder).eval()
    ids = ids_for(model)
    logits = logits_of(model, ids).detach()
    save_file({"input_ids": ids, "logits": logits, "loss": loss_of(logits, ids).reshape(1)},
              os.path.join(folder, "expected.safetensors"))
    print(f"{name}: loss {loss_of(logits, ids):.4f}", flush=True)
    return {"name": name, "model": base, "merged": False}


def philox(counter, key):
    """Philox4x32-10: four words of a counter."""
    for _ in range(10):
        product0, product1 = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(product1 >> 32) ^ counter[1] ^ key[0], product1 & 0xFFFFFFFF,
                   (product0 >> 32) ^ counter[3] ^ key[1], product0 & 0xFFFFFFFF]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter


class Draws:
    """In torch.bernoulli's place: the masks of this library's dropout, a lane for each call."""

    def __init__(self, seed):
        self.seed, self.lane = seed, 0

    def __call__(self, probability):
        rows, columns = probability.shape
        threshold = round((1 - probability[0, 0].item()) * 65536)
        blocks = (columns + 7) // 8
        mask = torch.zeros(rows, blocks * 8)
        for block in range(rows * blocks):
            words = philox([block, 0, self.lane, 2], [self.seed, 0])
            halves = [half for word in words for half in (word & 0xFFFF, word >> 16)]
            for i, half in enumerate(halves):
                mask[block // blocks, block % blocks * 8 + i] = half >= threshold
        self.lane += 1
        return mask[:, :columns]


# What is kept, and PEFT's other options.
COMBINATIONS = {
    "linear": {}, "cat": {}, "svd": {},
    "ties": {"density": 0.6}, "ties_svd": {"density": 0.3, "majority_sign_method": "frequency"},
    "magnitude_prune": {"density": 0.4}, "magnitude_prune_svd": {"density": 0.2, "svd_rank": 2},
    "dare_linear": {"density": 0.5}, "dare_linear_svd": {"density": 0.75},
    "dare_ties": {"density": 0.5, "majority_sign_method": "frequency"}, "dare_ties_svd": {"density": 0.5},
}


def write_combined():
    """Two adapters: both at once, and PEFT's combinations of them."""
    folder = os.path.join(FIXTURES, "combined")
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(5)
    model = None
    for number, (name, rank, alpha) in enumerate((("first", 3, 6), ("second", 3, 3))):
        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=["q_proj", "down_proj"], **TASK)
        if model is None:
            model = get_peft_model(load("llama_biases"), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
        model.set_adapter(name)
        fill(model, 40 + number)
    model.save_pretrained(folder)
    os.remove(os.path.join(folder, "README.md"))
    for name in ("first", "second"):
        clean(os.path.join(folder, name), "llama_biases")
    model.eval()
    ids = ids_for(model)
    out = {"input_ids": ids}
    model.base_model.set_adapter(["first", "second"])
    out["logits.both"] = logits_of(model, ids).detach()
    bernoulli = torch.bernoulli
    for kind, options in COMBINATIONS.items():
        torch.bernoulli = Draws(seed=11)
        model.add_weighted_adapter(["first", "second"], [0.7, -0.4], kind, combination_type=kind, **options)
        torch.bernoulli = bernoulli
        model.set_adapter(kind)
        out["logits." + kind] = logits_of(model, ids).detach()
        layer = model.base_model.model.model.layers[0].self_attn.q_proj
        out["delta." + kind] = layer.get_delta_weight(kind).detach()
    save_file({key: value.contiguous() for key, value in out.items()}, os.path.join(folder, "expected.safetensors"))
    print("combined", flush=True)


def main():
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    os.makedirs(FIXTURES, exist_ok=True)
    wanted = tuple(sys.argv[1:]) or ("",)
    path = os.path.join(FIXTURES, "index.json")
    index = {}
    if os.path.exists(path):
        with open(path) as file:
            index = {line["name"]: line for line in json.load(file)}
    for name, (base, config) in CASES.items():
        if name.startswith(wanted):
            index[name] = write(name, base, config)
    if "mixtral_old".startswith(wanted):
        index["mixtral_old"] = write_old_mixtral()
    if "combined".startswith(wanted):
        write_combined()
    lines = [json.dumps(index[name]) for name in [*CASES, "mixtral_old"] if name in index]
    with open(path, "w") as file:
        file.write("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
