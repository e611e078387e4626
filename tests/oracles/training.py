"""Writes tests/fixtures/training/: what transformers' Trainer and PEFT make of tiny models in 20 steps, in float32.

    python tests/oracles/training.py [NAME_PREFIX ...]

rows.json    80 short documents, {input_ids, labels} with parts of the labels -100; row 4 s + 2 m + i is the i-th of micro batch
             m of step s. Trainer pads the two of a micro batch on the right; it divides by the targets of the whole step.
runs.json    a line a run: `model` (from tests/fixtures), `method`, settings, `losses` (mean over a step's targets, before its
             update), `grad_norms` (before clipping), `learning_rates`; of full fine-tuning also `decayed` (names) and
             `tensors`: {name: [sum, 2-norm] after the last step}.
<run>/       adapter/: the PEFT folder that training starts from (LoRA; B not zero). final.safetensors: all tensors of the
             adapter as PEFT saves them, or of full fine-tuning those with at most 512 numbers, of others every n-th number
             (flattened) as `<name>@<n>`.
gpt2/, nf4/  checkpoints made here. nf4/bf16 as it was, nf4/bnb the same with NF4 linear layers as bitsandbytes saves them.
             q4_k.gguf and iq.gguf are by llama-quantize (--llama-quantize PROGRAM), else kept.

Every run is repeated with other arithmetic: float64 but for softmax, and for NF4 float32 on dequantized weights. Losses must
agree to 1e-6, final tensors to 1e-4. Of GPT-2's c_attn.bias the part of the keys is written as NaN: softmax takes out what
all keys share, so that its gradient is rounding, of which AdamW makes whole steps; no two computations agree there.
Ran with transformers 5.23.0, peft 0.21.0, torch 2.11.0, bitsandbytes 0.50.2, gguf 0.19.0, accelerate 1.15.0.
"""
import argparse
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, field

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.utils import logging

from training_models import MICRO, OUT, ROWS, STEPS, StepLosses, make_gpt2, make_nf4, make_quantized, make_rows

FIXTURES = os.path.join(OUT, "..")
LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SMALL = 512


@dataclass
class Run:
    name: str
    model: str
    method: str = "lora"
    target_modules: list = field(default_factory=list)
    target_parameters: list = field(default_factory=list)
    lr_scheduler_type: str = "constant"
    learning_rate: float = 5e-3
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    warmup_steps: int = 0
    fan_in_fan_out: bool = False


FALCON = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
GPT2 = dict(target_modules=["c_attn", "c_fc", "c_proj"], fan_in_fan_out=True)
EXPERTS = dict(target_modules=LLAMA[:4], target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])
FULL = dict(method="full", learning_rate=1e-3)
COSINE = dict(lr_scheduler_type="cosine", warmup_steps=3)
RUNS = [
    Run("llama_lora", "model/tiny_gqa", target_modules=LLAMA, **COSINE),
    Run("llama_full", "model/tiny_gqa", **FULL),
    Run("gpt2_lora", "training/gpt2", **GPT2),
    Run("gpt2_full", "training/gpt2", **FULL, **COSINE),
    Run("falcon_lora", "model/families/falcon_7b", target_modules=FALCON, **COSINE),
    Run("falcon_full", "model/families/falcon_7b", **FULL),
    Run("falcon_grouped_lora", "model/families/falcon_40b", target_modules=FALCON),
    Run("falcon_grouped_full", "model/families/falcon_40b", **FULL, **COSINE),
    Run("mixtral_lora", "model/families/mixtral_experts", **EXPERTS),
    Run("mixtral_full", "model/families/mixtral_experts", **FULL, **COSINE),
    Run("nf4_lora", "training/nf4/bnb", target_modules=LLAMA),
    Run("q4_0_lora", "model/tiny_blocks_q4_0.gguf", target_modules=LLAMA),
    Run("q8_0_lora", "model/tiny_blocks_q8_0.gguf", target_modules=["q_proj", "v_proj", "down_proj"], **COSINE),
    Run("q4_k_lora", "training/q4_k.gguf", target_modules=["q_proj", "k_proj", "up_proj"]),
    Run("iq_lora", "training/iq.gguf", target_modules=LLAMA),
]


