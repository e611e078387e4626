"""GPT-2, GPT-J, GPT-NeoX, GPT-BigCode, OPT: learned positions, or rotary ones in part of a head."""
import torch
from transformers import (GPT2LMHeadModel, GPTBigCodeForCausalLM, GPTJForCausalLM, GPTNeoXForCausalLM, OPTForCausalLM)

from fixture import Variant, rope
from spelling import old_config, with_buffers, without_prefix


def gpt2():
    small = dict(vocab_size=53, n_embd=24, n_layer=3, n_head=3, n_positions=40)
    names = ["transformer.h.1.attn.c_attn.weight", "transformer.wpe.weight", "transformer.h.2.mlp.c_proj.bias"]
    return [
        Variant("gpt2_inverse_layer", GPT2LMHeadModel,
                dict(small, scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True, n_inner=72,
                     tie_word_embeddings=False), [*names, "lm_head.weight"][1:],
                "scores also over (layer + 1), upcast attention, n_inner not 4 * hidden, untied head",
                off=[{"scale_attn_by_inverse_layer_idx": False}]),
        Variant("gpt2_bare_names", GPT2LMHeadModel, dict(small, activation_function="relu", layer_norm_epsilon=1e-3), names,
                "names without 'transformer.', causal masks h.N.attn.bias in the file, old config, tied, relu, float32",
                bf16=False, off=[{"activation_function": "gelu_new"}, {"layer_norm_epsilon": 1e-5}],
                spell=[without_prefix("transformer."), with_buffers("h.{}.attn.", 3, 40, masked=-1e4),
                       old_config(drop=("n_inner", "scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn",
                                        "tie_word_embeddings", "add_cross_attention"), n_ctx=40)]),
        Variant("gpt2_unscaled", GPT2LMHeadModel, dict(small, scale_attn_weights=False, activation_function="gelu"), names,
                "scores not scaled, exact gelu, tied", off=[{"scale_attn_weights": True}]),
    ]


def gptj():
    small = dict(vocab_size=47, n_embd=32, n_layer=2, n_head=2, n_positions=64, tie_word_embeddings=False)
    names = ["transformer.h.0.attn.q_proj.weight", "transformer.h.1.ln_1.bias", "lm_head.bias"]
    return [
        Variant("gptj_partial", GPTJForCausalLM, dict(small, rotary_dim=6), names,
                "interleaved rotary in 6 of 16 dimensions, head with bias",
                off=[{"rotary_dim": 4}, {"rotary_dim": 16}]),
        Variant("gptj_full", GPTJForCausalLM, dict(small, rotary_dim=16, n_inner=40, activation_function="gelu"),
                [names[0], "transformer.h.1.mlp.fc_in.bias", "lm_head.weight"],
                "rotary in the whole head, n_inner not 4 * hidden, exact gelu, attn.bias and attn.masked_bias in the file",
                off=[{"rotary_dim": 8}],
                spell=[with_buffers("transformer.h.{}.attn.", 2, 64, masked=-1e9), old_config(rotary=True)]),
    ]


