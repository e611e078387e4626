"""Writes tests/fixtures/model/families_gguf/*.gguf with llama.cpp's own conversion: tiny checkpoints of each family
that llama.cpp runs, and for those not in ../fixtures/model/families what transformers makes of them.

    python tests/oracles/families_gguf.py LLAMA_CPP_SOURCES [NAME ...]

The vocabulary is left out (tokenizer "none"). Matrices are F32 or BF16 as the checkpoint has them, vectors F32.
"""
import os
import sys

LLAMA_CPP = sys.argv[1]
sys.path[:0] = [LLAMA_CPP, os.path.join(LLAMA_CPP, "gguf-py")]

import pathlib
import tempfile

import gguf
import torch
import transformers
from safetensors.torch import save_file
import convert_hf_to_gguf as convert
from conversion.base import ModelBase

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "model")
# Checkpoints of tests/oracles/families whose settings GGUF can say.
NAMES = """bloom_pre cohere_plain deci_per_layer glm4_sandwich gpt_neox_parallel hunyuan_norms nemotron_gguf
granite_multipliers llama_yarn llama_llama3 mistral_no_window mpt_clip olmo_clip olmo2_post_norm olmo3_window phi3_longrope
phi3_window qwen2_tied qwen3_norms qwen3_moe_norm stablelm_qkv_bias""".split()
# The rest, with the settings that llama.cpp's graphs take for granted (widths of 4 x hidden, patterns of windows ...).
GPT = dict(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64)
LLAMA = dict(vocab_size=61, hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64)
MOE = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24)
PLAIN = {
    "plain_gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT),
    "plain_gpt_bigcode": ("GPTBigCodeForCausalLM", "GPTBigCodeConfig", GPT),
    "plain_falcon_7b": ("FalconForCausalLM", "FalconConfig", dict(vocab_size=61, hidden_size=32, num_hidden_layers=2,
                                                            num_attention_heads=4, num_kv_heads=1)),
    "plain_falcon_40b": ("FalconForCausalLM", "FalconConfig", dict(vocab_size=61, hidden_size=32, num_hidden_layers=2,
                                                             num_attention_heads=4, num_kv_heads=2,
                                                             new_decoder_architecture=True)),
    "plain_gpt_neox_sequential": ("GPTNeoXForCausalLM", "GPTNeoXConfig", dict(
        vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=64, use_parallel_residual=False)),
    "plain_phi_2": ("PhiForCausalLM", "PhiConfig", LLAMA | dict(num_key_value_heads=4)),
    "plain_gemma": ("GemmaForCausalLM", "GemmaConfig", LLAMA | dict(head_dim=12)),
    "plain_gemma2": ("Gemma2ForCausalLM", "Gemma2Config", LLAMA | dict(head_dim=8, query_pre_attn_scalar=8, sliding_window=6,
                                                                 attn_logit_softcapping=2.0,
                                                                 final_logit_softcapping=3.0)),
    "plain_gemma3": ("Gemma3ForCausalLM", "Gemma3TextConfig", LLAMA | dict(
        head_dim=8, query_pre_attn_scalar=8, sliding_window=6, num_hidden_layers=7,
        rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                         "full_attention": {"rope_type": "default", "rope_theta": 50000.0}})),
    "plain_cohere2": ("Cohere2ForCausalLM", "Cohere2Config", LLAMA | dict(num_hidden_layers=5, sliding_window=6, head_dim=8)),
    "plain_ernie4_5": ("Ernie4_5ForCausalLM", "Ernie4_5Config", LLAMA | dict(head_dim=8)),
    "plain_exaone4": ("Exaone4ForCausalLM", "Exaone4Config", LLAMA | dict(num_hidden_layers=5, sliding_window=6,
                                                                          sliding_window_pattern=4)),
    "plain_exaone4_whole": ("Exaone4ForCausalLM", "Exaone4Config", LLAMA | dict(
        sliding_window=None, layer_types=["full_attention"] * 2)),
    # Its conversion writes hidden_size as the context length, and this epsilon whatever the config says.
    "plain_glm": ("GlmForCausalLM", "GlmConfig", LLAMA | dict(hidden_size=48, num_attention_heads=6, head_dim=8,
                                                              intermediate_size=24, rms_norm_eps=1e-5)),
    "plain_hunyuan": ("HunYuanDenseV1ForCausalLM", "HunYuanDenseV1Config", LLAMA | dict(
        head_dim=8, intermediate_size=24, max_position_embeddings=32768,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "alpha": 50.0, "factor": 1.0})),
    "plain_olmo3": ("Olmo3ForCausalLM", "Olmo3Config", LLAMA | dict(
        num_hidden_layers=4, sliding_window=6, intermediate_size=24,
        layer_types=["sliding_attention", "full_attention"] * 2,
        rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 500000.0},
                         "full_attention": {"rope_type": "yarn", "rope_theta": 500000.0, "factor": 4.0,
                                            "original_max_position_embeddings": 16}})),
    "plain_smollm3": ("SmolLM3ForCausalLM", "SmolLM3Config", LLAMA | dict(num_hidden_layers=5)),
    "plain_starcoder2": ("Starcoder2ForCausalLM", "Starcoder2Config", LLAMA),
    "plain_mixtral": ("MixtralForCausalLM", "MixtralConfig", LLAMA | dict(num_local_experts=4)),
    "plain_gpt_oss": ("GptOssForCausalLM", "GptOssConfig", LLAMA | dict(
        head_dim=8, sliding_window=6, intermediate_size=24, num_local_experts=4, num_experts_per_tok=2,
        rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "truncate": True,
                         "original_max_position_embeddings": 16})),
    "plain_qwen2_moe": ("Qwen2MoeForCausalLM", "Qwen2MoeConfig", LLAMA | MOE | dict(shared_expert_intermediate_size=40)),
}
# Names that transformers 5 changed, or that this conversion knows under another name.
OLDER = {"MptForCausalLM": "MPTForCausalLM"}


