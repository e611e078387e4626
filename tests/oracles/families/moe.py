"""Mixtral, Qwen2-MoE, Qwen3-MoE, gpt-oss: routed experts, by one name per expert and fused."""
from transformers import GptOssForCausalLM, MixtralForCausalLM, Qwen2MoeForCausalLM, Qwen3MoeForCausalLM

from fixture import Variant, rope
from spelling import old_config

SMALL = dict(vocab_size=42, hidden_size=24, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, rope_parameters=rope(1000.0))
LAYER = "model.layers.1."


def mixtral():
    small = dict(SMALL, num_local_experts=4, num_experts_per_tok=2)
    return [
        Variant("mixtral_experts", MixtralForCausalLM, dict(small, head_dim=8, sliding_window=6),
                [LAYER + "self_attn.q_proj.weight", LAYER + "block_sparse_moe.gate.weight",
                 LAYER + "block_sparse_moe.experts.2.w3.weight"],
                "4 experts, 2 a token, one tensor per expert, window of 6, heads of 8 for a hidden size of 24, old config",
                off=[{"sliding_window": None}, {"num_experts_per_tok": 3}], spell=[old_config()]),
        Variant("mixtral_fused", MixtralForCausalLM,
                dict(small, num_local_experts=3, num_experts_per_tok=1, num_key_value_heads=1, tie_word_embeddings=True),
                [LAYER + "post_attention_layernorm.weight", LAYER + "mlp.experts.gate_up_proj", LAYER + "mlp.experts.down_proj"],
                "3 experts, 1 a token (whose weight is 1: the router has no gradient), 3-D names mlp.experts.gate_up_proj and down_proj, tied", fused=True),
    ]


def qwen2_moe():
    small = dict(SMALL, num_experts=5, num_experts_per_tok=2, moe_intermediate_size=12, shared_expert_intermediate_size=20)
    return [
        Variant("qwen2_moe_sparse_step", Qwen2MoeForCausalLM,
                dict(small, num_hidden_layers=4, decoder_sparse_step=2, intermediate_size=28, use_sliding_window=True,
                     sliding_window=6, max_window_layers=3),
                ["model.layers.1.mlp.shared_expert_gate.weight", "model.layers.3.mlp.experts.4.down_proj.weight",
                 "model.layers.0.mlp.gate_proj.weight"],
                "experts in layers 1 and 3, MLP of 28 in 0 and 2, weights not renormalised, shared expert of 20; window of 6 "
                "in layers 0 and 2 (even ones below max_window_layers), old config without layer_types",
                off=[{"norm_topk_prob": True}, {"use_sliding_window": False}], spell=[old_config(drop=("layer_types",))]),
        Variant("qwen2_moe_mlp_only", Qwen2MoeForCausalLM,
                dict(small, num_hidden_layers=3, mlp_only_layers=[1], norm_topk_prob=True, qkv_bias=False,
                     tie_word_embeddings=True),
                ["model.layers.0.self_attn.v_proj.weight", "model.layers.2.mlp.experts.gate_up_proj",
                 "model.layers.2.mlp.gate.weight"],
                "experts but for layer 1, weights renormalised, no bias, 3-D names, tied", fused=True,
                off=[{"norm_topk_prob": False}]),
    ]


def qwen3_moe():
    small = dict(SMALL, num_experts=5, num_experts_per_tok=3, moe_intermediate_size=10, head_dim=10)
    return [
        Variant("qwen3_moe_norm", Qwen3MoeForCausalLM, dict(small, norm_topk_prob=True),
                [LAYER + "self_attn.k_norm.weight", LAYER + "mlp.gate.weight", LAYER + "mlp.experts.0.gate_proj.weight"],
                "5 experts, 3 a token, renormalised, heads of 10 for a hidden size of 24, old config",
                off=[{"norm_topk_prob": False}], spell=[old_config()]),
        Variant("qwen3_moe_plain", Qwen3MoeForCausalLM,
                dict(small, num_hidden_layers=3, mlp_only_layers=[0], attention_bias=True, use_sliding_window=True,
                     sliding_window=5, tie_word_embeddings=True),
                ["model.layers.1.self_attn.o_proj.bias", "model.layers.2.mlp.experts.down_proj", "model.layers.0.mlp.up_proj.weight"],
                "layer 0 without experts, not renormalised, attention biases, window of 5 in every layer, 3-D names, tied",
                fused=True, off=[{"norm_topk_prob": True}, {"use_sliding_window": False}]),
    ]


def gpt_oss():
    small = dict(SMALL, num_local_experts=4, num_experts_per_tok=2, head_dim=8, sliding_window=6)
    yarn = rope(1000.0, "yarn", factor=4.0, beta_fast=2.0, beta_slow=0.05, truncate=False,
                original_max_position_embeddings=16)
    names = [LAYER + "self_attn.sinks", LAYER + "mlp.router.bias", LAYER + "mlp.experts.gate_up_proj_bias"]
    return [
        Variant("gpt_oss_sinks", GptOssForCausalLM, dict(small, swiglu_limit=0.5, rope_parameters=yarn), names,
                "attention sinks, window of 6 in layer 0, yarn not truncated, clamped and interleaved gate and up, biases",
                off=[{"swiglu_limit": 7.0}, {"sliding_window": 64}, {"rope_parameters": rope(1000.0)}]),
        Variant("gpt_oss_plain", GptOssForCausalLM,
                dict(small, layer_types=["full_attention", "sliding_attention"], attention_bias=False, num_experts_per_tok=1),
                [names[0], LAYER + "mlp.experts.gate_up_proj", LAYER + "mlp.experts.down_proj"],
                "attention sinks without biases, window in layer 1, one expert a token, plain RoPE",
                off=[{"sliding_window": 64}]),
        Variant("gpt_oss_shipped", GptOssForCausalLM,
                dict(small, num_local_experts=3, intermediate_size=10, num_key_value_heads=1,
                     rope_parameters=rope(1000.0, "yarn", factor=4.0, truncate=True, original_max_position_embeddings=16)),
                [LAYER + "self_attn.o_proj.bias", LAYER + "mlp.router.weight", LAYER + "mlp.experts.down_proj_bias"],
                "what GGUF can say: biases, a limit of 7, yarn truncated; old config without layer_types",
                off=[{"layer_types": ["full_attention"] * 2}], spell=[old_config(drop=("layer_types",))]),
    ]


VARIANTS = [*mixtral(), *qwen2_moe(), *qwen3_moe(), *gpt_oss()]
