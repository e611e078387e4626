"""Writes tests/fixtures/model/tiny_*_{q8_0,q4_0}.gguf: random mixtures of experts with quantized weights in llama.cpp's
conventions, and what transformers makes of the same numbers (*.expected.safetensors: input_ids, single_logits).

All arithmetic is float32 with attention_implementation="eager". Ran with transformers 5.23.0, torch 2.11.0,
safetensors 0.8.0, gguf 0.19.0; the same versions write the same bytes.
"""
import os

import gguf
import torch
import transformers
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "model")
BASE = dict(vocab_size=64, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
            max_position_embeddings=64, rms_norm_eps=1e-6, tie_word_embeddings=False, num_experts=6,
            moe_intermediate_size=32, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
# name: model, GGUF's architecture, settings.
MODELS = {
    "experts": ("Qwen3Moe", "qwen3moe", BASE | dict(num_experts_per_tok=2, norm_topk_prob=True)),
    "shared_expert": ("Qwen2Moe", "qwen2moe", {k: v for k, v in BASE.items() if k != "head_dim"} | dict(
        num_experts_per_tok=3, norm_topk_prob=False, shared_expert_intermediate_size=96)),
    # biases, gate and up alternating and cut at 7
    "clamped_experts": ("GptOss", "gpt-oss", BASE | dict(
        num_local_experts=6, num_experts_per_tok=2, intermediate_size=32, sliding_window=6,
        rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "truncate": True,
                         "original_max_position_embeddings": 16})),
}


def make(name):
    torch.manual_seed(sum(map(ord, name)))
    kind, _, settings = MODELS[name]
    config = getattr(transformers, kind + "Config")(**settings, bos_token_id=1, eos_token_id=2, pad_token_id=0,
                                                    attn_implementation="eager")
    model = getattr(transformers, kind + "ForCausalLM")(config).float().eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.normal_(0, 0.6 if "experts.gate_up" in parameter_name else 0.15)
            if "norm" in parameter_name:
                parameter.add_(1.0)
    return model


def parts_of(name, tensor, inner, architecture):
    """GGUF's name and data of each tensor that holds a parameter, and where it lies in that."""
    layer = "blk." + name.split(".")[2] + "." if ".layers." in name else ""
    stem = name.split(".layers.")[-1].split(".", 1)[-1]
    plain = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
             "lm_head.weight": "output.weight"}
    inside = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
              "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
              "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate": "ffn_gate_inp", "mlp.router": "ffn_gate_inp",
              "mlp.shared_expert.gate_proj": "ffn_gate_shexp", "mlp.shared_expert.up_proj": "ffn_up_shexp",
              "mlp.shared_expert.down_proj": "ffn_down_shexp", "mlp.shared_expert_gate": "ffn_gate_inp_shexp"}
    if name in plain:
        return [(plain[name], tensor)]
    if architecture == "gpt-oss":
        inside["post_attention_layernorm"] = "post_attention_norm"
        if stem.startswith("mlp.experts"):
            ending = ".bias" if stem.endswith("_bias") else ".weight"
            rows = tensor if stem.endswith("_bias") else tensor.transpose(1, 2)
            if "gate_up" not in stem:
                return [(layer + "ffn_down_exps" + ending, rows)]
            return [(layer + f"ffn_{part}_exps" + ending, rows[:, i::2]) for i, part in enumerate(("gate", "up"))]
        if stem == "self_attn.sinks":
            return [(layer + "attn_sinks.weight", tensor)]
    if stem == "mlp.experts.gate_up_proj":
        return [(layer + "ffn_gate_exps.weight", tensor[:, :inner]), (layer + "ffn_up_exps.weight", tensor[:, inner:])]
    if stem == "mlp.experts.down_proj":
        return [(layer + "ffn_down_exps.weight", tensor)]
    stem, ending = stem.rsplit(".", 1)
    return [(layer + inside[stem] + "." + ending, tensor)]


def write(path, name, model, kind):
    """The file; the model then has the numbers that it stands for."""
    config = model.config
    writer = gguf.GGUFWriter(path, MODELS[name][1])
    writer.add_tokenizer_model("none")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_expert_count(MODELS[name][2]["num_experts"])
    writer.add_expert_used_count(config.num_experts_per_tok)
    inner = getattr(config, "moe_intermediate_size", config.intermediate_size)
    writer.add_expert_feed_forward_length(inner)
    if config.rope_parameters["rope_type"] == "yarn":
        writer.add_sliding_window(config.sliding_window)
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(config.rope_parameters["factor"])
        writer.add_rope_scaling_orig_ctx_len(config.rope_parameters["original_max_position_embeddings"])
    if "shared_expert_intermediate_size" in MODELS[name][2]:
        writer.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            for gguf_name, part in parts_of(parameter_name, parameter, inner, MODELS[name][1]):
                data = part.contiguous().numpy()
                if data.ndim < 2 or gguf_name.endswith("bias") or "ffn_gate_inp" in gguf_name:
                    writer.add_tensor(gguf_name, data.reshape(-1) if "shexp" in gguf_name else data)
                    continue
                packed = gguf.quants.quantize(data, kind)
                writer.add_tensor(gguf_name, packed, raw_dtype=kind)
                part.copy_(torch.from_numpy(gguf.quants.dequantize(packed, kind)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    for name in MODELS:
        for kind in ("Q8_0", "Q4_0"):
            path = os.path.join(HERE, f"tiny_{name}_{kind.lower()}.gguf")
            model = make(name)
            write(path, name, model, gguf.GGMLQuantizationType[kind])
            ids = torch.randint(3, model.config.vocab_size, (1, 40), generator=torch.Generator().manual_seed(7))
            with torch.no_grad():
                logits = model(ids, use_cache=False).logits[0]
            save_file({"input_ids": ids, "single_logits": logits.contiguous()},
                      path.replace(".gguf", ".expected.safetensors"))


main()
