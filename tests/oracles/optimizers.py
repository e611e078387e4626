"""Writes tests/fixtures/training/optimizers.{json,safetensors}, schedules.json and parameter_groups.json.

Each case runs an optimizer of torch, transformers or bitsandbytes for 20 steps over tensors and gradients made by a
formula that the test has too (`numbers`), and keeps the weights and states at the end. Written with torch 2.11.0,
transformers 5.23.0, bitsandbytes 0.50.2 and peft 0.21.0, one thread.

bitsandbytes' CPU kernel for quantize_blockwise looks codes up by 16 bits of the value, and so gives other codes than its
CUDA kernels and its plain PyTorch path, even for zero. The 8-bit cases run its CPU optimizer with that plain path
(bitsandbytes.backends.default) in the place of the lookup, which is what every other device of it computes.
"""
import json
import os

import numpy as np
import torch
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "training")
STEPS = 20
SMALL = {"vector": [3], "matrix": [17, 5], "stack": [2, 3, 4], "wide": [9, 48]}
MATRICES = {"matrix": [17, 5], "wide": [9, 48], "square": [16, 16]}
LARGE = {"whole": [64, 64], "partial": [70, 61], "small": [9, 48]}  # of elements: 4096 and more are kept in 8 bits


def mix(h):
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    h = (h ^ (h >> np.uint32(12))) * np.uint32(0x297A2D39)
    return h ^ (h >> np.uint32(15))


def numbers(seed, shape, spread):
    """Multiples of 2^-23 in [-1, 1), times 2^-k, 0 <= k < spread: float32 holds them exactly."""
    count = int(np.prod(shape))
    index = np.arange(count, dtype=np.uint32) + np.uint32(seed * 1000003 % 2**32)
    h = mix(index * np.uint32(2654435761))
    value = ((h >> np.uint32(8)).astype(np.int64) - 2**23).astype(np.float32) / np.float32(2**23)
    power = (mix(h + np.uint32(1)) % np.uint32(spread)).astype(np.float32)
    return torch.tensor(value * np.exp2(-power)).reshape(shape)


def run(make, shapes, dtype, clip=None, master=False):
    parameters = {name: numbers(7 + i, shape, 1).to(dtype) for i, (name, shape) in enumerate(shapes.items())}
    if master:  # what a float32 copy of bf16 weights goes through
        parameters = {name: value.float() for name, value in parameters.items()}
    parameters = {name: torch.nn.Parameter(value) for name, value in parameters.items()}
    optimizer = make(list(parameters.values()))
    norms = []
    for step in range(STEPS):
        for i, (name, parameter) in enumerate(parameters.items()):
            gradient = numbers(1000 * (step + 1) + i, shapes[name], 12).to(dtype)
            parameter.grad = gradient.to(parameter.dtype)
        if clip is not None:
            norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), clip).item())
        optimizer.step()
    return parameters, optimizer, norms


