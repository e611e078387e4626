"""StableLM, StarCoder2, OLMo 1 to 3, Granite, Cohere 1 and 2, SmolLM3, DeciLM."""
from torch import nn
from transformers import (Cohere2ForCausalLM, CohereForCausalLM, GraniteForCausalLM, LlamaForCausalLM, Olmo2ForCausalLM,
                          Olmo3ForCausalLM, OlmoForCausalLM, SmolLM3ForCausalLM, StableLmForCausalLM,
                          Starcoder2ForCausalLM)

from fixture import Variant, rope
from llama_like import NAMES, REGIME, SMALL
from spelling import old_config

PLAIN = dict(SMALL, rope_parameters=rope(1000.0))
WINDOWS = ["sliding_attention", "full_attention"]


def stablelm():
    small = dict(PLAIN, hidden_size=32, rope_parameters=rope(1000.0, partial_rotary_factor=0.25))
    return [
        Variant("stablelm_qkv_bias", StableLmForCausalLM, dict(small, use_qkv_bias=True),
                ["model.layers.0.self_attn.k_proj.bias", "model.layers.1.post_attention_layernorm.bias", NAMES[2]],
                "LayerNorm, rotary in 2 of 8 dimensions, biases of q, k, v, old config", spell=[old_config()],
                off=[{"rope_parameters": rope(1000.0, partial_rotary_factor=1.0)}]),
        Variant("stablelm_parallel", StableLmForCausalLM,
                dict(small, qk_layernorm=True, use_parallel_residual=True, tie_word_embeddings=True, layer_norm_eps=1e-2,
                     rope_parameters=rope(1000.0, partial_rotary_factor=0.5)),
                [NAMES[0], "model.layers.1.self_attn.q_layernorm.norms.2.weight", "model.norm.bias"],
                "parallel residual with one norm, a LayerNorm without bias for each head of queries and keys, eps 1e-2, tied",
                off=[{"layer_norm_eps": 1e-5}, {"qk_layernorm": False}]),
    ]


def starcoder2():
    names = ["model.layers.0.self_attn.o_proj.bias", "model.layers.1.mlp.c_fc.weight", "model.layers.1.input_layernorm.bias"]
    return [
        Variant("starcoder2_window", Starcoder2ForCausalLM, dict(PLAIN, sliding_window=5, num_key_value_heads=1), names,
                "LayerNorm, biases everywhere, window of 5, one key-value head, tied, old config",
                off=[{"sliding_window": None}], spell=[old_config()]),
        Variant("starcoder2_no_bias", Starcoder2ForCausalLM,
                dict(PLAIN, use_bias=False, tie_word_embeddings=False, norm_epsilon=1e-2, hidden_act="gelu"),
                [NAMES[0], names[1], "lm_head.weight"], "no biases, exact gelu, eps 1e-2, untied, float32", bf16=False,
                off=[{"norm_epsilon": 1e-5}]),
    ]


def olmo():
    return [
        Variant("olmo_clip", OlmoForCausalLM, dict(PLAIN, clip_qkv=0.7), [NAMES[0], NAMES[2], "model.embed_tokens.weight"],
                "norms without weights, q, k, v clipped at 0.7, old config", off=[{"clip_qkv": None}], spell=[old_config()]),
        Variant("olmo_tied", OlmoForCausalLM,
                dict(PLAIN, num_attention_heads=3, num_key_value_heads=3, attention_bias=True, tie_word_embeddings=True),
                [NAMES[0], "model.layers.1.self_attn.o_proj.bias", "model.embed_tokens.weight"],
                "norms without weights, attention biases, tied, float32", bf16=False),
        Variant("olmo2_post_norm", Olmo2ForCausalLM, PLAIN,
                [NAMES[0], "model.layers.0.self_attn.k_norm.weight", "model.layers.1.post_feedforward_layernorm.weight"],
                "norms behind attention and MLP only, RMSNorm of whole queries and keys, unequal heads, old config",
                spell=[old_config()]),
        Variant("olmo2_bias", Olmo2ForCausalLM,
                dict(PLAIN, num_key_value_heads=1, attention_bias=True, tie_word_embeddings=True, rms_norm_eps=1e-2,
                     rope_parameters=rope(1000.0, "linear", factor=4.0)),
                ["model.layers.0.self_attn.q_norm.weight", "model.layers.1.self_attn.k_proj.bias", "model.embed_tokens.weight"],
                "one key-value head, attention biases, linear scaling, eps 1e-2, tied", off=[{"rms_norm_eps": 1e-6}]),
        Variant("olmo3_window", Olmo3ForCausalLM,
                dict({key: value for key, value in PLAIN.items() if key != "rope_parameters"}, num_hidden_layers=4,
                     sliding_window=5, rope_parameters={
                         "sliding_attention": rope(1000.0),
                         "full_attention": rope(1000.0, "yarn", factor=4.0, original_max_position_embeddings=8)}),
                [NAMES[0], "model.layers.3.self_attn.k_norm.weight", NAMES[2]],
                "as OLMo 2; window of 5 but in layer 3, which alone has yarn",
                off=[{"sliding_window": 64}, {"rope_parameters": {"sliding_attention": rope(1000.0),
                                                                  "full_attention": rope(1000.0)}}]),
        Variant("olmo3_biases", Olmo3ForCausalLM,
                dict({key: value for key, value in PLAIN.items() if key != "rope_parameters"}, attention_bias=True,
                     num_key_value_heads=1, sliding_window=6, layer_types=["full_attention", "sliding_attention"],
                     tie_word_embeddings=True, rope_parameters={"sliding_attention": rope(1000.0),
                                                                "full_attention": rope(1000.0, "linear", factor=3.0)}),
                ["model.layers.0.self_attn.o_proj.bias", "model.layers.1.self_attn.q_norm.weight", "model.embed_tokens.weight"],
                "window in the second layer of two, biases, tied, stretched RoPE in the first"),
    ]


