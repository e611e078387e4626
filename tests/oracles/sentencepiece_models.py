"""Writes tests/fixtures/text/sentencepiece/: small SentencePiece models, the ids and texts that the `sentencepiece` package
gives for them, and folders of them with the ids of transformers' tokenizers that run SentencePiece itself (LlamaTokenizer,
GemmaTokenizer of version 4; version 5 turns the file into a BPE of `tokenizers`, which cuts and prefixes otherwise than
the model was trained). With --compare PROGRAM more texts, and models too large to keep, go through gguf_compare. With --spans
PROGRAM models of odd options and hostile texts go through sentencepiece_compare, which compares tokens' spans as
well; spans/ holds some of them.
Ran with transformers 4.57.1, sentencepiece 0.2.1, whose ids are those of 0.1.97. From 0.2.2 on the package
breaks ties of unigram paths otherwise, where sums of scores are equal but for rounding ("xxxx" as xx x x or x xx x).

Usage: sentencepiece_models.py [--write-spans | --compare PROGRAM | --spans PROGRAM] [--count N] [--only MODEL]
"""
import argparse
import json
import pathlib
import random
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
    write_spans()


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


USER = ["<tool>", "<tool><tool>", "  ", "\u2581\u2581\u2581", "\u2581a", " the ", "the", "\u65e5\u672c", "\U0001f600", "\U0001f600\u200d", "a b", "=", "ing"]
SPANS = ["bpe_unused_0.15", "bpe_over_unused", "bpe_thirds", "bpe_suffix", "bpe_unescaped", "bpe_maps_loose", "unigram_users_bytes", "unigram_thirds",
         "unigram_unused_0.7", "unigram_maps", "char_loose", "word_maps"]
MAPS = ["ab\tX", "abc\t", "q\t  ", "\u00e9\t e ", "-\t\u2581", "=\t" + "long " * 9, "\u0301\t", "\r\n\t ", "w w\tww", "\ufffd\t?"]


def odd(folder):
    """Models of every kind with options that few use, and what the trainer never writes: ties, unused pieces, odd scores."""
    from sentencepiece import sentencepiece_model_pb2

    rules = pathlib.Path(folder, "maps.tsv")
    rules.write_text("".join(" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n"
                             for a, b in (r.split("\t", 1) for r in MAPS)))
    plain = dict(normalization_rule_name="identity")
    maps = dict(normalization_rule_tsv=str(rules))
    users = dict(user_defined_symbols=USER)
    loose = dict(remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, **plain)
    for kind in ("bpe", "unigram"):
        train(folder, f"odd_{kind}_users", model_type=kind, vocab_size=400, **users, **plain)
        train(folder, f"odd_{kind}_users_bytes", model_type=kind, vocab_size=650, byte_fallback=True, **users, **loose)
        train(folder, f"odd_{kind}_maps", model_type=kind, vocab_size=350, add_dummy_prefix=False, user_defined_symbols=["abz", "-"], **maps)
        train(folder, f"odd_{kind}_maps_loose", model_type=kind, vocab_size=350, remove_extra_whitespaces=False, **maps)
        train(folder, f"odd_{kind}_over", model_type=kind, vocab_size=400, split_by_whitespace=False, split_by_unicode_script=False, **plain)
        train(folder, f"odd_{kind}_suffix", model_type=kind, vocab_size=400, treat_whitespace_as_suffix=True, **users, **loose)
    for kind in ("char", "word"):
        train(folder, f"odd_{kind}", model_type=kind, vocab_size=120, hard_vocab_limit=False, **users, **plain)
        train(folder, f"odd_{kind}_loose", model_type=kind, vocab_size=90, treat_whitespace_as_suffix=True, control_symbols=["x", "\u2581is", "."], user_defined_symbols=["<tool>", "ab"], **loose)
        train(folder, f"odd_{kind}_maps", model_type=kind, vocab_size=100, add_dummy_prefix=False, **maps)
    draw = random.Random(5)
    Piece = sentencepiece_model_pb2.ModelProto.SentencePiece

    def changed(source, name, change):
        proto = sentencepiece_model_pb2.ModelProto.FromString(pathlib.Path(f"{folder}/{source}.model").read_bytes())
        change(proto)
        pathlib.Path(f"{folder}/odd_{name}.model").write_bytes(proto.SerializeToString())

    def unused(share):
        def change(proto):
            for piece in proto.pieces:
                if piece.type == Piece.NORMAL and draw.random() < share:
                    piece.type = Piece.UNUSED
        return change

    def scores(score):
        def change(proto):
            for piece in proto.pieces:
                piece.score = score(piece.score)
        return change

    def unescaped(proto):
        proto.normalizer_spec.escape_whitespaces = False
        for piece in proto.pieces:
            piece.piece = piece.piece.replace("\u2581", " ")

    for kind in ("bpe", "unigram"):
        for share in (0.15, 0.7):
            changed(f"odd_{kind}_users", f"{kind}_unused_{share}", unused(share))
        changed(f"odd_{kind}_over", f"{kind}_over_unused", unused(0.4))
        changed(f"odd_{kind}_users_bytes", f"{kind}_bytes_unused", unused(0.4))
        changed(f"odd_{kind}_users", f"{kind}_ties", scores(lambda score: -1.0))
        changed(f"odd_{kind}_users", f"{kind}_thirds", scores(lambda score: draw.randint(-9, 2) / 3))
        changed(f"odd_{kind}_users", f"{kind}_positive", scores(lambda score: draw.random() * 7))
        changed(f"odd_{kind}_users", f"{kind}_huge", scores(lambda score: draw.choice([1e30, -1e30, 3e38, -3e38, 1e-40, 0.0, -0.0])))
        changed(f"odd_{kind}_users", f"{kind}_infinite", scores(lambda score: draw.choice([float("inf"), float("-inf"), -1.0, 0.0])))
        changed(f"odd_{kind}_over", f"{kind}_unescaped", unescaped)
    rules.unlink()