def gpt_neox():
    small = dict(vocab_size=43, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=72,
                 max_position_embeddings=64)
    names = ["gpt_neox.layers.0.attention.query_key_value.weight", "gpt_neox.layers.1.post_attention_layernorm.weight",
             "embed_out.weight"]

    def rotary_pct(config, tensors):
        config["rotary_pct"] = config.pop("partial_rotary_factor")
        config["rotary_emb_base"] = config.pop("rope_theta")
        return config, tensors

    return [
        Variant("gpt_neox_parallel", GPTNeoXForCausalLM,
                dict(small, use_parallel_residual=True, rope_parameters=rope(10000.0, partial_rotary_factor=0.25)), names,
                "parallel residual, rotary in 4 of 16 dimensions, rotary_pct and buffers as in Pythia's files",
                off=[{"use_parallel_residual": False}, {"rope_parameters": rope(10000.0, partial_rotary_factor=1.0)}],
                spell=[old_config(), rotary_pct,
                       with_buffers("gpt_neox.layers.{}.attention.", 2, 64, masked=-1e9,
                                    inv_freq=1.0 / 10000.0 ** (torch.arange(0, 4, 2).float() / 4))]),
        Variant("gpt_neox_sequential", GPTNeoXForCausalLM,
                dict(small, num_attention_heads=4, use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new",
                     layer_norm_eps=1e-3, rope_parameters=rope(500.0, "linear", partial_rotary_factor=0.5, factor=4.0)),
                [names[0], "gpt_neox.layers.1.mlp.dense_4h_to_h.bias", "gpt_neox.embed_in.weight"],
                "sequential residual, no attention bias, linear scaling of half of a head of 8, eps 1e-3",
                off=[{"use_parallel_residual": True}, {"rope_parameters": rope(500.0, partial_rotary_factor=0.5)}]),
        Variant("gpt_neox_tied", GPTNeoXForCausalLM,
                dict(small, tie_word_embeddings=True, rope_parameters=rope(10000.0, partial_rotary_factor=1.0)),
                [names[0], names[1], "gpt_neox.embed_in.weight"], "tied head, whole heads rotate, float32", bf16=False),
    ]


def gpt_bigcode():
    small = dict(vocab_size=45, n_embd=24, n_layer=2, n_head=3, n_positions=40)
    names = ["transformer.h.0.attn.c_attn.weight", "transformer.h.1.attn.c_attn.bias", "transformer.wpe.weight"]
    return [
        Variant("gpt_bigcode_mqa", GPTBigCodeForCausalLM, dict(small, multi_query=True, n_inner=56), names,
                "one key-value head: c_attn rows are queries, then one key, one value; Linear, not Conv1D; tied"),
        Variant("gpt_bigcode_mha", GPTBigCodeForCausalLM,
                dict(small, multi_query=False, tie_word_embeddings=False, scale_attn_weights=False), [*names[:2], "lm_head.weight"],
                "multi_query off: c_attn rows are (head, 3, head_dim); scores not scaled, untied",
                off=[{"scale_attn_weights": True}]),
    ]


def opt():
    small = dict(vocab_size=49, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=56,
                 max_position_embeddings=40)
    stem = "model.decoder."
    names = [stem + "layers.0.self_attn.q_proj.weight", stem + "embed_positions.weight", stem + "layers.1.fc1.weight"]
    return [
        Variant("opt_pre_norm", OPTForCausalLM, dict(small, do_layer_norm_before=True), names,
                "norm before, positions from row 2, names as 'decoder...' without 'model.', tied",
                off=[{"do_layer_norm_before": False}], spell=[without_prefix("model."), old_config()]),
        Variant("opt_post_norm", OPTForCausalLM, dict(small, do_layer_norm_before=False, word_embed_proj_dim=20),
                [stem + "project_in.weight", stem + "layers.0.self_attn_layer_norm.bias", stem + "layers.1.self_attn.v_proj.bias"],
                "as opt-350m: norm after, embeddings of 20 projected into 32 and back, no final norm",
                off=[{"do_layer_norm_before": True}]),
        Variant("opt_bare", OPTForCausalLM,
                dict(small, enable_bias=False, layer_norm_elementwise_affine=False, activation_function="gelu",
                     tie_word_embeddings=False), [names[0], names[1], "lm_head.weight"],
                "no biases, norms without weights, gelu, untied", off=[{"activation_function": "relu"}]),
        Variant("opt_no_final_norm", OPTForCausalLM, dict(small, _remove_final_layer_norm=True), names,
                "norm before, without the final norm", off=[{"_remove_final_layer_norm": False}]),
    ]


VARIANTS = [*gpt2(), *gptj(), *gpt_neox(), *opt(), *gpt_bigcode()]
