"""Writes the GGUF fixtures of tests/fixtures/text/gguf from the tokenizers that tokenizer.py wrote, and with --model FILE
--llama-ids PROGRAM (tests/oracles/llama_ids.cpp, built by hand) tests/fixtures/text/smollm2.json: texts and their ids in
SmolLM2's real vocabulary (which is not committed), by llama.cpp. `tokenizers` on the GGUF's metadata gives the same, and
the script stops where it does not, but for texts with characters that SmolLM2's vocabulary lacks (some control bytes):
both drop them, and only tokenizers then merges what stood on both sides.
Ran with gguf 0.19.0, tokenizers 0.23.3, llama.cpp as shipped in llama-cpp-python 0.3.36.

Usage: python tests/oracles/tokenizer_gguf.py [--model FILE --llama-ids PROGRAM]
"""
import argparse
import json
import pathlib
import tempfile

import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from gguf_vocabularies import ids_of, read_ids
from tokenizer_texts import texts

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "text"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4


def state_of(name):
    state = json.loads((ROOT / name / "tokenizer.json").read_text(encoding="utf-8"))
    merges = [m if isinstance(m, str) else " ".join(m) for m in state["model"]["merges"]]
    tokens = sorted(state["model"]["vocab"], key=state["model"]["vocab"].get)
    return tokens, merges


def write(name, tokens, types, merges, pre="smollm", model="gpt2", **more):
    path = ROOT / "gguf" / f"{name}.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    if types is not None:
        writer.add_token_types(types)
    if merges is not None:
        writer.add_token_merges(merges)
    for key, value in more.items():
        if isinstance(value, bool):
            writer.add_bool(f"tokenizer.ggml.{key}", value)
        else:
            writer.add_uint32(f"tokenizer.ggml.{key}", value)
    writer.add_chat_template("{{ bos_token }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def peer(tokens, types, merges, pre_tokenizer, **model):
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges], **model))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, types):
        if kind in (UNKNOWN, CONTROL, USER_DEFINED):
            tokenizer.add_tokens([AddedToken(token, special=kind != USER_DEFINED, normalized=False)])
    return tokenizer


def digits():
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])


def fixtures():
    tokens, merges = state_of("smollm")
    extra = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool>", "<tool> <|im_end|>"]
    kinds = [UNKNOWN, CONTROL, CONTROL, USER_DEFINED, CONTROL]
    all_tokens, types = tokens + extra, [NORMAL] * len(tokens) + kinds
    first = len(tokens)
    ids = dict(bos_token_id=first + 1, eos_token_id=first + 2, unknown_token_id=first, padding_token_id=first + 2)
    write("smollm", all_tokens, types, merges, add_bos_token=True, add_eos_token=False, eot_token_id=first + 4, **ids)
    tokenizer = peer(all_tokens, types, merges, digits())
    specials = extra + ["<|im_start|>user\n", "<tool> ", "<|im_", "<|im_end|><|im_end|>"]
    cases = [{"text": t, "ids": tokenizer.encode(t).ids} for t in texts(40, 120, specials)]
    (ROOT / "gguf" / "smollm.json").write_text("[" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "]\n")
    # Metadata that are wrong or not built, one thing each.
    write("bad_special_ids", all_tokens, types, merges, bos_token_id=70000, eos_token_id=4294967295, add_bos_token=True)
    write("no_pre", all_tokens, types, merges, pre=None, **ids)
    write("unknown_pre", all_tokens, types, merges, pre="no-such-pre")
    write("unknown_model", all_tokens, types, merges, model="rwkv")
    write("few_types", all_tokens, types[:7], merges)
    write("no_merges", all_tokens, types, None)
    write("bad_merge", all_tokens, types, merges + ["Q Q"])
    write("bad_merge_spelling", all_tokens, types, merges + ["QQ"])
    write("repeated_token", all_tokens + ["a"], types + [NORMAL], merges)


def real(model, program):
    fields = gguf.GGUFReader(model).fields
    tokens, types, merges = (fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "token_type", "merges"))
    tokenizer = peer(tokens, types, merges, digits())
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_start|>user\nHi<|im_end|>\n", "<repo_name>", "<|im_"]
    all_texts = texts(50, 300, specials)
    with tempfile.NamedTemporaryFile() as out:
        ids_of(program, model, "special", all_texts, out.name)
        all_ids = read_ids(out.name)
    cases = []
    for text, ids in zip(all_texts, all_ids):
        other = tokenizer.encode(text).ids
        assert other == ids or tokenizer.decode(other, skip_special_tokens=False) != text, (text, ids, other)
        cases.append({"text": text, "ids": ids})
    (ROOT / "smollm2.json").write_text("[" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "]\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--llama-ids")
    arguments = parser.parse_args()
    fixtures()
    if arguments.model:
        real(arguments.model, arguments.llama_ids)