def cases():
    import bitsandbytes as bnb
    from transformers.optimization import Adafactor
    f32, bf16 = torch.float32, torch.bfloat16
    sgd, adamw, muon = torch.optim.SGD, torch.optim.AdamW, torch.optim.Muon

    def case(name, method, peer, options, shapes=SMALL, dtype=f32, extra=None, **more):
        given = dict(options)
        if "beta2" in given:
            given["betas"] = (given.pop("beta1"), given.pop("beta2"))
        if method == "adafactor":
            given["eps"] = (given.pop("eps1", 1e-30), given.pop("eps2", 1e-3))
        return name, method, (lambda p: peer(p, **given, **(extra or {}))), options, shapes, dtype, more

    single = {"foreach": False}
    yield case("sgd", "sgd", sgd, {"lr": 0.1}, extra=single)
    yield case("sgd_momentum", "sgd", sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}, extra=single)
    yield case("sgd_nesterov", "sgd", sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True}, extra=single)
    yield case("sgd_dampening", "sgd", sgd, {"lr": 0.1, "momentum": 0.8, "dampening": 0.3}, extra=single)
    yield case("adamw", "adamw", adamw, {"lr": 1e-3}, extra=single)
    yield case("adamw_options", "adamw", adamw,
               {"lr": 3e-3, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6, "weight_decay": 0.1}, extra=single)
    yield case("adamw_clipped", "adamw", adamw, {"lr": 1e-2}, extra=single, clip=0.5)
    yield case("adamw_bf16", "adamw", adamw, {"lr": 1e-2}, dtype=bf16, extra={"fused": True})
    yield case("adamw_f16", "adamw", adamw, {"lr": 1e-2, "eps": 1e-4}, dtype=torch.float16, extra={"fused": True})
    yield case("adamw_master", "adamw", adamw, {"lr": 1e-3}, dtype=bf16, extra=single, master=True)
    yield case("adagrad", "adagrad", torch.optim.Adagrad,
               {"lr": 1e-2, "lr_decay": 0.1, "weight_decay": 0.01, "initial_accumulator_value": 0.5}, extra=single)
    yield case("rmsprop", "rmsprop", torch.optim.RMSprop, {"lr": 1e-3, "weight_decay": 0.01}, extra=single)
    yield case("rmsprop_momentum", "rmsprop", torch.optim.RMSprop, {"lr": 1e-3, "momentum": 0.7}, extra=single)
    yield case("lion", "lion", bnb.optim.Lion32bit, {"lr": 1e-3, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0})
    yield case("lion_decay", "lion", bnb.optim.Lion32bit, {"lr": 1e-3, "beta1": 0.8, "beta2": 0.9, "weight_decay": 0.1})
    eight = {"lr": 1e-3, "weight_decay": 0.01}
    yield case("adamw_8bit", "adamw_8bit", bnb.optim.AdamW8bit, eight, shapes=LARGE)
    yield case("adamw_8bit_bf16", "adamw_8bit", bnb.optim.AdamW8bit, {"lr": 1e-2, "weight_decay": 0.01}, shapes=LARGE,
               dtype=bf16)
    yield case("adafactor", "adafactor", Adafactor, {})
    yield case("adafactor_warmup", "adafactor", Adafactor, {"warmup_init": True, "clip_threshold": 0.5})
    plain = {"lr": 1e-2, "scale_parameter": False, "relative_step": False}
    yield case("adafactor_lr", "adafactor", Adafactor, plain)
    yield case("adafactor_momentum", "adafactor", Adafactor, plain | {"beta1": 0.9, "weight_decay": 0.1})
    yield case("adafactor_bf16", "adafactor", Adafactor, plain, dtype=bf16)
    yield case("muon", "muon", muon, {"lr": 1e-2}, shapes=MATRICES)
    yield case("muon_options", "muon", muon,
               {"lr": 1e-2, "weight_decay": 0.0, "momentum": 0.8, "nesterov": False, "ns_steps": 3,
                "adjust_lr_fn": "match_rms_adamw"}, shapes=MATRICES)
    yield case("muon_bf16", "muon", muon, {"lr": 1e-2}, shapes=MATRICES, dtype=bf16)


def write_optimizers():
    import bitsandbytes.backends.cpu.ops as cpu
    import bitsandbytes.backends.default.ops as default
    import bitsandbytes.functional as F

    def quantize(values, code, absmax, out, blocksize):
        for i, block in enumerate(values.reshape(-1).split(blocksize)):  # the last one scaled like the rest
            codes, scale = PLAIN(torch.nn.functional.pad(block, (0, blocksize - len(block))), code, blocksize)
            out.reshape(-1)[i * blocksize:i * blocksize + len(block)] = codes[:len(block)]
            absmax[i] = scale[0]

    PLAIN = plain_quantizer(default)
    cpu._quant_blockwise_fp32_direct = quantize

    tensors = {"codes.signed": F.create_dynamic_map(signed=True), "codes.unsigned": F.create_dynamic_map(signed=False)}
    described = []
    for name, method, make, options, shapes, dtype, more in cases():
        parameters, optimizer, norms = run(make, shapes, dtype, **more)
        for key, parameter in parameters.items():
            tensors[f"{name}/{key}"] = parameter.detach().clone()
            for state, value in optimizer.state[parameter].items():
                if torch.is_tensor(value) and value.dim() > 0 and not state.startswith("qmap"):
                    state = {"state1": "exp_avg"}.get(state, state) if method == "lion" else state
                    tensors[f"{name}/{key}.{state}"] = value.clone()
        described.append({"name": name, "method": method, "options": options, "shapes": shapes,
                          "dtype": str(dtype).removeprefix("torch."), "clip": more.get("clip", 0),
                          "master": more.get("master", False), "norms": norms})
    save_file(tensors, os.path.join(HERE, "optimizers.safetensors"))
    os.chmod(os.path.join(HERE, "optimizers.safetensors"), 0o644)
    with open(os.path.join(HERE, "optimizers.json"), "w") as file:
        json.dump({"steps": STEPS, "cases": described}, file, indent=1)


