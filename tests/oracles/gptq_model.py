"""A whole Llama by AutoGPTQ 0.7.1's solver on the CPU, to measure against: perplexity of the folder, and time.

    pip download --no-deps auto-gptq==0.7.1; unzip into <peer>
    python tests/oracles/gptq_model.py <peer> <model folder> <ids> <output folder> [--bits 4] [--group 64] [--order]
        [--asym] [--damp 0.01] [--nearest] [--layers N] [--threads 2]

<ids> holds one calibration sequence a line, numbers with blanks between. The output folder is a plain one in float32
with the values that the codes say, scales rounded to float16 as its packing rounds them. --nearest rounds without looking at inputs. With --layers only the first N
layers are kept (to measure time on a few of them) and nothing is written.

The order of work is AutoGPTQ's (BaseGPTQForCausalLM.quantize with true_sequential): for each of q k v, o, gate up and
down all sequences go through the layer one by one, then their Hessians are solved; at last all sequences go through once
more for the next layer's inputs.
"""
import argparse
import importlib
import pathlib
import sys
import time
import types

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

STEPS = [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["self_attn.o_proj"],
         ["mlp.gate_proj", "mlp.up_proj"], ["mlp.down_proj"]]


def peer(folder):
    package = types.ModuleType("gptq_peer")
    package.__path__ = [str(pathlib.Path(folder) / "auto_gptq/quantization")]
    sys.modules["gptq_peer"] = package
    torch.cuda.synchronize = lambda: None
    torch.cuda.empty_cache = lambda: None
    return importlib.import_module("gptq_peer.gptq").GPTQ


class Stop(Exception):
    pass


def first_inputs(model, sequences):
    """What the first layer is given for each sequence, and with which further arguments."""
    states, arguments = [], {}

    def catch(module, positional, named):
        states.append(positional[0] if positional else named["hidden_states"])
        arguments.update({key: value for key, value in named.items() if key != "hidden_states"})
        raise Stop

    handle = model.model.layers[0].register_forward_pre_hook(catch, with_kwargs=True)
    for ids in sequences:
        try:
            model(torch.tensor([ids]), use_cache=False)
        except Stop:
            pass
    handle.remove()
    return states, arguments


def run_layer(layer, x, arguments):
    out = layer(x, **arguments)
    return out[0] if isinstance(out, tuple) else out


def nearest(linear, gptq, options):
    quantizer = gptq(linear).quantizer
    quantizer.configure(options.bits, perchannel=True, sym=not options.asym, mse=False)
    for part in linear.weight.data.split(options.group, dim=1):
        quantizer.find_params(part, weight=True)
        quantizer.scale = quantizer.scale.half().float()
        part.copy_(quantizer.quantize(part))


def round_scales(weight, scale, zero, g_idx):
    """The same codes by scales that float16 holds."""
    g = g_idx.long() if scale.shape[1] > 1 else torch.zeros_like(g_idx).long()
    codes = torch.round(weight / scale[:, g] + zero[:, g])
    return (codes - zero[:, g]) * scale.half().float()[:, g]


def opened(options):
    """The model, or its first layers, and the sequences."""
    torch.set_num_threads(options.threads)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    model.eval()
    if options.layers:
        model.model.layers = model.model.layers[: options.layers]
    return model, [[int(id) for id in line.split()] for line in open(options.ids)]


def save(model, options):
    """A whole model; of one cut short only the time is wanted."""
    if not options.layers:
        model.save_pretrained(options.output)
        AutoTokenizer.from_pretrained(options.model).save_pretrained(options.output)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("model")
    parser.add_argument("ids")
    parser.add_argument("output")
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--order", action="store_true")
    parser.add_argument("--asym", action="store_true")
    parser.add_argument("--damp", type=float, default=0.01)
    parser.add_argument("--nearest", action="store_true")
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    gptq = peer(options.peer)
    model, sequences = opened(options)
    begin = time.time()
    states, arguments = first_inputs(model, sequences)
    for index, layer in enumerate(model.model.layers):
        if options.nearest:
            for name in sum(STEPS, []):
                nearest(layer.get_submodule(name), gptq, options)
            continue
        for step in STEPS:
            solvers, handles = {}, []
            for name in step:
                module = layer.get_submodule(name)
                solvers[name] = gptq(module)
                solvers[name].quantizer.configure(options.bits, perchannel=True, sym=not options.asym, mse=False)
                handles.append(module.register_forward_hook(
                    lambda module, x, y, name=name: solvers[name].add_batch(x[0].data, y.data)))
            for x in states:
                run_layer(layer, x, arguments)
            for handle in handles:
                handle.remove()
            for name in step:
                module = layer.get_submodule(name)
                scale, zero, g_idx = solvers[name].fasterquant(percdamp=options.damp, group_size=options.group,
                                                               actorder=options.order, static_groups=False)
                module.weight.data = round_scales(module.weight.data, scale, zero, g_idx)
        states = [run_layer(layer, x, arguments) for x in states]
        print(f"layer {index}: {time.time() - begin:.1f} s", flush=True)
    print(f"total: {time.time() - begin:.1f} s")
    save(model, options)


if __name__ == "__main__":
    main()
