"""A whole Llama by AutoAWQ 0.2.9's searches on the CPU, to measure against: perplexity of the folder, and time.

    pip download --no-deps --no-binary :all: autoawq==0.2.9; unpack into <peer>
    python tests/oracles/awq_model.py <peer> <model folder> <ids> <output folder> [--group 64] [--layers N] [--threads 2]

<ids> as in gptq_model.py. AwqQuantizer's own search for scales and ranges runs, out of its file: what stands around it in
the package wants a GPU and an older transformers. The layers of each group, the modules that outputs are compared of, and
how scales are put in place are those of awq/models/llama.py and awq/quantize/scale.py. Two things are written otherwise. The
outputs of groups that ranges are judged by are batched matrix products here, sums over a broadcast product there (the same
sums, and not most of the time). The weights that a trial is undone with are a copy here; there they are moved to the CPU,
which of weights that are there already is no copy, and the first trial would stay in them. The output folder is a plain one
in float32 with the values that the codes say, scales rounded to float16.
"""
import argparse
import pathlib
import time

import torch

from gptq_model import first_inputs, opened, run_layer, save


def quantizer_of(folder, group):
    source = (pathlib.Path(folder) / "awq/quantize/quantizer.py").read_text()
    lines, skipping = [], False
    for line in source.splitlines():
        if skipping or line.startswith(("from awq.", "from transformers.models", "import transformers", "from tqdm")):
            skipping = "(" in line and ")" not in line or skipping and ")" not in line
            continue
        lines.append(line)
    text = "\n".join(lines)
    for weight in ("w", "q_w"):
        product = f"(input_feat * {weight}).sum(dim=-1)"
        assert text.count(product) == 1
        text = text.replace(product, f"torch.einsum('ntgs,cmgs->ctg', input_feat, {weight})")
    aliased = "{k: v.cpu() for k, v in module2inspect.state_dict().items()}"
    assert text.count(aliased) == 1
    text = text.replace(aliased, "{k: v.clone() for k, v in module2inspect.state_dict().items()}")
    names = {"clear_memory": lambda *_: None, "get_best_device": lambda: "cpu", "get_op_name": lambda *_: ""}
    exec(compile("from __future__ import annotations\n" + text, "quantizer.py", "exec"), names)
    quantizer = names["AwqQuantizer"].__new__(names["AwqQuantizer"])
    quantizer.__dict__.update(group_size=group, w_bit=4, zero_point=True, duo_scaling=True, version="gemm",
                              n_parallel_calib_samples=1, max_chunk_memory=1 << 30)
    quantizer._sanitize_kwargs = lambda arguments, module: arguments
    return quantizer


@torch.no_grad()
def quantize_layer(quantizer, layer, x, arguments):
    inputs, handles = {}, []
    for name, module in layer.named_modules():
        if isinstance(module, torch.nn.Linear):
            handles.append(module.register_forward_hook(
                lambda module, positional, y, name=name: inputs.setdefault(name, []).append(positional[0])))
    out = torch.cat([run_layer(layer, one, arguments) for one in x.split(1)])
    for handle in handles:
        handle.remove()
    inputs = {name: torch.cat(parts) for name, parts in inputs.items()}
    attention, mlp = layer.self_attn, layer.mlp
    groups = [(layer.input_layernorm, ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], attention, arguments)]
    if attention.v_proj.weight.shape == attention.o_proj.weight.shape:
        groups.append((attention.v_proj, ["self_attn.o_proj"], None, {}))
    groups += [(layer.post_attention_layernorm, ["mlp.gate_proj", "mlp.up_proj"], mlp, {}),
               (mlp.up_proj, ["mlp.down_proj"], None, {})]
    scales = []
    for feed, names, inspected, kwargs in groups:
        layers = [layer.get_submodule(name) for name in names]
        scales.append(quantizer._search_best_scale(layer, feed, layers, inputs[names[0]], inspected, dict(kwargs))[2])
    for (feed, names, _, _), scale in zip(groups, scales):
        if feed.weight.dim() == 1:
            feed.weight.div_(scale)
        else:
            feed.weight[-scale.numel():].div_(scale.view(-1, 1))
        for name in names:
            layer.get_submodule(name).weight.mul_(scale)
            inputs[name] = inputs[name] / scale
    for name in inputs:
        linear = layer.get_submodule(name)
        if name not in ("self_attn.q_proj", "self_attn.k_proj"):
            limit = quantizer._compute_best_clip(linear.weight, inputs[name])
            parts = linear.weight.view(limit.shape[0], limit.shape[1], -1)
            linear.weight.data = torch.clamp(parts, -limit, limit).view_as(linear.weight)
        values, scale, zeros = quantizer.pseudo_quantize_tensor(linear.weight.data)
        g = torch.arange(linear.in_features) // quantizer.group_size
        codes = torch.round(values / scale[:, g] + zeros[:, g])
        linear.weight.data = (codes - zeros[:, g]) * scale.half().float()[:, g]
    return out


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser()
    for name in ("peer", "model", "ids", "output"):
        parser.add_argument(name)
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    quantizer = quantizer_of(options.peer, options.group)
    model, sequences = opened(options)
    begin = time.time()
    states, arguments = first_inputs(model, sequences)
    x = torch.cat(states)
    for index, layer in enumerate(model.model.layers):
        x = quantize_layer(quantizer, layer, x, arguments)
        print(f"layer {index}: {time.time() - begin:.1f} s", flush=True)
    print(f"total: {time.time() - begin:.1f} s")
    save(model, options)


if __name__ == "__main__":
    main()
