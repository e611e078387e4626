"""Writes tests/fixtures/text/gguf_models/: small vocabularies of each tokenizer.ggml.model but gpt2, trained on texts made
here, and the ids, pieces and ends of generation that llama.cpp gives for them (tests/oracles/llama_ids.cpp, built by hand).
Ran with gguf 0.19.0, sentencepiece 0.2.1, tokenizers 0.23.3, llama.cpp as shipped in llama-cpp-python 0.3.36.

Usage: gguf_models.py LLAMA_IDS [--compare PROGRAM --count N]
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import Tokenizer, models, trainers

from gguf_vocabularies import compare, ids_of, make, packed, read_ids, some

OUT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "text" / "gguf_models"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
CORPUS = [t for t in make(41, 4000) if t.strip() and sum(ord(c) < 0x180 for c in t) > 0.97 * len(t)]
# A charsmap of a few dozen rules: nmt_nfkc's own takes 240 KB.
RULES = ["\ufb01\tfi", "\ufb00\tff", "A\u030a\t\u00c5", "e\u0301\t\u00e9", "\u3000\t ", "\u00a0\t ", "\t\t ", "\n\t ", "\r\t ", "\u2460\t1", "\u00bd\t1\u20442",
         "\uff21\tA", "\u200b\t", "\u2026\t...", "\u2018\t'", "\ufb03\tffi", "\u01c4\tD\u017d"]


def write(name, tokens, types, scores=None, merges=None, architecture="llama", title=None, **more):
    path = OUT / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, architecture)
    if title:
        writer.add_name(title)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if scores is not None:
        writer.add_token_scores(scores)
    if merges is not None:
        writer.add_token_merges(merges)
    for key, value in more.items():
        if isinstance(value, bool):
            writer.add_bool(f"tokenizer.ggml.{key}", value)
        elif isinstance(value, int):
            writer.add_uint32(f"tokenizer.ggml.{key}", value)
        elif isinstance(value, bytes):
            writer.add_array(f"tokenizer.ggml.{key}", value)
        else:
            writer.add_string(f"tokenizer.ggml.{key}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def spiece(folder, **options):
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(t.replace("\n", " ").replace("\0", " ") for t in CORPUS),
                                             model_prefix=f"{folder}/m", minloglevel=2, num_threads=1, **options)
    return proto.ModelProto.FromString(pathlib.Path(f"{folder}/m.model").read_bytes())


def table(model):
    kinds = {1: NORMAL, 2: UNKNOWN, 3: CONTROL, 4: USER_DEFINED, 5: UNUSED, 6: BYTE}
    return ([p.piece for p in model.pieces], [kinds[p.type] for p in model.pieces], [p.score for p in model.pieces])


def files():
    OUT.mkdir(exist_ok=True)
    user = ["<tool>", "    ", "▁▁▁", "<tool><tool>"]
    with tempfile.TemporaryDirectory() as folder:
        bpe = dict(model_type="bpe", vocab_size=700, character_coverage=0.99, normalization_rule_name="identity",
                   remove_extra_whitespaces=False, allow_whitespace_only_pieces=True)
        tokens, types, scores = table(spiece(folder, byte_fallback=True, user_defined_symbols=user, **bpe))
        tokens, types, scores = tokens + ["<|end|>", "<mask>", "unused1", "<|endoftext|>"], types + [CONTROL, NORMAL, UNUSED, NORMAL], scores + [0.0, -1.0, -2.0, -3.0]
        write("spm", tokens, types, scores, model="llama", bos_token_id=1, eos_token_id=2, unknown_token_id=0)
        write("spm_no_prefix", tokens, types, scores, model="llama", add_space_prefix=False, add_bos_token=False, add_eos_token=True)
        write("spm_phi3", tokens, types, scores, model="llama", title="Tiny Phi-3")
        rules = pathlib.Path(folder, "rules.tsv")
        rules.write_text("".join(" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n"
                                 for a, b in (r.rsplit("\t", 1) for r in RULES)))
        unigram = dict(model_type="unigram", vocab_size=350, character_coverage=0.99, user_defined_symbols=["<tool>", "<x>"])
        model = spiece(folder, normalization_rule_tsv=str(rules), **unigram)
        tokens, types, scores = table(model)
        charsmap = model.normalizer_spec.precompiled_charsmap
        ids = dict(unknown_token_id=0, bos_token_id=1, eos_token_id=2)
        write("unigram", tokens + ["<mask>"], types + [CONTROL], scores + [0.0], model="t5", architecture="nomic-bert-moe",
              add_space_prefix=True, remove_extra_whitespaces=True, precompiled_charsmap=charsmap, add_bos_token=True, **ids)
        types[7] = types[30] = UNUSED
        write("unigram_plain", tokens, types, scores, model="t5", **ids)
        write("unigram_prefix", tokens, types, scores, model="t5", add_space_prefix=True, precompiled_charsmap=charsmap, **ids)
    words = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trainer = trainers.WordPieceTrainer(vocab_size=600, limit_alphabet=150, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False)
    words.train_from_iterator((w for t in CORPUS for w in t.lower().replace("▁", " ").split()), trainer)
    vocabulary = json.loads(words.to_str())["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    types = [CONTROL] * 5 + [NORMAL] * (len(tokens) - 5)
    tokens = tokens[:5] + [t[2:] if t.startswith("##") else "▁" + t for t in tokens[5:]]
    ids = dict(unknown_token_id=1, bos_token_id=2, seperator_token_id=3, padding_token_id=0)
    write("word_piece", tokens, types, model="bert", architecture="bert", **ids)
    write("word_piece_cased", tokens, types, model="bert", architecture="bert", **{"normalizer.lowercase": False}, **ids)
    merged = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<pad>", "<eos>", "<bos>", "<unk>", "<turn|>"] + [f"<0x{i:02X}>" for i in range(256)] + ["\n\n", "\n\n\n"],
                                  show_progress=False, max_token_length=10, limit_alphabet=150)
    merged.train_from_iterator((line for t in CORPUS for line in t.replace(" ", "▁").split("\n") if line), trainer)
    state = json.loads(merged.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].get)
    types = [CONTROL] * 3 + [UNKNOWN, CONTROL] + [BYTE] * 256 + [NORMAL] * (len(tokens) - 261)
    merges = [m if isinstance(m, str) else " ".join(m) for m in state["merges"]]
    write("gemma4", tokens, types, merges=merges, model="gemma4", bos_token_id=2, eos_token_id=1, unknown_token_id=3, padding_token_id=0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--compare")
    parser.add_argument("--count", type=int, default=3000)
    arguments = parser.parse_args()
    if not arguments.compare:
        files()
    special = ["a<tool>  <tool><tool> b", "x<|end|> \n y", "<x> <xy> <", "ﬁ①½ \u200bＡ"]
    texts = make(61, arguments.count) if arguments.compare else some(6, 30) + special
    out = {"texts": texts, "models": {}}
    for file in sorted(OUT.glob("*.gguf")):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(f"{folder}/texts").write_bytes(packed(texts))
            if arguments.compare:
                for mode in ("special", "plain"):
                    print(compare(arguments.program, arguments.compare, str(file), f"{folder}/texts", mode).stdout, end="", flush=True)
            else:
                out["models"][file.name] = expected(arguments.program, file, texts, folder)
    if not arguments.compare:
        (OUT / "cases.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


def expected(program, file, texts, folder):
    rows = {}
    for mode in ("special", "plain", "encode"):
        ids_of(program, str(file), mode, texts, f"{folder}/ids")
        rows[mode] = read_ids(f"{folder}/ids")
    rows["added"] = rows.pop("encode")[0]  # to the empty text
    rows["plain"] = [None if a == b else a for a, b in zip(rows["plain"], rows["special"])]  # None: the same
    ends = subprocess.run([program, str(file), "end"], capture_output=True, text=True, check=True)
    rows["end"] = sorted(int(i) for i in ends.stdout.split())
    subprocess.run([program, str(file), "pieces", f"{folder}/pieces"], check=True)
    pieces = read_pieces(f"{folder}/pieces")
    rows["pieces"] = {str(i): pieces[i] for i in [*range(14), *range(14, len(pieces), 17), *range(len(pieces) - 8, len(pieces))]}
    return rows


def read_pieces(path):
    data, at, out = pathlib.Path(path).read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "little")
        out.append(data[at + 4:at + 4 + size].hex())
        at += 4 + size
    return out


if __name__ == "__main__":
    main()