def collate(rows):
    length = max(len(row["input_ids"]) for row in rows)
    def padded(key, filler):
        return torch.tensor([row[key] + [filler] * (length - len(row[key])) for row in rows])
    ones = [{"mask": [1] * len(row["input_ids"])} for row in rows]
    mask = torch.tensor([one["mask"] + [0] * (length - len(one["mask"])) for one in ones])
    return {"input_ids": padded("input_ids", 0), "attention_mask": mask, "labels": padded("labels", -100)}


def load(run, other):
    path = os.path.join(FIXTURES, run.model)
    options = {"dtype": torch.float32, "attn_implementation": "eager", "experts_implementation": "eager"}
    if path.endswith(".gguf"):
        folder, name = os.path.split(path)
        read = LlamaForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
        read.config.quantization_config = None  # Trainer refuses what came out of blocks
        model = LlamaForCausalLM._from_config(read.config, dtype=torch.float32, attn_implementation="eager")
        model.load_state_dict(read.state_dict())
        return model
    if "nf4" in run.name:
        model = AutoModelForCausalLM.from_pretrained(path, device_map="cpu", **options)
        return model.dequantize() if other else model
    return AutoModelForCausalLM.from_pretrained(path, **options)


def in_order(path):
    """PEFT writes sets, in another order each time."""
    with open(path) as file:
        config = json.load(file)
    for key in ("target_modules", "target_parameters"):
        config[key] = sorted(config[key]) if config[key] else config[key]
    with open(path, "w") as file:
        json.dump(config, file, indent=2)
        file.write("\n")


def with_sequence_adapter(model, folder, fresh):
    """A classifier with LoRA of rank 4, whose folder (task type SEQ_CLS) is made where it has to be fresh."""
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
        made = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=LLAMA, task_type=TaskType.SEQ_CLS))
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 0.02)
        made.peft_config["default"].base_model_name_or_path = "model/tiny_gqa"
        made.save_pretrained(folder)
        os.remove(os.path.join(folder, "README.md"))
        in_order(os.path.join(folder, "adapter_config.json"))
        model = made.unload()
    return PeftModel.from_pretrained(model, folder, is_trainable=True)


def with_adapter(model, run, folder):
    """The model with the adapter of the folder, which is made where it isn't there yet."""
    if not os.path.exists(folder):
        torch.manual_seed(3)
        config = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=run.target_modules,
                            target_parameters=run.target_parameters or None, fan_in_fan_out=run.fan_in_fan_out,
                            task_type="CAUSAL_LM")
        made = get_peft_model(model, config)
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 0.02)
        made.peft_config["default"].base_model_name_or_path = run.model
        made.save_pretrained(folder)
        os.remove(os.path.join(folder, "README.md"))
        in_order(os.path.join(folder, "adapter_config.json"))
        model = made.unload()
    return PeftModel.from_pretrained(model, folder, is_trainable=True)


class Recorder(StepLosses, Trainer):
    kept = {"grad_norms": "grad_norm", "learning_rates": "learning_rate"}


def train(model, run, rows, steps=STEPS, micro=MICRO):
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Recorder(model=model, data_collator=collate, train_dataset=rows, args=TrainingArguments(
            output_dir=scratch, max_steps=steps, per_device_train_batch_size=ROWS, gradient_accumulation_steps=micro,
            learning_rate=run.learning_rate, lr_scheduler_type=run.lr_scheduler_type, warmup_steps=run.warmup_steps,
            weight_decay=run.weight_decay, max_grad_norm=run.max_grad_norm, optim="adamw_torch", logging_steps=1,
            save_strategy="no", report_to="none", use_cpu=True, train_sampling_strategy="sequential",
            remove_unused_columns=False, disable_tqdm=True))
        trainer.parts, trainer.found = [], {"losses": [], "grad_norms": [], "learning_rates": []}
        # The loss is normalized by the targets of the step, where the model takes num_items_in_batch itself.
        assert trainer.model_accepts_loss_kwargs, run.name
        decayed = trainer.get_decay_parameter_names(model)
        trainer.train()
    assert len(trainer.found["losses"]) == steps, len(trainer.found["losses"])
    return trainer.found, decayed