def granite():
    factors = dict(embedding_multiplier=6.0, attention_multiplier=0.7, residual_multiplier=0.4, logits_scaling=1.5)
    return [
        Variant("granite_multipliers", GraniteForCausalLM, dict(PLAIN, **factors), NAMES,
                "multipliers of embedding, attention, residuals and logits, old config",
                off=[{key: 1.0} for key in factors], spell=[old_config()]),
        Variant("granite_biases", GraniteForCausalLM,
                dict(PLAIN, num_key_value_heads=1, attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
                     attention_multiplier=0.2),
                ["model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.up_proj.bias", "model.embed_tokens.weight"],
                "biases, one key-value head, tied, float32", bf16=False, off=[{"attention_multiplier": 0.5}]),
    ]


def cohere():
    def old_pattern(config, tensors):
        config["sliding_window_pattern"] = 2
        return config, tensors
    return [
        Variant("cohere_plain", CohereForCausalLM, dict(PLAIN, logit_scale=0.5),
                [NAMES[0], "model.layers.1.input_layernorm.weight", "model.embed_tokens.weight"],
                "parallel block, norm without bias, interleaved rotary, logit_scale, tied, old config",
                off=[{"logit_scale": 1.0}], spell=[old_config()]),
        Variant("cohere_qk_norm", CohereForCausalLM,
                dict(PLAIN, use_qk_norm=True, attention_bias=True, tie_word_embeddings=False, logit_scale=2.0,
                     num_key_value_heads=1),
                ["model.layers.0.self_attn.q_norm.weight", "model.layers.1.self_attn.o_proj.bias", "lm_head.weight"],
                "norm of queries and keys with a weight for each head, attention biases, one key-value head, untied, float32",
                bf16=False, off=[{"use_qk_norm": False}]),
        Variant("cohere2_window", Cohere2ForCausalLM,
                dict(PLAIN, num_hidden_layers=4, sliding_window=5, logit_scale=0.5,
                     layer_types=[*WINDOWS, *WINDOWS]), [NAMES[0], "model.norm.weight", NAMES[2]],
                "window of 5 and rotary in layers 0 and 2, neither in 1 and 3; sliding_window_pattern 2 in an old config",
                off=[{"sliding_window": 64}, {"layer_types": ["sliding_attention"] * 4}],
                spell=[old_config(drop=("layer_types",)), old_pattern]),
        Variant("cohere2_bias", Cohere2ForCausalLM,
                dict(PLAIN, attention_bias=True, sliding_window=6, layer_types=WINDOWS[::-1], tie_word_embeddings=False,
                     logit_scale=1.0),
                ["model.layers.1.self_attn.q_proj.bias", "model.layers.0.input_layernorm.weight", "lm_head.weight"],
                "attention biases, window in layer 1, untied, float32", bf16=False),
    ]


def smollm3():
    return [
        Variant("smollm3_nope", SmolLM3ForCausalLM, dict(PLAIN, num_hidden_layers=4, no_rope_layer_interval=2), NAMES,
                "no rotary in layers 1 and 3, tied; old config with no_rope_layers",
                off=[{"no_rope_layers": [1, 1, 1, 1]}], spell=[old_config(drop=("layer_types",))]),
        Variant("smollm3_window", SmolLM3ForCausalLM,
                dict(PLAIN, num_hidden_layers=3, no_rope_layers=[0, 1, 1], use_sliding_window=True, sliding_window=5,
                     attention_bias=True, mlp_bias=True, tie_word_embeddings=False),
                ["model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.down_proj.bias", "lm_head.weight"],
                "no rotary but a window of 5 in layer 0, biases, untied",
                off=[{"no_rope_layers": [1, 1, 1]}, {"use_sliding_window": False}]),
    ]


def deci():
    """transformers has no class: Llama whose layers have key-value heads of their own number, as the model's own code."""
    heads = [4, 1, 2]

    def shape(model):
        config = model.config
        for layer, count in zip(model.model.layers, heads):
            attention = layer.self_attn
            attention.k_proj = nn.Linear(config.hidden_size, count * config.head_dim, bias=False)
            attention.v_proj = nn.Linear(config.hidden_size, count * config.head_dim, bias=False)
            attention.num_key_value_groups = config.num_attention_heads // count

    def rename(config, tensors):
        config = {key: value for key, value in config.items() if key not in ("num_key_value_heads", "head_dim", "mlp_bias")}
        return {**config, "architectures": ["DeciLMForCausalLM"], "model_type": "deci",
                "num_key_value_heads_per_layer": heads}, tensors
    small = dict(PLAIN, hidden_size=32, num_hidden_layers=3)
    names = ["model.layers.0.self_attn.k_proj.weight", "model.layers.1.self_attn.v_proj.weight", "model.norm.weight"]
    return [
        Variant("deci_per_layer", LlamaForCausalLM, small, names,
                "4, 1 and 2 key-value heads in the three layers, old config", shape=shape, spell=[old_config(), rename]),
        Variant("deci_dynamic", LlamaForCausalLM,
                dict(small, tie_word_embeddings=True, max_position_embeddings=16,
                     rope_parameters=rope(1000.0, "dynamic", factor=2.0)), [*names[:2], "model.embed_tokens.weight"],
                "key-value heads by layer, RoPE dynamic as DeciLM-7B has it, tied, float32", bf16=False, shape=shape,
                spell=[old_config(), rename], padded=REGIME, off=[{"rope_parameters": rope(1000.0)}]),
    ]


VARIANTS = [*stablelm(), *starcoder2(), *olmo(), *granite(), *cohere(), *smollm3(), *deci()]
