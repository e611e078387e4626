"""Writes tests/fixtures/kernels/cpu_kernels.txt: inputs and results of PyTorch and transformers for the CPU kernels.

One tensor a line: name, element count, then the bits of each value as float32 in hexadecimal (bf16 widens exactly).
Ran with torch 2.11.0 and transformers 5.23.0.
"""
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from transformers.activations import ACT2FN
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.cohere.modeling_cohere import CohereLayerNorm
from transformers.models.falcon.modeling_falcon import build_alibi_tensor as falcon_alibi
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.gpt_neox.modeling_gpt_neox import apply_rotary_pos_emb as rotate_partial_halves
from transformers.models.gpt_oss.modeling_gpt_oss import eager_attention_forward as attention_with_sinks
from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb as rotate_pairs
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb
from transformers.models.olmo2.modeling_olmo2 import Olmo2RMSNorm

torch.manual_seed(20)
lines = []


def put(name, tensor):
    values = tensor.detach().to(torch.float32).contiguous().flatten().tolist()
    words = " ".join(struct.pack(">f", v).hex() for v in values)
    lines.append(f"{name} {len(values)} {words}")


def norm(name, module, x, weight):
    module.weight.data = weight
    put(f"{name}_x", x)
    put(f"{name}_weight", weight)
    put(f"{name}_y", module(x))


for dtype, suffix in ((torch.float32, "f32"), (torch.bfloat16, "bf16"), (torch.float16, "f16")):
    x = (torch.randn(2, 37) * 3).to(dtype)
    norm(f"llama_norm_{suffix}", LlamaRMSNorm(37, eps=1e-5), x, torch.randn(37).to(dtype))
    norm(f"gemma_norm_{suffix}", GemmaRMSNorm(37, eps=1e-6), x, (torch.randn(37) * 0.1).to(dtype))

# RoPE in float32: 3 tokens, 2 heads of 12; the tables repeat their half, as transformers lays them out.
q = torch.randn(1, 2, 3, 12)
angles = torch.randn(1, 3, 6)
cos, sin = (torch.cat([f(angles)] * 2, -1) for f in (torch.cos, torch.sin))
put("rope_x", q.transpose(1, 2))  # [tokens, heads, head_dim]
put("rope_cos", cos[0, :, :6])
put("rope_sin", sin[0, :, :6])
put("rope_y", apply_rotary_pos_emb(q, q, cos, sin)[0].transpose(1, 2))

gate = torch.cat([torch.linspace(-12, 12, 61), torch.tensor([-30.0, 30.0, 0.0])])
up = torch.randn(64)
put("activation_gate", gate)
put("activation_up", up)
put("silu", F.silu(gate.double()) * up.double())
put("gelu_tanh", F.gelu(gate.double(), approximate="tanh") * up.double())
put("gelu", F.gelu(gate.double()) * up.double())
put("relu", F.relu(gate) * up)

# Attention: 6 query heads on 2 key-value heads of 20, 21 positions; keys and values [position, kv_head, head_dim].
q, k, v = torch.randn(6, 1, 20), torch.randn(21, 2, 20), torch.randn(21, 2, 20)
put("attention_q", q)
put("attention_k", k)
put("attention_v", v)
heads = [t.transpose(0, 1).repeat_interleave(3, 0) for t in (k, v)]
put("attention_y", F.scaled_dot_product_attention(q, *heads, scale=0.3))
put("attention_window_y", F.scaled_dot_product_attention(q, *(t[:, 9:] for t in heads), scale=0.3))
scores = torch.tanh(q @ heads[0].transpose(1, 2) * 0.3 / 2.0) * 2.0
put("attention_softcap_y", torch.softmax(scores, -1) @ heads[1])

x, w, b = torch.randn(3, 45), torch.randn(7, 45), torch.randn(7)
put("linear_x", x)
put("linear_weight", w)
put("linear_bias", b)
put("linear_y", F.linear(x, w, b))

logits = torch.randn(101) * 5
put("logits", logits)
put("softmax", torch.softmax(logits, -1))
put("log_sum_exp", torch.logsumexp(logits, -1))
put("argmax", logits.argmax())

for dtype, suffix in ((torch.float32, "f32"), (torch.bfloat16, "bf16"), (torch.float16, "f16")):
    x = (torch.randn(2, 37) * 3).to(dtype)
    norm(f"olmo2_norm_{suffix}", Olmo2RMSNorm(37, eps=1e-6), x, torch.randn(37).to(dtype))
    x, w, b = (torch.randn(3, 37) * 2 + 5).to(dtype), torch.randn(37).to(dtype), torch.randn(37).to(dtype)
    put(f"layer_norm_{suffix}_x", x)
    put(f"layer_norm_{suffix}_weight", w)
    put(f"layer_norm_{suffix}_bias", b)
    put(f"layer_norm_{suffix}_y", F.layer_norm(x, (37,), w, b))
    put(f"layer_norm_{suffix}_weighted_y", F.layer_norm(x, (37,), w))
    put(f"layer_norm_{suffix}_plain_y", F.layer_norm(x, (37,)))
# Two tokens of three heads, a weight for each head, as in Cohere's norms of queries and keys.
norm("head_norm", CohereLayerNorm((3, 20)), torch.randn(2, 3, 20) + 1, torch.randn(3, 20))

for name in ("quick_gelu", "relu2", "sigmoid", "tanh"):
    put(name, ACT2FN[name](gate.double()) * up.double())

# RoPE on the first 12 of 20 elements, with the tables above.
q = torch.randn(1, 3, 2, 20)  # [batch, tokens, heads, head_dim]
put("partial_rope_x", q)
put("partial_rope_halves_y", rotate_partial_halves(q, q, cos, sin, unsqueeze_dim=2)[0])
put("partial_rope_pairs_y", torch.cat([rotate_pairs(q[..., :12], sin[..., :6], cos[..., :6]), q[..., 12:]], -1))

# ALiBi as BLOOM's and Falcon's eager attention add it, and gpt-oss's sinks: 12 query heads on one key-value head of 4.
q, k, v = torch.randn(12, 1, 4), torch.randn(1, 270, 4), torch.randn(1, 270, 4)
mask = torch.ones(1, 270, dtype=torch.long)
put("alibi_q", q)
put("alibi_k", k)
put("alibi_v", v)
put("alibi_slopes", build_alibi_tensor(mask, 12, torch.float32)[:, 0, 1])
alibi = build_alibi_tensor(mask, 12, torch.float32)
put("bloom_y", torch.softmax(torch.baddbmm(alibi, q, k.expand(12, -1, -1).transpose(1, 2), alpha=0.5), -1) @ v)
alibi = falcon_alibi(mask, 12, torch.float32)
put("falcon_y", torch.softmax((q @ k.transpose(1, 2) + alibi) * 0.5, -1) @ v)
module = SimpleNamespace(sinks=torch.randn(12) * 3, num_key_value_groups=12, training=False)
put("sinks", module.sinks)
put("sink_y", attention_with_sinks(module, q[None], k[None], v[None], None, scaling=0.5)[0])

Path(sys.argv[1]).write_text("\n".join(lines) + "\n")