def older_keys(hparams):
    rope = hparams.get("rope_parameters") or {}
    if "n_positions" in hparams:
        hparams.setdefault("n_ctx", hparams["n_positions"])
    if "partial_rotary_factor" in rope:
        hparams.setdefault("rotary_pct", rope["partial_rotary_factor"])
    elif hparams["model_type"] in ("gpt_neox", "cohere2"):
        hparams.setdefault("rotary_pct", 1.0 if hparams["model_type"] == "cohere2" else 0.25)
    hparams["architectures"] = [OLDER.get(name, name) for name in hparams["architectures"]]
    return hparams


def no_vocabulary(self):
    self.gguf_writer.add_tokenizer_model("none")
    self.gguf_writer.add_vocab_size(self.hparams["vocab_size"])


def make(name, folder):
    """A random checkpoint in `folder`; returns what transformers makes of it."""
    torch.manual_seed(sum(map(ord, name)))
    architecture, config, settings = PLAIN[name]
    config = getattr(transformers, config)(**settings, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    config._attn_implementation = "eager"
    model = getattr(transformers, architecture)(config).float().eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.normal_(0, 0.15)
            if any(part in parameter_name for part in ("norm", "ln_")) and not "gemma" in name:
                if parameter_name.endswith("weight"):
                    parameter.add_(1.0)
        ids = torch.randint(3, config.vocab_size, (1, 40), generator=torch.Generator().manual_seed(7))
        logits = model(ids, use_cache=False).logits[0]
    model.save_pretrained(folder)
    return {"input_ids": ids, "single_logits": logits.contiguous()}


def convert_folder(folder, out):
    hparams = older_keys(ModelBase.load_hparams(folder, False))
    kind = convert.get_model_class(hparams["architectures"][0])
    low = (hparams.get("torch_dtype") or hparams.get("dtype")) == "bfloat16"
    file_type = gguf.LlamaFileType.MOSTLY_BF16 if low else gguf.LlamaFileType.ALL_F32
    kind.set_vocab = no_vocabulary
    kind._create_vocab_sentencepiece = lambda self: ([None] * self.hparams["vocab_size"], None, None)
    pathlib.Path(folder, "tokenizer.model").touch() if out.stem == "plain_gemma3" else None
    kind(pathlib.Path(folder), file_type, out, hparams=hparams).write()


def main():
    there = os.path.join(HERE, "families_gguf")
    os.makedirs(there, exist_ok=True)
    for name in sys.argv[2:] or NAMES + list(PLAIN):
        out = pathlib.Path(there, name + ".gguf")
        try:
            if name in PLAIN:
                with tempfile.TemporaryDirectory() as folder:
                    save_file(make(name, folder), os.path.join(there, name + ".expected.safetensors"))
                    convert_folder(pathlib.Path(folder), out)
            else:
                convert_folder(pathlib.Path(HERE, "families", name), out)
            print(name, "ok", flush=True)
        except Exception as error:
            print(name, type(error).__name__, error, flush=True)


main()
