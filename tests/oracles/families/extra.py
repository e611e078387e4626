"""Families beside the list: Nemotron, Persimmon, GLM, GLM-4, EXAONE 4, Seed-OSS, HunYuan dense, ERNIE 4.5."""
from transformers import (Ernie4_5ForCausalLM, Exaone4ForCausalLM, Glm4ForCausalLM, GlmForCausalLM,
                          HunYuanDenseV1ForCausalLM, NemotronForCausalLM, PersimmonForCausalLM, SeedOssForCausalLM)

from fixture import Variant, rope
from llama_like import NAMES, SMALL
from spelling import old_config

PLAIN = dict(SMALL, rope_parameters=rope(1000.0))
HALF = rope(1000.0, partial_rotary_factor=0.5)
NORM = "model.layers.1.post_attention_layernorm."

VARIANTS = [
    Variant("nemotron_half", NemotronForCausalLM, dict(PLAIN, head_dim=8, mlp_bias=True, rope_parameters=HALF),
            [NAMES[0], NORM + "weight", "model.layers.1.mlp.up_proj.bias"],
            "LayerNorm by 1 + weight, squared relu without a gate, rotary in half of a head",
            off=[{"hidden_act": "relu"}, {"rope_parameters": rope(1000.0, partial_rotary_factor=1.0)}]),
    Variant("nemotron_biases", NemotronForCausalLM,
            dict(PLAIN, num_key_value_heads=1, attention_bias=True, tie_word_embeddings=True, norm_eps=1e-2,
                 rope_parameters=rope(1000.0, "linear", factor=3.0, partial_rotary_factor=1.0)),
            ["model.layers.0.self_attn.o_proj.bias", "model.norm.weight", "model.layers.1.mlp.down_proj.weight"],
            "biases of attention, whole heads turn, stretched RoPE, eps 1e-2, tied, old config",
            off=[{"norm_eps": 1e-5}], spell=[old_config()]),
    Variant("nemotron_gguf", NemotronForCausalLM, dict(PLAIN, hidden_size=32, rope_parameters=HALF),
            [NAMES[0], "model.norm.bias", "model.layers.1.input_layernorm.weight"], "what llama.cpp's graph can do: no biases"),
    Variant("persimmon_half", PersimmonForCausalLM,
            dict({key: value for key, value in PLAIN.items() if key != "num_key_value_heads"}, hidden_size=32,
                 rope_parameters=HALF),
            ["model.layers.0.self_attn.query_key_value.weight", "model.layers.1.self_attn.k_layernorm.bias", "lm_head.weight"],
            "fused (head, 3, head_dim) rows, LayerNorm of queries and keys, squared relu, biases", off=[{"qk_layernorm": False}]),
    Variant("persimmon_plain", PersimmonForCausalLM,
            dict({key: value for key, value in PLAIN.items() if key != "num_key_value_heads"}, qk_layernorm=False,
                 tie_word_embeddings=True, hidden_act="gelu_new", rope_parameters=rope(1000.0, partial_rotary_factor=1.0)),
            ["model.layers.0.self_attn.query_key_value.bias", "model.layers.1.mlp.dense_h_to_4h.weight", "model.final_layernorm.bias"],
            "no norm of queries and keys, whole heads turn, GELU, tied, old config", spell=[old_config()]),
    Variant("glm_half", GlmForCausalLM, dict(PLAIN, head_dim=8, rope_parameters=HALF),
            ["model.layers.0.self_attn.k_proj.bias", "model.layers.1.mlp.gate_up_proj.weight", NORM + "weight"],
            "interleaved rotary in half of a head, fused gate and up, biases of q, k, v",
            off=[{"rope_parameters": rope(1000.0, partial_rotary_factor=1.0)}]),
    Variant("glm4_sandwich", Glm4ForCausalLM, dict(PLAIN, head_dim=8, rope_parameters=HALF, attention_bias=False),
            [NAMES[0], "model.layers.0.post_self_attn_layernorm.weight", "model.layers.1.post_mlp_layernorm.weight"],
            "as GLM, norms before and behind attention and MLP, no biases"),
    Variant("exaone4_window", Exaone4ForCausalLM,
            dict(PLAIN, num_hidden_layers=4, head_dim=8, sliding_window=5, sliding_window_pattern=2),
            [NAMES[0], "model.layers.1.self_attn.q_norm.weight", "model.layers.3.post_feedforward_layernorm.weight"],
            "norms behind attention and MLP, of queries and keys per head; window of 5 and rotary in layers 0 and 2 only",
            off=[{"sliding_window": 64}]),
    Variant("seed_oss_bias", SeedOssForCausalLM,
            dict(PLAIN, head_dim=10, attention_bias=True, attention_out_bias=False, mlp_bias=True),
            ["model.layers.0.self_attn.q_proj.bias", "model.layers.1.mlp.down_proj.bias", NAMES[1]],
            "biases of q, k, v and the MLP, none of o; heads of 10 for a hidden size of 24"),
    Variant("hunyuan_norms", HunYuanDenseV1ForCausalLM, dict(PLAIN, head_dim=8, tie_word_embeddings=True),
            [NAMES[0], "model.layers.0.self_attn.key_layernorm.weight", "model.embed_tokens.weight"],
            "RMSNorm of queries and keys behind the rotation, tied"),
    Variant("hunyuan_alpha", HunYuanDenseV1ForCausalLM,
            dict(PLAIN, head_dim=8, rope_parameters=rope(1000.0, "dynamic", alpha=50.0, factor=1.0)),
            [NAMES[0], "model.layers.0.self_attn.query_layernorm.weight", NAMES[2]],
            "RoPE 'dynamic' with alpha: base * alpha^(d / (d - 2)) at every length", off=[{"rope_parameters": rope(1000.0)}]),
    Variant("ernie4_5_bias", Ernie4_5ForCausalLM, dict(PLAIN, head_dim=10, use_bias=True),
            ["model.layers.0.self_attn.o_proj.bias", "model.layers.1.mlp.gate_proj.weight", "model.embed_tokens.weight"],
            "interleaved rotary, biases everywhere, tied, heads of 10 for a hidden size of 24"),
]
