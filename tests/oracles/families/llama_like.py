"""Llama with every type of RoPE, Mistral, Qwen2, Qwen3: the gated pre-norm block with RMSNorm."""
from transformers import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

from fixture import Variant, rope
from spelling import old_config

SMALL = dict(vocab_size=44, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64)
NAMES = ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.post_attention_layernorm.weight",
         "model.layers.1.mlp.down_proj.weight"]
REGIME = "the frequencies follow the longest row of the batch; alone the second row is within its regime of its own"


def llama():
    plain = {"rope_parameters": rope(1000.0)}
    small = dict(SMALL, head_dim=8)

    def scaled(name, parameters, note, off=None, **more):
        settings = {key: more.pop(key) for key in list(more) if key not in ("spell", "padded", "bf16", "length")}
        return Variant("llama_" + name, LlamaForCausalLM, dict(small, rope_parameters=parameters, **settings), NAMES, note,
                       off=[plain, *(off or [])], **more)

    yarn = dict(factor=4.0, original_max_position_embeddings=8)
    # Pairs 0 to 3 of a head: the ramp goes 0, 1/3, 2/3, 1 (and from 0.14 to 2.28 where not truncated).
    betas = dict(factor=4.0, original_max_position_embeddings=16, beta_fast=2.0, beta_slow=0.05)
    factors = dict(short_factor=[1.0, 1.1, 1.3, 1.7], long_factor=[1.0, 2.0, 3.5, 6.0])
    return [
        Variant("llama_biases", LlamaForCausalLM,
                dict(small, num_key_value_heads=1, attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
                     hidden_act="gelu_pytorch_tanh", rms_norm_eps=1e-2, rope_parameters=rope(1000.0)),
                ["model.layers.0.self_attn.o_proj.bias", "model.layers.1.mlp.gate_proj.bias", "model.embed_tokens.weight"],
                "biases everywhere, one key-value head, heads of 8 for a hidden size of 24, tied, gelu, eps 1e-2, float32",
                bf16=False, off=[{"hidden_act": "silu"}, {"rms_norm_eps": 1e-6}]),
        scaled("linear", rope(1000.0, "linear", factor=4.0), "RoPE linear, as {'type': 'linear'} in rope_scaling",
               spell=[old_config()]),
        scaled("dynamic", rope(1000.0, "dynamic", factor=4.0), "RoPE dynamic, both rows longer than max_position_embeddings",
               max_position_embeddings=16, padded=REGIME),
        scaled("dynamic_short", rope(1000.0, "dynamic", factor=4.0),
               "RoPE dynamic, the first row longer than max_position_embeddings, the second not",
               max_position_embeddings=24, padded=REGIME, spell=[old_config()]),
        scaled("yarn", rope(1000.0, "yarn", **yarn), "RoPE yarn, prompt past the original length"),
        scaled("yarn_mscale", rope(1000.0, "yarn", **betas, mscale=1.3, mscale_all_dim=0.6),
               "RoPE yarn with mscale and mscale_all_dim, own betas, as {'type': 'yarn'}",
               off=[{"rope_parameters": rope(1000.0, "yarn", **betas)}], spell=[old_config()]),
        scaled("yarn_factor", rope(1000.0, "yarn", **betas, attention_factor=0.8, truncate=False),
               "RoPE yarn with attention_factor, correction range not truncated",
               off=[{"rope_parameters": rope(1000.0, "yarn", **betas, truncate=False)},
                    {"rope_parameters": rope(1000.0, "yarn", **betas, attention_factor=0.8)}]),
        scaled("longrope", rope(1000.0, "longrope", **factors, original_max_position_embeddings=12),
               "RoPE longrope, both rows longer than the original length: long factors, factor from the two lengths"),
        scaled("longrope_short", rope(1000.0, "longrope", **factors, factor=3.0, original_max_position_embeddings=24),
               "RoPE longrope with a factor, the first row longer than the original length, the second not: short factors",
               padded=REGIME),
        scaled("llama3", rope(1000.0, "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                              original_max_position_embeddings=16),
               "RoPE llama3, prompt past the original length, as rope_type in rope_scaling",
               spell=[old_config(type_key="rope_type")]),
    ]


def mistral():
    return [
        Variant("mistral_window", MistralForCausalLM,
                dict(SMALL, head_dim=10, sliding_window=5, rope_parameters=rope(1000.0)), NAMES,
                "window of 5 shorter than the prompt, heads of 10 for a hidden size of 24, old config",
                off=[{"sliding_window": None}, {"sliding_window": 6}], spell=[old_config()]),
        Variant("mistral_no_window", MistralForCausalLM,
                dict(SMALL, num_attention_heads=3, num_key_value_heads=1, sliding_window=None, tie_word_embeddings=True,
                     rope_parameters=rope(1e6)), [NAMES[0], "model.norm.weight", "model.embed_tokens.weight"],
                "no window, 3 heads with one key-value head, tied, head_dim from the hidden size"),
    ]


def qwen2():
    return [
        Variant("qwen2_window", Qwen2ForCausalLM,
                dict(SMALL, num_hidden_layers=3, use_sliding_window=True, sliding_window=6, max_window_layers=1,
                     rope_parameters=rope(1000.0, "yarn", factor=4.0, original_max_position_embeddings=16)),
                ["model.layers.0.self_attn.k_proj.bias", *NAMES[1:]],
                "biases of q, k, v; window in layers 1 and 2; yarn; old config without layer_types",
                off=[{"use_sliding_window": False}, {"max_window_layers": 0}, {"rope_parameters": rope(1000.0)}],
                spell=[old_config(drop=("layer_types",))]),
        Variant("qwen2_tied", Qwen2ForCausalLM,
                dict(SMALL, num_attention_heads=3, num_key_value_heads=3, tie_word_embeddings=True, sliding_window=4,
                     rope_parameters=rope(1e6)), [NAMES[0], "model.layers.1.self_attn.v_proj.bias", "model.embed_tokens.weight"],
                "sliding_window without use_sliding_window: none; tied, float32", bf16=False),
    ]


def qwen3():
    return [
        Variant("qwen3_norms", Qwen3ForCausalLM, dict(SMALL, head_dim=10, rope_parameters=rope(1000.0)),
                [NAMES[0], "model.layers.0.self_attn.q_norm.weight", NAMES[2]],
                "RMSNorm of queries and keys per head, heads of 10 for a hidden size of 24, old config",
                spell=[old_config(drop=("layer_types",))]),
        Variant("qwen3_bias", Qwen3ForCausalLM,
                dict(SMALL, num_key_value_heads=1, head_dim=8, attention_bias=True, tie_word_embeddings=True,
                     use_sliding_window=True, sliding_window=7, rms_norm_eps=1e-2,
                     layer_types=["sliding_attention", "full_attention"], rope_parameters=rope(1000.0)),
                ["model.layers.0.self_attn.o_proj.bias", "model.layers.1.self_attn.k_norm.weight", "model.embed_tokens.weight"],
                "biases of q, k, v, o; one key-value head; layer_types with the window first, tied, eps 1e-2",
                off=[{"use_sliding_window": False, "layer_types": None}, {"rms_norm_eps": 1e-6}]),
    ]


VARIANTS = [*llama(), *mistral(), *qwen2(), *qwen3()]
