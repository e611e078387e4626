"""The documents and checkpoints of training.py: rows.json, gpt2/, nf4/, q4_k.gguf of tests/fixtures/training."""
import os
import shutil
import subprocess
import tempfile

import torch
from transformers import (AutoModelForCausalLM, BitsAndBytesConfig, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM)

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures", "training")
STEPS, MICRO, ROWS = 20, 2, 2


def make_rows():
    """Sequences that a model can learn: x, x + a, x + 2 a, ... modulo 39, of few a; 42 is the smallest vocabulary. The two
    of a micro batch differ by 4 tokens at most: padding that sees nothing in a window of 6 is NaN in float64."""
    generator = torch.Generator().manual_seed(11)
    def draw(low, high):
        return int(torch.randint(low, high, (1,), generator=generator))
    rows = []
    for number in range(STEPS * MICRO * ROWS):
        length = max(5, length + draw(-4, 5)) if number % ROWS else draw(5, 20)
        first, step = draw(0, 39), (1, 2, 5)[draw(0, 3)]
        ids = [3 + (first + step * i) % 39 for i in range(length)]
        masked = draw(1, 5)  # the prompt; the first at least, which nothing predicts, but Trainer counts it for GPT-2
        labels = [-100] * masked + ids[masked:]
        if draw(0, 4) == 0:
            labels[draw(masked, length)] = -100
        rows.append({"input_ids": ids, "labels": labels})
    return rows


def fill(model, scale=0.15):
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, scale)
            if "norm" in name and name.endswith("weight") or ".ln_" in name and name.endswith("weight"):
                parameter.add_(1.0)
            parameter.copy_(parameter.bfloat16().float())
    model.tie_weights()
    return model


def save_model(model, folder):
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    for name in ("generation_config.json", "README.md"):
        if os.path.exists(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))


class StepLosses:
    """In front of a Trainer: what a step's log says goes into `found`, the loss exactly, which log() rounds. `parts` are the
    losses of its micro batches."""
    kept = {"grad_norms": "grad_norm"}  # name in found: name in the log

    def training_step(self, *arguments, **more):
        loss = super().training_step(*arguments, **more)
        self.parts.append(loss.double().item())
        return loss

    def log(self, logs, *arguments, **more):
        super().log(logs, *arguments, **more)
        if "grad_norm" in logs:
            self.found["losses"].append(sum(self.parts))
            for name, of_log in self.kept.items():
                self.found[name].append(float(logs[of_log]))
            self.parts.clear()


def make_gpt2():
    config = GPT2Config(vocab_size=48, n_embd=32, n_layer=2, n_head=4, n_positions=32, bos_token_id=1, eos_token_id=2,
                        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    save_model(fill(GPT2LMHeadModel(config)).to(torch.bfloat16), os.path.join(OUT, "gpt2"))


def tiny_llama(**more):
    return LlamaForCausalLM(LlamaConfig(**{**dict(
        vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=64, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0), **more}))


def make_nf4():
    plain = os.path.join(OUT, "nf4", "bf16")
    save_model(fill(tiny_llama(), 0.1).to(torch.bfloat16), plain)
    save_model(AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32, quantization_config=BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32), device_map="cpu"), os.path.join(OUT, "nf4", "bnb"))


# What llama-quantize is told of each file; i-quants of several kinds stand in one.
QUANTIZED = {
    "q4_k.gguf": ["--pure", "Q4_K"],
    "iq.gguf": ["--tensor-type", "attn_q=iq4_nl", "--tensor-type", "attn_k=iq4_xs", "--tensor-type", "attn_v=iq3_s",
                "--tensor-type", "attn_output=iq3_s", "--tensor-type", "ffn_gate=iq4_xs", "--tensor-type",
                "ffn_up=iq3_s", "--tensor-type", "ffn_down=iq4_nl", "IQ4_XS"],
}


def make_quantized(program):
    """One layer with rows of 256, written in float32 and quantized by llama.cpp."""
    import gguf
    model = fill(tiny_llama(hidden_size=256, intermediate_size=256, num_hidden_layers=1, vocab_size=48), 0.05)
    with tempfile.TemporaryDirectory() as scratch:
        plain = os.path.join(scratch, "plain.gguf")
        writer = gguf.GGUFWriter(plain, "llama")
        config = model.config
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_vocab_size(config.vocab_size)
        writer.add_tokenizer_model("llama")
        writer.add_token_list([f"t{i}" for i in range(config.vocab_size)])
        writer.add_token_scores([0.0] * config.vocab_size)
        writer.add_token_types([1] * config.vocab_size)
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        for name, tensor in model.state_dict().items():
            stem, ending = name.rsplit(".", 1)
            if stem == "lm_head":
                continue
            count = heads.get(stem.rsplit(".", 1)[-1])
            if count:  # llama.cpp keeps the pairs of RoPE side by side
                tensor = tensor.reshape(count, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)
            writer.add_tensor(f"{names.get_name(stem)}.{ending}", tensor.contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        for name, (*options, kind) in QUANTIZED.items():
            subprocess.run([program, *options, plain, os.path.join(OUT, name), kind], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
