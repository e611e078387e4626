"""transformers as a peer: the model that a GGUF file holds, in bf16, measured as `powerhouse benchmark` measures."""
import json
import os

# transformers, one process a run: loads the folder that the first run makes from the GGUF file, then measures what
# `powerhouse benchmark` measures: one warm-up, then the median of three.
PEER = """
import json, statistics, sys, time, torch, transformers
from transformers import LlamaForCausalLM
folder, prompt_tokens, new_tokens, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
vocabulary = model.config.vocab_size
ids = torch.tensor([[(i * 7919 + 13) % vocabulary for i in range(prompt_tokens)]])
def prefill():
    begin = time.perf_counter()
    model(ids, logits_to_keep=1)
    return time.perf_counter() - begin
def decode():
    cache = None
    begin = time.perf_counter()
    for i in range(new_tokens):
        out = model(torch.tensor([[(i * 7919 + 13) % vocabulary]]), past_key_values=cache, use_cache=True)
        cache = out.past_key_values
    return time.perf_counter() - begin
with torch.no_grad():
    prefill(), decode()
    prompt, new = statistics.median(prefill() for _ in range(3)), statistics.median(decode() for _ in range(3))
print(json.dumps({"prompt_tokens_per_second": prompt_tokens / prompt, "new_tokens_per_second": new_tokens / new,
                  "version": transformers.__version__, "torch": torch.__version__}))
"""

# The peer's folder: the same numbers, dequantized by gguf and rounded to bf16 (plain weights: transformers would
# otherwise keep the file's blocks packed and compute in float32).
CONVERT = """
import sys, torch, gguf, numpy
from transformers import LlamaConfig, LlamaForCausalLM
path, folder = sys.argv[1], sys.argv[2]
reader = gguf.GGUFReader(path)
def field(name, otherwise=None):
    found = reader.fields.get(name)
    return found.contents() if found is not None else otherwise
heads, kv_heads = field("llama.attention.head_count"), field("llama.attention.head_count_kv")
tensors = {t.name: t for t in reader.tensors}
config = LlamaConfig(
    vocab_size=int(tensors["token_embd.weight"].shape[1]), hidden_size=field("llama.embedding_length"),
    intermediate_size=field("llama.feed_forward_length"), num_hidden_layers=field("llama.block_count"),
    num_attention_heads=heads, num_key_value_heads=kv_heads, max_position_embeddings=field("llama.context_length"),
    rms_norm_eps=field("llama.attention.layer_norm_rms_epsilon"), tie_word_embeddings="output.weight" not in tensors,
    rope_parameters={"rope_type": "default", "rope_theta": field("llama.rope.freq_base", 10000.0)})
model = LlamaForCausalLM(config).to(torch.bfloat16)
names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
state = {}
for name in model.state_dict():
    if name == "lm_head.weight" and config.tie_word_embeddings:
        continue
    stem, ending = name.rsplit(".", 1)
    tensor = tensors[names.get_name(stem) + "." + ending]
    data = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    count = {"q_proj": heads, "k_proj": kv_heads}.get(stem.rsplit(".", 1)[-1])
    if count:
        data = data.reshape(count, data.shape[0] // count // 2, 2, -1).swapaxes(1, 2).reshape(data.shape)
    state[name] = torch.from_numpy(numpy.ascontiguousarray(data)).to(torch.bfloat16)
model.load_state_dict(state, strict=False)
model.tie_weights()
model.save_pretrained(folder)
"""


def folder_of(run, python, model, folder):
    """The folder that transformers loads, made at the first call."""
    if not os.path.exists(os.path.join(folder, "config.json")):
        run([python, "-c", CONVERT, model, folder])
    return folder


def measure(run, python, folder, prompt_tokens, new_tokens, threads):
    out = run([python, "-c", PEER, folder, str(prompt_tokens), str(new_tokens), str(threads)])
    return json.loads(out.splitlines()[-1])
