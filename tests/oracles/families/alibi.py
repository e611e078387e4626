"""BLOOM, MPT, Falcon: linear biases by distance, for head counts that are no power of two; and Falcon with RoPE."""
from transformers import BloomForCausalLM, FalconForCausalLM, MptForCausalLM

from fixture import Variant, rope
from spelling import old_config, with_tied_head, without_prefix


def bloom():
    small = dict(vocab_size=47, hidden_size=24, n_layer=2, n_head=6)
    names = ["transformer.h.0.self_attention.query_key_value.weight", "transformer.word_embeddings_layernorm.weight",
             "transformer.h.1.mlp.dense_4h_to_h.bias"]
    return [
        Variant("bloom_pre", BloomForCausalLM, small, names,
                "6 heads, residual before the norm, names without 'transformer.', n_embed and num_attention_heads, tied",
                off=[{"apply_residual_connection_post_layernorm": True}],
                spell=[without_prefix("transformer."), old_config(rename={"hidden_size": "n_embed",
                                                                          "n_head": "num_attention_heads"})]),
        Variant("bloom_post", BloomForCausalLM,
                dict(small, n_head=3, apply_residual_connection_post_layernorm=True, layer_norm_epsilon=1e-3,
                     tie_word_embeddings=False), [*names[:2], "lm_head.weight"],
                "3 heads, residual behind the norm, eps 1e-3, untied, float32", bf16=False,
                off=[{"apply_residual_connection_post_layernorm": False}, {"layer_norm_epsilon": 1e-5}]),
    ]


def mpt():
    small = dict(vocab_size=45, d_model=24, n_layers=2, n_heads=6, max_seq_len=48)
    names = ["transformer.blocks.0.attn.Wqkv.weight", "transformer.blocks.1.norm_2.weight",
             "transformer.blocks.1.ffn.down_proj.weight"]
    # transformers computes ALiBi with a largest bias of 8 and hidden layers of 4 * d_model whatever alibi,
    # alibi_bias_max and expansion_ratio say, and ignores logit_scale: so these are left as the files of MPT have them.
    return [
        Variant("mpt_clip", MptForCausalLM, dict(small, attn_config={"clip_qkv": 0.6}), names,
                "6 heads, clip_qkv, tied", off=[{"attn_config": {"clip_qkv": None}}]),
        Variant("mpt_scale", MptForCausalLM,
                dict(small, n_heads=3, attn_config={"softmax_scale": 0.75, "attn_impl": "torch"},
                     tie_word_embeddings=False), [*names[:2], "lm_head.weight"],
                "3 heads, softmax_scale, untied, float32", bf16=False, off=[{"attn_config": {"softmax_scale": None}}]),
    ]


def falcon():
    small = dict(vocab_size=46, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=64)
    stem = "transformer.h."
    names = [stem + "0.self_attention.query_key_value.weight", stem + "1.mlp.dense_4h_to_h.weight"]
    return [
        Variant("falcon_7b", FalconForCausalLM,
                dict(small, multi_query=True, parallel_attn=True, bias=False, rope_parameters=rope(10000.0)),
                [*names, stem + "0.input_layernorm.bias"],
                "one key-value head, parallel, one norm, no bias; old config, tied head in the file",
                off=[{"parallel_attn": False}, {"rope_parameters": rope(100.0)}],
                spell=[old_config(drop=("num_kv_heads", "num_ln_in_parallel_attn", "ffn_hidden_size", "activation")),
                       with_tied_head("lm_head.weight", "transformer.word_embeddings.weight")]),
        Variant("falcon_40b", FalconForCausalLM,
                dict(small, num_attention_heads=6, num_kv_heads=2, new_decoder_architecture=True, bias=True,
                     ffn_hidden_size=56, rope_parameters=rope(500.0)),
                [*names, stem + "1.ln_mlp.weight"],
                "new decoder architecture: two key-value heads of three queries each, two norms, biases, own MLP width",
                off=[{"rope_parameters": rope(10000.0)}]),
        Variant("falcon_11b", FalconForCausalLM,
                dict(small, num_attention_heads=6, num_kv_heads=3, new_decoder_architecture=True,
                     num_ln_in_parallel_attn=1, activation="gelu_new", tie_word_embeddings=False,
                     rope_parameters=rope(10000.0, "linear", factor=4.0)),
                [names[0], stem + "0.input_layernorm.weight", "lm_head.weight"],
                "new decoder architecture with one norm, three key-value heads, linear scaling, untied, float32",
                bf16=False, off=[{"rope_parameters": rope(10000.0)}]),
        Variant("falcon_rw", FalconForCausalLM,
                dict(small, num_attention_heads=6, alibi=True, multi_query=False, parallel_attn=False, bias=True),
                [*names, stem + "1.post_attention_layernorm.bias"],
                "ALiBi with 6 heads, sequential, biases, key-value heads of their own; eager adds the bias twice",
                off=[{"alibi": False}],
                sdpa="eager computes (qk + alibi) / sqrt(d) and adds a mask that holds alibi / sqrt(d) already: the bias "
                     "counts twice. sdpa adds it once, as the model was trained; bf16 slopes in both"),
        Variant("falcon_rw_mqa", FalconForCausalLM,
                dict(small, alibi=True, multi_query=True, parallel_attn=True, bias=False),
                [*names, stem + "1.input_layernorm.bias"],
                "ALiBi with 3 heads, one key-value head, parallel; eager adds the bias twice",
                off=[{"alibi": False}], sdpa="as falcon_rw"),
    ]


VARIANTS = [*bloom(), *mpt(), *falcon()]
