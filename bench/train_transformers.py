"""transformers + PEFT as the peer of `compare.py --train`: the same weights, rows of tokens, initial adapter and optimizer.

    python train_transformers.py prepare MODEL.gguf FOLDER    writes what both sides read:
        model/      the file's numbers as a Hugging Face folder in bf16 (compare_transformers.py)
        rows.i32    STEPS x 4 x 512 token ids of English text of this machine (tokenizer_corpora.py), each row once
        adapter/    the adapter that training starts from: PEFT's own initialization, rank 16 on all linear layers
    python train_transformers.py measure FOLDER SETTINGS      SETTINGS as JSON, see Settings; prints losses, seconds of each
        step, peak resident bytes

A step is what Trainer does by default: forward with labels, backward, clipping to a norm of 1, fused AdamW without decay.
Parameter types, of both sides: `bf16`, adapters (or all weights, in full fine-tuning) and optimizer state are bf16;
`float32`, adapters (all weights) and state are float32 and products run in bf16 under autocast.
"""
import json
import os
import resource
import sys
import time
from dataclasses import dataclass

BATCH, LENGTH, STEPS = 4, 512, 24
PROMPT = 256  # of the rows of a pair, in DPO: a row as it stands is chosen, its prompt with the next row's end rejected
RANK, ALPHA = 16, 32


@dataclass
class Settings:
    method: str = "lora"          # or "full", or "dpo" on an adapter
    parameters: str = "bf16"      # or "float32"
    compiled: bool = False        # torch.compile of the whole model
    checkpointing: bool = False   # of every layer
    steps: int = STEPS
    threads: int = 2
    learning_rate: float = 2e-4


def write_rows(model, path):
    import numpy
    import tokenizer_corpora
    tokenizer = tokenizer_corpora.smollm2(model)
    wanted, ids = STEPS * BATCH * LENGTH, []
    parts = tokenizer_corpora.english()
    for first in range(0, len(parts), 100):
        ids += tokenizer.encode("".join(parts[first:first + 100]), add_special_tokens=False).ids
        if len(ids) >= wanted:
            break
    if len(ids) < wanted:
        sys.exit(f"train_transformers: this machine's text gives only {len(ids)} tokens, {wanted} are wanted")
    numpy.array(ids[:wanted], dtype=numpy.int32).tofile(path)


def lora(model, float32):
    from peft import LoraConfig, get_peft_model
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, config, autocast_adapter_dtype=float32)


def prepare(path, folder):
    import compare_transformers
    import torch
    from transformers import AutoModelForCausalLM
    os.makedirs(folder, exist_ok=True)
    rows = os.path.join(folder, "rows.i32")
    if not os.path.exists(os.path.join(folder, "model", "config.json")):
        sys.argv[1:] = [path, os.path.join(folder, "model")]
        exec(compare_transformers.CONVERT, {})
    if not os.path.exists(rows):
        write_rows(path, rows + ".part")
        os.rename(rows + ".part", rows)
    adapter = os.path.join(folder, "adapter")
    if not os.path.exists(os.path.join(adapter, "adapter_config.json")):
        torch.manual_seed(0)
        lora(AutoModelForCausalLM.from_pretrained(os.path.join(folder, "model"), dtype=torch.bfloat16), True) \
            .save_pretrained(adapter)


def load(folder, settings):
    import torch
    from transformers import AutoModelForCausalLM
    float32 = settings.parameters == "float32"
    dtype = torch.float32 if float32 and settings.method == "full" else torch.bfloat16
    model = AutoModelForCausalLM.from_pretrained(os.path.join(folder, "model"), dtype=dtype)
    if settings.method != "full":
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, os.path.join(folder, "adapter"), is_trainable=True,
                                          autocast_adapter_dtype=float32)
        if not float32:  # PEFT keeps the file's type
            for parameter in model.parameters():
                parameter.data = parameter.data.to(torch.bfloat16)
    if settings.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.config.use_cache = False
    return model.train()


def next_token_loss(forward, ids):
    return forward(input_ids=ids, labels=ids).loss


def dpo_loss(model, ids):
    """What a step of TRL's DPOTrainer computes, the reference being the model without its adapter; without its head that
    is fused with the loss, which takes 1.5 times as long here."""
    import torch
    from trl.trainer.utils import selective_log_softmax
    rejected = torch.cat([ids[0::2, :PROMPT], ids[1::2, PROMPT:]], 1)
    both = torch.cat([ids[0::2], rejected])
    mask = torch.ones_like(both)

    def sums():
        logits = model(input_ids=both, attention_mask=mask, use_cache=False).logits[:, :-1]
        return selective_log_softmax(logits, both[:, 1:])[:, PROMPT - 1:].sum(1)

    policy = sums()
    with torch.no_grad(), model.disable_adapter():
        reference = sums()
    chosen, rejected = (policy - reference).chunk(2)
    return -torch.nn.functional.logsigmoid(0.1 * (chosen - rejected)).mean()


def measure(folder, settings):
    import numpy
    import peft
    import torch
    import transformers
    torch.set_num_threads(settings.threads)
    rows = torch.from_numpy(numpy.fromfile(os.path.join(folder, "rows.i32"), dtype=numpy.int32)).long()
    rows = rows.reshape(-1, BATCH, LENGTH)
    model = load(folder, settings)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0, fused=True)
    loss_of = dpo_loss if settings.method == "dpo" else next_token_loss
    forward = torch.compile(model) if settings.compiled else model
    losses, seconds = [], []
    for step in range(settings.steps):
        ids = rows[step % len(rows)]
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.parameters == "float32"):
            loss = loss_of(forward, ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - begin)
    del loss
    return {"losses": losses, "seconds": seconds, "trained": sum(p.numel() for p in parameters),
            "parameter_type": str(parameters[0].dtype), "state_type": str(optimizer.state[parameters[0]]["exp_avg"].dtype),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "versions": {"transformers": transformers.__version__, "peft": peft.__version__, "torch": torch.__version__}}


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(*sys.argv[2:])
    else:
        print(json.dumps(measure(sys.argv[2], Settings(**json.loads(sys.argv[3])))))