def hostile(seed, count, pieces):
    """Texts, as bytes: ordinary ones, pieces of the model put together, and either with blanks and bytes that do not belong."""
    draw = random.Random(seed)
    odds = [" ", "  ", "\u2581", "\u2581\u2581", "\0", "\t", "\r\n", "\x7f", "\u00a0", "\u3000", "\u200b", "e\u0301", "\ufb01", "\ufffd", "\ufeff",
            "\u65e5\u672c\u8a9e", "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0010ffff", "\ud55c\uad6d", "<tool>", "<tool><tool><tool>", "abc", "q", "=", "-", "w w w",
            "<s>", "</s>", "<unk>", "<0x41>", " the the", "xxxx", "\u0e01\u0e33", "\u0627\u0644", "\u1100\u1161", "ab" * 40, " " * 70, "\u2581" * 9]
    broken = [b"\xff", b"\xc3", b"\xe2\x96", b"\xe2\x96\x81\x81", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x9f", b"\x80", b"\xf8\x88"]
    ordinary = make(seed, count)
    out = []
    for i in range(count):
        kind = draw.random()
        if kind < 0.25:
            text = ordinary[i].encode()
        elif kind < 0.6:
            text = "".join(draw.choice(pieces) for _ in range(draw.randint(1, 40))).replace("\u2581", draw.choice(["\u2581", " ", " ", "  "])).encode()
        elif kind < 0.8:
            text = "".join(draw.choice(odds) for _ in range(draw.randint(1, 12))).encode()
        else:
            text = "".join(draw.choice((odds, pieces, [draw.choice(ordinary)[:20]], ["a", "b", "e", " "])[draw.randint(0, 3)]) for _ in range(draw.randint(1, 25))).encode()
        for _ in range(draw.choice([0, 0, 0, 1, 3])):
            at = draw.randint(0, len(text))
            text = text[:at] + draw.choice(broken) + text[at:] if draw.random() < 0.5 else text[:at] + text[at + 1:]
        out.append(text)
    return out + [b"", b" ", b"\xe2\x96\x81", b" " * 3000, b"ab" * 3000, b"a" * 5000, b"\xff" * 300, "\u65e5".encode() * 2000]


def tokens_of(peer, text):
    """(id, begin, end) of each token, in bytes; None where the package fails: a word or a character is spelled as a control piece."""
    from sentencepiece import sentencepiece_pb2

    found = sentencepiece_pb2.SentencePieceText.FromString(peer.encode(text, out_type="serialized_proto"))
    return None if text and not found.HasField("text") else [(p.id, p.begin, p.end) for p in found.pieces]


def hostile_texts(file, peer, count):
    return hostile(len(file.stem), count, [peer.id_to_piece(i) for i in range(peer.get_piece_size())])


def write_spans():
    folder = OUT / "spans"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cases = {}
    with tempfile.TemporaryDirectory() as place:
        odd(place)
        for name in SPANS:
            file = pathlib.Path(shutil.copy(f"{place}/odd_{name}.model", folder / f"{name}.model"))
            peer = sentencepiece.SentencePieceProcessor(model_file=str(file))
            texts = [t for t in hostile_texts(file, peer, 400) if 0 < len(t) < 80][:40]
            cases[name] = [[t.hex(), found and [n for token in found for n in token]] for t in texts for found in [tokens_of(peer, t)]]
    (folder / "cases.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


def compare_spans(program, count, only):
    with tempfile.TemporaryDirectory() as folder:
        small(folder)
        large(folder)
        odd(folder)
        for file in sorted(pathlib.Path(folder).glob("*.model")):
            if only and only not in file.stem:
                continue
            peer = sentencepiece.SentencePieceProcessor(model_file=str(file))
            texts = hostile_texts(file, peer, count)
            pathlib.Path(f"{folder}/texts").write_bytes(b"".join(struct.pack("<I", len(t)) + t for t in texts))
            with open(f"{folder}/tokens", "wb") as out:
                for text in texts:
                    found = tokens_of(peer, text)
                    numbers = [0xFFFFFFFF] if found is None else [len(found), *(n for token in found for n in token)]
                    out.write(struct.pack(f"<{len(numbers)}I", *numbers))
            run = subprocess.run([program, str(file), f"{folder}/texts", f"{folder}/tokens"], capture_output=True, text=True)
            print(run.stdout, run.stderr, end="", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--compare")
    parser.add_argument("--spans")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--only")
    parser.add_argument("--write-spans", action="store_true", help="spans/ alone, which needs no transformers")
    arguments = parser.parse_args()
    if arguments.spans:
        compare_spans(arguments.spans, arguments.count, arguments.only)
    elif arguments.compare:
        compare(arguments.compare, arguments.count)
    elif arguments.write_spans:
        write_spans()
    else:
        write()
