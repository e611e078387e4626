"""Gemma 1 to 3 (text) and Phi 1 to 3."""
from transformers import (Gemma2ForCausalLM, Gemma3ForCausalLM, GemmaForCausalLM, Phi3ForCausalLM, PhiForCausalLM)

from fixture import Variant, rope
from llama_like import NAMES, REGIME, SMALL
from spelling import old_config


def gemma1():
    def hub(config, tensors):
        config["hidden_act"], config["hidden_activation"] = "gelu", None  # the first files; means the tanh form
        return config, tensors
    return [
        Variant("gemma_hub", GemmaForCausalLM, dict(SMALL, head_dim=10, rope_parameters=rope(1000.0)),
                [NAMES[0], NAMES[1], "model.embed_tokens.weight"],
                "heads of 10 for a hidden size of 24, tied; hidden_act 'gelu' that means the tanh form, old config",
                spell=[old_config(), hub]),
        Variant("gemma_mqa", GemmaForCausalLM,
                dict(SMALL, head_dim=8, num_key_value_heads=1, attention_bias=True, tie_word_embeddings=False,
                     rope_parameters=rope(1000.0, "linear", factor=2.0)),
                ["model.layers.0.self_attn.k_proj.weight", "model.layers.1.self_attn.o_proj.bias", "lm_head.weight"],
                "one key-value head, attention biases, untied, linear scaling, float32", bf16=False,
                off=[{"rope_parameters": rope(1000.0)}]),
    ]


def gemma2():
    small = dict(SMALL, num_hidden_layers=3, head_dim=8, sliding_window=5, query_pre_attn_scalar=3,
                 attn_logit_softcapping=1.0, final_logit_softcapping=2.0, rope_parameters=rope(1000.0))
    return [
        Variant("gemma2_caps", Gemma2ForCausalLM, small,
                [NAMES[0], "model.layers.1.post_feedforward_layernorm.weight", "model.embed_tokens.weight"],
                "softcaps of 1 and 2, query_pre_attn_scalar 3, window of 5 in layers 0 and 2, old config without layer_types",
                off=[{"attn_logit_softcapping": None}, {"final_logit_softcapping": None}, {"query_pre_attn_scalar": 8},
                     {"sliding_window": 64}, {"layer_types": ["full_attention", "sliding_attention", "full_attention"]}],
                spell=[old_config(drop=("layer_types",))]),
        Variant("gemma2_no_caps", Gemma2ForCausalLM,
                dict(small, attn_logit_softcapping=None, final_logit_softcapping=None, query_pre_attn_scalar=16,
                     layer_types=["full_attention", "full_attention", "sliding_attention"], tie_word_embeddings=False),
                ["model.layers.0.self_attn.v_proj.weight", "model.layers.1.pre_feedforward_layernorm.weight", "lm_head.weight"],
                "no softcaps, own layer_types, untied, float32", bf16=False, off=[{"sliding_window": 64}]),
    ]


def gemma3():
    small = dict(SMALL, vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=7, head_dim=6,
                 num_attention_heads=4, sliding_window=5, query_pre_attn_scalar=4)
    both = {"full_attention": rope(2000.0, "linear", factor=8.0), "sliding_attention": rope(100.0)}

    def hub(config, tensors):
        config = {name: value for name, value in config.items() if name not in
                  ("layer_types", "rope_parameters", "dtype", "_sliding_window_pattern")}
        return {**config, "torch_dtype": "bfloat16", "rope_theta": 2000.0, "rope_local_base_freq": 100.0,
                "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window_pattern": 6}, tensors
    names = ["model.layers.5.self_attn.q_proj.weight", "model.layers.0.self_attn.k_norm.weight", "model.embed_tokens.weight"]
    return [
        Variant("gemma3_hub", Gemma3ForCausalLM, dict(small, rope_parameters=both), names,
                "7 layers, the sixth global with linear scaling and base 2000, the others local with base 100 and a window of "
                "5; old config: rope_theta, rope_local_base_freq, rope_scaling, sliding_window_pattern",
                off=[{"rope_parameters": {**both, "full_attention": rope(2000.0)}}, {"sliding_window": 64},
                     {"rope_parameters": {**both, "sliding_attention": rope(2000.0)}}, {"query_pre_attn_scalar": 6}],
                spell=[hub]),
        Variant("gemma3_caps", Gemma3ForCausalLM,
                dict(small, num_hidden_layers=3, attn_logit_softcapping=0.5, final_logit_softcapping=2.0, attention_bias=True,
                     tie_word_embeddings=False, num_key_value_heads=1, rope_parameters=both,
                     layer_types=["full_attention", "sliding_attention", "sliding_attention"]),
                ["model.layers.0.self_attn.k_proj.bias", "model.layers.1.pre_feedforward_layernorm.weight", "lm_head.weight"],
                "final softcap; attn_logit_softcapping is set but transformers does not apply it; biases, untied, own "
                "layer_types", off=[{"final_logit_softcapping": None}]),
    ]


