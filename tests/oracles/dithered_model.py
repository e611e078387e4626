"""A model to compare quantizers on, made of one that has been quantized before.

    powerhouse convert --model SmolLM2-135M-Instruct.Q4_1.gguf --dtype f32 --output smollm2
    python tests/oracles/dithered_model.py smollm2 <new folder> [layers]

Weights out of Q4_1 stand on 16 levels for each 32 of a row: rounding them to 4 bits with a zero in groups of 32 finds those
levels again, and tells nothing of a method. Here each weight of a layer gets an even random part of its group's step, which
fills the gaps between the levels. `layers` keeps the first few, to measure time on.
"""
import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file


def main(source, folder, layers=0):
    source, folder, layers = pathlib.Path(source), pathlib.Path(folder), int(layers)
    generator = torch.Generator().manual_seed(5)
    tensors = {}
    for name, weight in load_file(source / "model.safetensors").items():
        if ".layers." in name:
            if layers and int(name.split(".layers.")[1].split(".")[0]) >= layers:
                continue
            if weight.dim() == 2:
                groups = weight.view(weight.shape[0], -1, 32)
                step = (groups.amax(-1, keepdim=True) - groups.amin(-1, keepdim=True)) / 15
                noise = torch.rand(groups.shape, generator=generator) - 0.5
                weight = (groups + noise * step).view_as(weight).contiguous()
        tensors[name] = weight
    shutil.copytree(source, folder, dirs_exist_ok=True)
    config = json.loads((source / "config.json").read_text())
    if layers:
        config["num_hidden_layers"] = layers
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


main(*sys.argv[1:])
