#!/usr/bin/env python3
"""Transformers on a GPU, at what tests/gpu_check/measure_model.cpp measures of Powerhouse: a Llama of 1.1 billion
parameters with random weights in bf16, attention by LibTorch's scaled dot product.

    bench/gpu_peers.py [--parts decode,prefill,training] [--compile SECONDS] [--json FILE]

Decoding takes a static cache, and each step the token that the last one found: eager, recorded as a CUDA graph, and,
with --compile, by torch.compile where it compiles within that many seconds. Prints tokens a second.
"""
import argparse
import json
import statistics
import threading
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM, StaticCache

PROMPT, ROOM, DOCUMENTS, LENGTH = 512, 640, 4, 2048


def make_model():
    config = LlamaConfig(vocab_size=32000, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
                         num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=8192,
                         tie_word_embeddings=False)
    config._attn_implementation = "sdpa"
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)


def rewind(cache, length):
    """Forgets what stands behind `length` tokens."""
    for layer in cache.layers:
        layer.cumulative_length.fill_(length)


def seconds(step, count, before=lambda: None):
    """Of one step, the median of three runs of `count`."""
    runs = []
    for _ in range(3):
        before()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(count):
            step()
        torch.cuda.synchronize()
        runs.append((time.perf_counter() - begin) / count)
    return statistics.median(runs)


class Decoding:
    """One token a step for `batch` sequences behind a prompt; what a step needs stays where it is."""

    def __init__(self, model, batch, forward=None):
        self.model, self.forward = model, forward or model.forward
        self.cache = StaticCache(config=model.config, max_cache_len=ROOM)
        self.ids = torch.randint(0, 32000, (batch, PROMPT), device="cuda")
        self.token = torch.full((batch, 1), 17, device="cuda")
        with torch.no_grad():
            model(input_ids=self.ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1)

    def rewind(self):
        rewind(self.cache, PROMPT)

    @torch.no_grad()
    def step(self):
        out = self.forward(input_ids=self.token, past_key_values=self.cache, use_cache=True)
        self.token.copy_(out.logits[:, -1:].argmax(-1))
        return self.token

    def recorded(self):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        return graph


def measure_decode(report, model, batch):
    decoding = Decoding(model, batch)
    decoding.step()
    if batch == 1:
        report("decode, eager, batch 1", 1 / seconds(lambda: decoding.step().tolist(), 4, decoding.rewind))
    try:
        graph = decoding.recorded()
    except Exception as error:  # a step that waits for the device cannot be recorded
        print(f"decode, CUDA graph, batch {batch}: {str(error).splitlines()[0]}", flush=True)
        return

    def replay():
        graph.replay()
        return decoding.token.tolist()

    report(f"decode, CUDA graph, batch {batch}", batch / seconds(replay, 50, decoding.rewind))


def measure_compiled(report, model, limit):
    compiled = torch.compile(model.forward, mode="reduce-overhead", fullgraph=True)
    decoding = Decoding(model, 1, compiled)
    begin = time.perf_counter()
    done = threading.Event()

    def work():
        for _ in range(4):
            decoding.step()
        done.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    if not done.wait(limit):
        print(f"decode, torch.compile: not compiled in {limit:.0f} s", flush=True)
        return
    print(f"torch.compile took {time.perf_counter() - begin:.1f} s", flush=True)
    report("decode, torch.compile, batch 1", 1 / seconds(lambda: decoding.step().tolist(), 50, decoding.rewind))


def measure_prefill(report, model):
    ids = torch.randint(0, 32000, (1, PROMPT), device="cuda")
    cache = StaticCache(config=model.config, max_cache_len=ROOM)

    @torch.no_grad()
    def step():
        rewind(cache, 0)
        model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits.float().cpu()

    with torch.no_grad():
        model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    report(f"prefill of {PROMPT} tokens", PROMPT / seconds(step, 3))


def measure_training(report, model):
    ids = torch.randint(0, 32000, (DOCUMENTS, LENGTH), device="cuda")
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def step():
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(2):
        step()
    report(f"training step, forward, backward and SGD, {DOCUMENTS} documents of {LENGTH}",
           DOCUMENTS * LENGTH / seconds(step, 1))


def main():
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    words.add_argument("--parts", default="decode,prefill,training")
    words.add_argument("--compile", type=float, default=0, metavar="SECONDS")
    words.add_argument("--json", metavar="FILE")
    given = words.parse_args()
    found = {}

    def report(what, tokens_per_second):
        found[what] = tokens_per_second
        print(f"{what}: {tokens_per_second:.1f} tokens/s", flush=True)

    torch.manual_seed(3)
    model = make_model()
    print(f"{sum(p.numel() for p in model.parameters()) / 1e9:.2f} billion parameters", flush=True)
    parts = given.parts.split(",")
    for batch in (1, 8) if "decode" in parts else ():
        measure_decode(report, model, batch)
    if "prefill" in parts:
        measure_prefill(report, model)
    if "training" in parts:
        measure_training(report, model)
    if given.compile > 0:
        measure_compiled(report, model.eval(), given.compile)
    if given.json:
        with open(given.json, "w", encoding="utf-8") as out:
            json.dump(found, out, indent=2)


if __name__ == "__main__":
    main()
