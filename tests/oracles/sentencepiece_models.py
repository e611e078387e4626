"""Writes tests/fixtures/text/sentencepiece/: small SentencePiece models, the ids and texts that the `sentencepiece` package
gives for them, and folders of them with the ids of transformers' tokenizers that run SentencePiece itself (LlamaTokenizer,
GemmaTokenizer of version 4; version 5 turns the file into a BPE of `tokenizers`, which cuts and prefixes otherwise than
the model was trained). With --compare PROGRAM more texts, and models too large to keep, go through gguf_compare.
Ran with transformers 4.57.1, sentencepiece 0.2.1, whose ids are those of 0.1.97 (Debian's library). From 0.2.2 on the package
breaks ties of unigram paths otherwise, where sums of scores are equal but for rounding ("xxxx" as xx x x or x xx x).

Usage: sentencepiece_models.py [--compare PROGRAM --count N]
"""
import argparse
import json
import pathlib
import shutil
import struct
import subprocess
import tempfile

import sentencepiece

from gguf_vocabularies import make, packed, some

OUT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "text" / "sentencepiece"
CORPUS = [t for t in make(41, 4000) if t.strip() and sum(ord(c) < 0x180 for c in t) > 0.97 * len(t)]
RULES = ["\ufb01\tfi", "\ufb00\tff", "A\u030a\t\u00c5", "e\u0301\t\u00e9", "\u3000\t ", "\u00a0\t ", "\t\t ", "\n\t ", "\r\t ", "\u2460\t1", "\u00bd\t1\u20442",
         "\uff21\tA", "\u200b\t", "\u2026\t...", "\u2018\t'", "\ufb03\tffi", "\u01c4\tD\u017d"]
SPECIALS = ["a<s> b</s>c", "<tool> x<tool>y", "</s>", "<s>", "<s> a", "<unk> y", " <s>  x", "x\ny", "\u2581x", "a \u2581 b", "<s><s>a", "<bos>a<eos> b", "<extra> q<extra>", "  a", "</s>b", "a</s> b"]


def train(folder, name, **options):
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(t.replace("\n", " ").replace("\0", " ") for t in CORPUS),
                                             model_prefix=f"{folder}/{name}", minloglevel=2, num_threads=1, character_coverage=0.99, **options)
    pathlib.Path(f"{folder}/{name}.vocab").unlink()


def small(folder):
    rules = pathlib.Path(folder, "rules.tsv")
    rules.write_text("".join(" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n"
                             for a, b in (r.rsplit("\t", 1) for r in RULES)))
    user = ["<tool>", "    ", "\u2581\u2581\u2581", "<tool><tool>"]
    train(folder, "bpe", model_type="bpe", vocab_size=600, byte_fallback=True, user_defined_symbols=user, normalization_rule_name="identity",
          remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, control_symbols=["<ctl>"])
    train(folder, "unigram", model_type="unigram", vocab_size=300, user_defined_symbols=["<tool>"], normalization_rule_tsv=str(rules))
    train(folder, "unigram_bytes", model_type="unigram", vocab_size=500, byte_fallback=True, add_dummy_prefix=False, pad_id=3, bos_piece="<bos>",
          eos_piece="<eos>", normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True)
    train(folder, "suffix", model_type="bpe", vocab_size=300, treat_whitespace_as_suffix=True, normalization_rule_tsv=str(rules), unk_id=2, bos_id=0, eos_id=1)
    train(folder, "characters", model_type="char", vocab_size=100, bos_id=-1, normalization_rule_tsv=str(rules))
    train(folder, "words", model_type="word", vocab_size=200, normalization_rule_tsv=str(rules))
    rules.unlink()


def large(folder):
    for kind in ("bpe", "unigram"):
        train(folder, f"{kind}_nmt_nfkc", model_type=kind, vocab_size=550 if kind == "bpe" else 300, byte_fallback=kind == "bpe", normalization_rule_name="nmt_nfkc")
        train(folder, f"{kind}_nfkc_cf", model_type=kind, vocab_size=300, normalization_rule_name="nmt_nfkc_cf", user_defined_symbols=["<Tool>"])


FOLDERS = {
    "folder_llama": ("bpe", dict(tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False, legacy=False, bos_token="<s>", eos_token="</s>", unk_token="<unk>")),
    "folder_legacy": ("bpe", dict(tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=True, legacy=True, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
                                  added_tokens_decoder={"600": dict(content="<extra>", special=True, lstrip=False, rstrip=False, normalized=False, single_word=False)})),
    "folder_trims": ("unigram", dict(tokenizer_class="LlamaTokenizer", add_bos_token=False, legacy=False)),
    "folder_gemma": ("unigram_bytes", dict(tokenizer_class="GemmaTokenizer", add_bos_token=True, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>")),
}


def write():
    import transformers

    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    small(OUT)
    texts = some(12, 40) + SPECIALS
    out = {"texts": texts, "models": {}, "folders": {}}
    for file in sorted(OUT.glob("*.model")):
        peer = sentencepiece.SentencePieceProcessor(model_file=str(file))
        ids = [peer.encode(t) for t in texts]
        roles = {"bos": peer.bos_id(), "eos": peer.eos_id(), "unk": peer.unk_id(), "pad": peer.pad_id()}
        out["models"][file.name] = {"ids": ids, "texts": [None if peer.unk_id() in i or "\u2581" in t else peer.decode(i) for t, i in zip(texts, ids)], **roles}
    for name, (model, config) in FOLDERS.items():
        folder = OUT / name
        folder.mkdir()
        (folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n")
        with tempfile.TemporaryDirectory() as place:
            shutil.copy(OUT / f"{model}.model", f"{place}/tokenizer.model")
            shutil.copy(folder / "tokenizer_config.json", place)
            peer = getattr(transformers, config["tokenizer_class"]).from_pretrained(place)
        # The legacy decoder drops two blanks at the beginning: no model for us.
        # Where SentencePiece trims blanks, transformers' own blank before the text is no longer the one it would put there.
        plain = [t for t in SPECIALS if "\u2581" not in t and t[0] != " "] if model == "unigram" else texts
        ids = [peer(t).input_ids if t in plain else None for t in texts]
        out["folders"][name] = {"model": model, "ids": ids, "shown": [] if config.get("legacy") else [i and peer.decode(i, skip_special_tokens=True) for i in ids]}
    (OUT / "cases.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


def compare(program, count):
    texts = make(71, count)
    with tempfile.TemporaryDirectory() as folder:
        small(folder)
        large(folder)
        pathlib.Path(f"{folder}/texts").write_bytes(packed(texts))
        for file in sorted(pathlib.Path(folder).glob("*.model")):
            peer = sentencepiece.SentencePieceProcessor(model_file=str(file))
            with open(f"{folder}/ids", "wb") as out:
                for text in texts:
                    ids = peer.encode(text)
                    out.write(struct.pack(f"<I{len(ids)}i", len(ids), *ids))
            run = subprocess.run([program, str(file), f"{folder}/texts", f"{folder}/ids", "plain"], capture_output=True, text=True)
            print(run.stdout, end="", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--compare")
    parser.add_argument("--count", type=int, default=3000)
    arguments = parser.parse_args()
    compare(arguments.compare, arguments.count) if arguments.compare else write()