def plain_quantizer(default):
    """bitsandbytes' own PyTorch function for quantize_blockwise, as it is for devices without a kernel: it has no name
    there but that of its registration."""
    source = open(default.__file__).read()
    start = source.index('@register_kernel("bitsandbytes::quantize_blockwise", "default")')
    end = source.index("\n@", start + 1)
    scope = dict(vars(default))
    lines = source[start:end].split("\n")[1:]
    while lines[0].startswith("@"):
        lines = lines[1:]
    exec("\n".join(lines).replace("def _(", "def plain("), scope)
    return scope["plain"]


def write_schedules():
    from transformers import optimization as o
    dummy = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    makers = {
        "constant": lambda w, n, more: o.get_constant_schedule(dummy),
        "constant_with_warmup": lambda w, n, more: o.get_constant_schedule_with_warmup(dummy, w),
        "linear": lambda w, n, more: o.get_linear_schedule_with_warmup(dummy, w, n),
        "cosine": lambda w, n, more: o.get_cosine_schedule_with_warmup(dummy, w, n, **more),
        "cosine_with_min_lr": lambda w, n, more: o.get_cosine_with_min_lr_schedule_with_warmup(
            dummy, w, n, min_lr_rate=more["min_lr_ratio"]),
        "wsd": lambda w, n, more: o.get_wsd_schedule(
            dummy, w, more["decay_steps"], num_training_steps=n,
            **{k: v for k, v in more.items() if k != "decay_steps"}),
    }
    cases = []
    for kind, more_list in {"constant": [{}], "constant_with_warmup": [{}], "linear": [{}],
                            "cosine": [{}, {"num_cycles": 1.5}], "cosine_with_min_lr": [{"min_lr_ratio": 0.1}],
                            "wsd": [{"decay_steps": 5}, {"decay_steps": 7, "min_lr_ratio": 0.2}]}.items():
        for more in more_list:
            for warmup, total in [(0, 20), (5, 23), (1, 12)]:
                schedule = makers[kind](warmup, total, more)
                values = [schedule.lr_lambdas[0](step) for step in range(total + 3)]
                cases.append({"kind": kind, "warmup_steps": warmup, "total": total, "options": more, "values": values})
    with open(os.path.join(HERE, "schedules.json"), "w") as file:
        json.dump(cases, file, indent=0)


def write_groups():
    import types

    import peft
    from peft.optimizers import create_loraplus_optimizer
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM
    from transformers import Trainer
    tiny = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=32)
    models = {"llama": LlamaForCausalLM(LlamaConfig(**tiny, attention_bias=True)),
              "qwen3": Qwen3ForCausalLM(Qwen3Config(**tiny, num_key_value_heads=2, head_dim=8)),
              "gpt2": GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=32, n_positions=8))}
    result = {"decay": {}, "loraplus": []}
    for name, model in models.items():
        decays = Trainer.get_decay_parameter_names(types.SimpleNamespace(), model)
        result["decay"][name] = [{"name": n, "dimensions": p.dim(), "decays": n in decays}
                                 for n, p in model.named_parameters()]
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj", "embed_tokens"])
    model = peft.get_peft_model(models["llama"], config)
    optimizer = create_loraplus_optimizer(model, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=16,
                                          loraplus_weight_decay=0.1)
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            lr, decay = rates[id(parameter)]
            result["loraplus"].append({"name": name, "dimensions": parameter.dim(), "lr": lr, "decays": decay > 0})
    with open(os.path.join(HERE, "parameter_groups.json"), "w") as file:
        json.dump(result, file, indent=0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.makedirs(HERE, exist_ok=True)
    write_optimizers()
    write_schedules()
    write_groups()
