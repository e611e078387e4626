"""A folder that we packed, read by AutoGPTQ 0.7.1's module on the CPU, against a dense folder of the same run.

    pip download --no-deps auto-gptq==0.7.1; unzip into <peer>
    python tests/oracles/gptq_folder.py random <folder with a tokenizer> <new folder>
    quantize_gptq <new folder> text.txt packed 4 128; quantize_gptq <new folder> text.txt dense 4 128 128 dense
    python tests/oracles/gptq_folder.py compare <peer> packed dense

`random` writes a Llama of hidden size 1024 with random weights. `compare` ends with an error where a value differs.
"""
import importlib.util
import json
import pathlib
import shutil
import sys

import torch
from safetensors.torch import load_file


def random(tokenizer, folder):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(hidden_size=1024, intermediate_size=2816, num_hidden_layers=2, num_attention_heads=16,
                         num_key_value_heads=4, vocab_size=49152, tie_word_embeddings=True, bos_token_id=1,
                         eos_token_id=2, initializer_range=0.05)
    LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(pathlib.Path(tokenizer) / name, folder)


def module_class(peer):
    path = pathlib.Path(peer) / "auto_gptq/nn_modules/qlinear/qlinear_cuda.py"
    spec = importlib.util.spec_from_file_location("qlinear_of_peer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.QuantLinear


def tensors_of(folder):
    tensors = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors


def compare(peer, packed, dense):
    linear = module_class(peer)
    config = json.load(open(pathlib.Path(packed) / "config.json"))["quantization_config"]
    ours, values = tensors_of(packed), tensors_of(dense)
    names = [name.removesuffix(".qweight") for name in ours if name.endswith(".qweight")]
    for name in names:
        expected = values[f"{name}.weight"]
        outputs, inputs = expected.shape
        group = inputs if config["group_size"] == -1 else config["group_size"]
        module = linear(config["bits"], group, inputs, outputs, False)
        module.qweight, module.qzeros = ours[f"{name}.qweight"], ours[f"{name}.qzeros"]
        module.scales, module.g_idx = ours[f"{name}.scales"].float(), ours[f"{name}.g_idx"]
        found = module(torch.eye(inputs)).t()
        assert torch.equal(found, expected), (name, (found - expected).abs().max())
    print(f"{len(names)} modules, every value the same")


{"random": random, "compare": compare}[sys.argv[1]](*sys.argv[2:])