def phi():
    small = {name: value for name, value in SMALL.items() if name != "head_dim"}
    small.update(hidden_size=32, num_attention_heads=2, num_key_value_heads=2)
    names = ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.dense.bias", "lm_head.bias"]
    return [
        Variant("phi_2", PhiForCausalLM, dict(small, rope_parameters=rope(10000.0, partial_rotary_factor=0.4)), names,
                "parallel block, rotary in 6 of 16 dimensions (0.4, rounded down), head with bias, old config",
                off=[{"rope_parameters": rope(10000.0, partial_rotary_factor=0.5)}], spell=[old_config()]),
        Variant("phi_qk_norm", PhiForCausalLM,
                dict(small, num_attention_heads=4, num_key_value_heads=2, qk_layernorm=True, hidden_act="gelu",
                     rope_parameters=rope(1000.0, partial_rotary_factor=0.5)),
                ["model.layers.0.self_attn.k_layernorm.bias", "model.layers.1.self_attn.q_layernorm.weight", "model.layers.1.mlp.fc1.weight"],
                "LayerNorm of queries and keys per head, unequal key-value heads, exact gelu, float32", bf16=False,
                off=[{"qk_layernorm": False}, {"hidden_act": "relu"}]),
    ]


def phi3():
    # pairs of 8 rotated dimensions
    factors = dict(short_factor=[1.0, 1.1, 1.3, 1.7], long_factor=[1.0, 2.0, 3.5, 6.0])
    small = dict(SMALL, hidden_size=32, max_position_embeddings=64)
    names = ["model.layers.0.self_attn.qkv_proj.weight", "model.layers.1.mlp.gate_up_proj.weight", "model.norm.weight"]
    long = {"rope_type": "longrope", "rope_theta": 1000.0, **factors}
    return [
        Variant("phi3_longrope", Phi3ForCausalLM,
                dict(small, original_max_position_embeddings=12, rope_parameters=long), names,
                "fused projections, longrope past the original length: long factors; old config with 'longrope'",
                off=[{"rope_parameters": rope(1000.0)}, {"original_max_position_embeddings": 32}], spell=[old_config()]),
        Variant("phi3_partial", Phi3ForCausalLM,
                dict(small, num_attention_heads=2, num_key_value_heads=1, original_max_position_embeddings=24,
                     rope_parameters={**long, "partial_rotary_factor": 0.5}), names,
                "rotary in half of heads of 16, longrope by old name 'su': the first row past the original length, the "
                "second within it", padded=REGIME, off=[{"original_max_position_embeddings": 32}],
                spell=[old_config(), su]),
        Variant("phi3_window", Phi3ForCausalLM,
                dict(small, num_key_value_heads=4, sliding_window=5, tie_word_embeddings=True, rope_parameters=rope(1000.0)),
                [*names[:2], "model.embed_tokens.weight"], "window of 5 shorter than the prompt, plain RoPE, tied, float32",
                bf16=False, off=[{"sliding_window": None}]),
    ]


def su(config, tensors):
    config["rope_scaling"]["type"] = "su"
    return config, tensors


VARIANTS = [*gemma1(), *gemma2(), *gemma3(), *phi(), *phi3()]