def saved(model):
    """The tensors as a file of the model, or of its adapter, has them: names and layout."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        name = "adapter_model.safetensors" if isinstance(model, PeftModel) else "model.safetensors"
        return load_file(os.path.join(folder, name))


def once(run, rows, other):
    torch.manual_seed(0)
    model = load(run, other)
    if run.method == "lora":
        model = with_adapter(model, run, os.path.join(OUT, run.name, "adapter"))
    if other and "nf4" not in run.name:
        model = model.double()
    found, decayed = train(model, run, rows)
    return model, found, decayed


def without_key_bias(tensors):
    for name, tensor in tensors.items():
        if name.endswith("attn.c_attn.bias"):
            tensor[tensor.numel() // 3:tensor.numel() * 2 // 3] = float("nan")
    return tensors


def agreed(run, here, there):
    """The final tensors, after a look at how far the other arithmetic is from them."""
    losses = max(abs(a / b - 1) for a, b in zip(here[1]["losses"], there[1]["losses"]))
    tensors, others = without_key_bias(saved(here[0])), without_key_bias(saved(there[0]))
    worst = max((tensors[name].double() - others[name].double()).nan_to_num().abs().max().item() for name in tensors)
    print(f"{run.name}: loss {here[1]['losses'][0]:.4f} to {here[1]['losses'][-1]:.4f}, apart by {losses:.1e}; tensors by "
          f"{worst:.1e}", flush=True)
    assert losses < 1e-6 and worst < 1e-4
    return tensors


def write(run, rows):
    folder = os.path.join(OUT, run.name)
    shutil.rmtree(folder, ignore_errors=True)
    here, there = once(run, rows, False), once(run, rows, True)
    tensors = agreed(run, here, there)
    line = {**asdict(run), **here[1]}
    kept = tensors
    if run.method == "full":
        line["decayed"] = file_names(here[0], here[2], tensors)
        line["tensors"] = {name: [t.double().sum().item(), t.double().norm().item()] for name, t in tensors.items()
                           if not t.isnan().any()}
        kept = {}
        for name, tensor in tensors.items():
            every = -(-tensor.numel() // SMALL)
            every += every > 1 and every % 2 == 0  # odd: all columns get their turn
            kept[name if every == 1 else f"{name}@{every}"] = tensor if every == 1 else tensor.flatten()[::every].clone()
    os.makedirs(folder, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in kept.items()}, os.path.join(folder, "final.safetensors"))
    return line


def file_names(model, decayed, tensors):
    """The names in files of parameters: those that are marked with ones and others with zeros, saved."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(float(name in decayed))
    marked = saved(model)
    assert marked.keys() == tensors.keys()
    return sorted(name for name, tensor in marked.items() if bool((tensor == 1).all()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("prefixes", nargs="*")
    parser.add_argument("--llama-quantize")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    os.makedirs(OUT, exist_ok=True)
    rows = make_rows()
    with open(os.path.join(OUT, "rows.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")
    make_gpt2()
    make_nf4()
    if arguments.llama_quantize:
        make_quantized(arguments.llama_quantize)
    path, lines = os.path.join(OUT, "runs.json"), {}
    if os.path.exists(path):
        with open(path) as file:
            lines = {line["name"]: line for line in json.load(file)}
    for run in RUNS:
        if not arguments.prefixes or run.name.startswith(tuple(arguments.prefixes)):
            lines[run.name] = write(run, rows)
    with open(path, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(lines[run.name]) for run in RUNS if run.name in lines) + "\n]\n")


if __name__ == "__main__":
    main()
