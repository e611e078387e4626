"""Writes tests/fixtures/model/tiny_*: random Llama checkpoints with odd settings, and what transformers makes of them.

Each folder holds config.json, the weights, and expected.safetensors: input_ids and attention_mask (the second row padded
on the left), logits of the batch and of its rows alone, hidden states, how far transformers' own bf16 and f16 logits
are from its f32 ones (root mean square, by position), and for some the loss and gradients of three parameters.
The same models as GGUF in llama.cpp's conventions: F32, Q8_0 and Q4_0.

All arithmetic is float32 with attention_implementation="eager". Ran with transformers 5.23.0, torch 2.11.0,
safetensors 0.8.0, gguf 0.19.0, numpy 2.4.6; the same versions write the same bytes.
"""
import copy
import json
import os
import shutil

import gguf
import numpy
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "model")

SHAPES = {
    # head_dim is not hidden/heads, unequal key-value heads, untied head
    "gqa": dict(vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=6,
                num_key_value_heads=2, head_dim=16, max_position_embeddings=64, rms_norm_eps=1e-5,
                tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 5000.0}),
    # biases everywhere, tied head, llama3 scaling past the original length, spelled as transformers 4 did
    "bias_llama3": dict(vocab_size=67, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                        num_key_value_heads=4, head_dim=8, max_position_embeddings=128, rms_norm_eps=1e-6,
                        tie_word_embeddings=True, attention_bias=True, mlp_bias=True,
                        rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0,
                                         "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                         "original_max_position_embeddings": 16}),
    # linear scaling, new spelling, one key-value head, in shards
    "mqa_linear": dict(vocab_size=71, hidden_size=40, intermediate_size=96, num_hidden_layers=3, num_attention_heads=5,
                       num_key_value_heads=1, head_dim=8, max_position_embeddings=96, rms_norm_eps=1e-5,
                       tie_word_embeddings=False,
                       rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}),
    # rows of whole blocks, for GGUF
    "blocks": dict(vocab_size=64, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                   num_key_value_heads=2, head_dim=32, max_position_embeddings=64, rms_norm_eps=1e-5,
                   tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
}
GRADIENTS = ["model.layers.0.self_attn.k_proj.weight", "model.layers.1.post_attention_layernorm.weight",
             "model.embed_tokens.weight"]


def make(name):
    torch.manual_seed(sum(map(ord, name)))
    config = LlamaConfig(**SHAPES[name], bos_token_id=1, eos_token_id=2, pad_token_id=0,
                         attn_implementation="eager")
    model = LlamaForCausalLM(config).float().eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            # Larger than the usual 0.02, so that attention and MLP matter; norms around 1, biases not zero.
            parameter.normal_(0, 0.15)
            if "norm" in parameter_name:
                parameter.add_(1.0)
    return model


def expected(model, with_gradients):
    config = model.config
    generator = torch.Generator().manual_seed(7)
    length = min(40, config.max_position_embeddings)
    ids = torch.randint(3, config.vocab_size, (2, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, :9] = 0
    ids[1, :9] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    out = {"input_ids": ids, "attention_mask": mask}
    with torch.no_grad():
        result = model(ids, attention_mask=mask, position_ids=positions, output_hidden_states=True)
        out["logits"] = result.logits * mask[..., None]
        single = model(ids[:1], output_hidden_states=True)
        out["single_logits"] = single.logits[0]
        out["single_logits.1"] = model(ids[1:, 9:]).logits[0]
        for name, dtype in (("bf16", torch.bfloat16), ("f16", torch.float16)):
            low = copy.deepcopy(model).to(dtype)
            low.model.rotary_emb.inv_freq = model.model.rotary_emb.inv_freq  # float32, as from_pretrained leaves it
            out[name + "_rms"] = (low(ids[:1]).logits[0].float() - single.logits[0]).pow(2).mean(-1).sqrt()
        # hidden_states[i + 1] is the output of layer i, but for the last, which is behind the final norm.
        for layer in range(config.num_hidden_layers - 1):
            out[f"layer_output.{layer}"] = single.hidden_states[layer + 1][0]
        out["final_norm"] = single.hidden_states[-1][0]
    if with_gradients:
        model.zero_grad()
        loss = model(ids[:1], labels=ids[:1]).loss
        loss.backward()
        out["loss"] = loss.detach().reshape(1)
        for name in GRADIENTS:
            out["grad." + name] = dict(model.named_parameters())[name].grad
    return {name: tensor.contiguous().clone() for name, tensor in out.items()}


def permute(weight, heads):
    """llama.cpp's order of the rows of Q and K: pairs (i, i + head_dim/2) side by side."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path, model, quantized=None):
    """Returns the state dict that the file stands for (dequantized where it is quantized)."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_tokenizer_model("none")  # llama.cpp loads no file without a word on its vocabulary
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if config.rope_parameters["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_parameters["factor"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    stood_for = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, ending = name.rsplit(".", 1)
        data = tensor.numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(stem.rsplit(".", 1)[-1])
        if heads:
            data = permute(data, heads)
        data = numpy.ascontiguousarray(data)
        gguf_name = names.get_name(stem) + "." + ending
        if quantized is not None and data.ndim == 2:
            packed = gguf.quants.quantize(data, quantized)
            writer.add_tensor(gguf_name, packed, raw_dtype=quantized)
            data = gguf.quants.dequantize(packed, quantized)
        else:
            writer.add_tensor(gguf_name, data)
        if heads:  # back
            data = data.reshape(heads, data.shape[0] // heads // 2, 2, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)
        stood_for[name] = torch.from_numpy(numpy.ascontiguousarray(data))
    if config.rope_parameters["rope_type"] == "llama3":
        # As llama.cpp's converter does: factors that the frequencies are divided by.
        plain = 1.0 / (config.rope_parameters["rope_theta"] **
                       (torch.arange(0, config.head_dim, 2).float() / config.head_dim))
        writer.add_tensor("rope_freqs.weight", (plain / model.model.rotary_emb.inv_freq).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stood_for


def main():
    os.makedirs(HERE, exist_ok=True)
    for name in SHAPES:
        model = make(name)
        folder = os.path.join(HERE, "tiny_" + name)
        shutil.rmtree(folder, ignore_errors=True)
        if name == "mqa_linear":
            model.save_pretrained(folder, max_shard_size="30KB")
        else:
            model.save_pretrained(folder)
        config_path = os.path.join(folder, "config.json")
        with open(config_path) as file:
            config = json.load(file)
        if name == "bias_llama3":  # the older spelling
            parameters = config.pop("rope_parameters")
            config["rope_theta"] = parameters.pop("rope_theta")
            config["rope_scaling"] = parameters
        config.pop("transformers_version", None)
        with open(config_path, "w") as file:
            json.dump(config, file, indent=2)
            file.write("\n")
        save_file(expected(model, name in ("gqa", "bias_llama3")), os.path.join(folder, "expected.safetensors"))
        write_gguf(os.path.join(HERE, f"tiny_{name}.gguf"), model)
        if name == "blocks":
            for kind in ("Q8_0", "Q4_0"):
                path = os.path.join(HERE, f"tiny_{name}_{kind.lower()}.gguf")
                model.load_state_dict(write_gguf(path, make(name), gguf.GGMLQuantizationType[kind]))
                save_file(expected(model, False), path.replace(".gguf", ".expected.safetensors"))
            low = make(name).to(torch.bfloat16)
            low_folder = os.path.join(HERE, "tiny_bf16")
            shutil.rmtree(low_folder, ignore_errors=True)
            low.save_pretrained(low_folder)
            # Read back, because .to(bfloat16) rounds RoPE's frequencies too, which no file holds.
            back = LlamaForCausalLM.from_pretrained(low_folder, dtype=torch.float32, attn_implementation="eager").eval()
            save_file(expected(back, False), os.path.join(low_folder, "expected.safetensors"))
    for folder, _, files in os.walk(HERE):
        for file in files:
            if file == "generation_config.json" and not folder.endswith("tiny_gqa"):
                os.remove(os.path.join(folder, file))


main()
