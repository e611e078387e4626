"""Every part of tokenizer.json and every option of it, against `tokenizers`.

    python tests/oracles/tokenizer_json_parts.py                        writes tests/fixtures/text/parts.json
    python tests/oracles/tokenizer_json_parts.py compare PROGRAM [NAME...] [--texts N] [--newer]
                                                                        runs the tokenizer_compare program on N random
                                                                        texts for each vocabulary; --newer: with code
                                                                        points newer than Unicode 14

Each part stands in a tokenizer whose model shows what the part did: characters and bytes one by one, or whole pieces.
The vocabularies are those of the families: GPT-2, Llama 2 and 3, Mistral, Qwen2, SmolLM, Falcon, Gemma, T5, XLM-R, BERT,
CLIP. Ran with tokenizers 0.23.3 and sentencepiece 0.2.3 on Python 3.11 (Unicode 14).
"""
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import tokenizer
import tokenizer_texts

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "text"
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
LLAMA2 = " \u2581"


def charsmap():
    """The nmt_nfkc table as SentencePiece writes it into its models."""
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(tokenizer.CORPUS.splitlines()), model_writer=out, vocab_size=200, hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc", minloglevel=2)
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(out.getvalue())
    return proto.normalizer_spec.precompiled_charsmap, [(piece.piece, piece.score) for piece in proto.pieces]


def small_charsmap():
    """A table of a few keys: one that lengthens, one that deletes, one that begins another."""
    from tokenizers.normalizers import Precompiled  # noqa: F401  (the class that reads it)
    import struct

    keys = {b"a": b"AA", b"\xc3\xa9": b"e", b"\xcc\x81": b"", b"b": b"", "\u00bd".encode(): b"1/2", b"\t": b" ", b"e\xcc\x81": b"E"}
    units = [0] * 4096
    replacements, nodes, free = b"", {b"": 0}, 256
    prefixes = sorted({key[:i] for key in keys for i in range(len(key) + 1)}, key=len)
    for prefix in prefixes:
        children = sorted({other[len(prefix)] for other in prefixes if len(other) == len(prefix) + 1 and other.startswith(prefix)})
        at, base = nodes[prefix], free
        free += 256
        if prefix in keys:
            units[base] = 1 << 31 | len(replacements)
            replacements += keys[prefix] + b"\0"
        units[at] |= (at ^ base) << 10 | (prefix in keys) << 8
        for child in children:
            nodes[prefix + bytes([child])] = base ^ child
            units[base ^ child] = child
    blob = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(blob)) + blob + replacements


def byte_model(**options):
    """Characters of ASCII and some others one by one, all others as bytes, and a few merges."""
    characters = [chr(c) for c in range(0x20, 0x7F)] + ["\u2581", "\u0120", "\u00e9", "\u4f60", "e\u0301"[1]]
    merges = [("t", "h"), ("th", "e"), ("\u2581", "the"), ("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("\u0120", "hello")]
    tokens = ["<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)] + characters + [a + b for a, b in merges]
    return models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges, byte_fallback=True, **options)


def piece_model():
    return models.WordLevel({"<unk>": 0, "hello": 1, "\u2581hello": 2, "a": 3, "the": 4}, unk_token="<unk>")


def shows(normalizer=None, pre_tokenizer=None):
    """The same parts over two models: one that spells the text out, one that takes pieces whole."""
    for model in (byte_model(), piece_model()):
        out = Tokenizer(model)
        if normalizer is not None:
            out.normalizer = normalizer
        if pre_tokenizer is not None:
            out.pre_tokenizer = pre_tokenizer
        yield out


def normalizer_parts():
    n = normalizers
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"):
        yield form, getattr(n, form)()
    for flags in range(16):
        clean, chinese, lower = (bool(flags >> bit & 1) for bit in range(3))
        accents = None if flags & 8 else not lower
        yield f"bert{flags}", n.BertNormalizer(clean_text=clean, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower)
    for left in (False, True):
        for right in (False, True):
            yield f"strip{left:d}{right:d}", n.Strip(left=left, right=right)
    yield "prepend", n.Prepend("\u2581")
    yield "prepend_long", n.Prepend("\u00e9ab")
    for name, pattern, content in (("blank", " ", "\u2581"), ("delete", "l", ""), ("longer", "th", "\u00e9\u00e9\u00e9"), ("empty", "", "-"),
                                   ("regex", Regex(r"\s+"), " "), ("regex_empty", Regex("x*"), "."), ("regex_delete", Regex(r"\p{M}|[a-c]"), "")):
        yield f"replace_{name}", n.Replace(pattern, content)
    yield "sequence", n.Sequence([n.NFKD(), n.StripAccents(), n.Lowercase(), n.Replace(Regex(" {2,}"), " "), n.Strip()])
    yield "legacy", n.Sequence([n.Prepend("\u2581"), n.Replace(" ", "\u2581")])
    yield "marks_first", n.Sequence([n.Strip(), n.NFC(), n.Prepend("\u0301")])
    yield "precompiled_small", n.Precompiled(small_charsmap())
    yield "precompiled", n.Precompiled(charsmap()[0])
    yield "precompiled_sequence", n.Sequence([n.Precompiled(charsmap()[0]), n.Replace(Regex(" {2,}"), "\u2581"), n.NFD()])


def pre_tokenizer_parts():
    p = pre_tokenizers
    for name in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts"):
        yield name, getattr(p, name)()
    for behavior in BEHAVIORS:
        yield f"punctuation_{behavior}", p.Punctuation(behavior)
    for pattern_name, pattern in (("literal", "l"), ("blank", " "), ("regex", Regex(r"\s|\w+(?=\d)|[a-e]{2}|\b")), ("empty", "")):
        for behavior in BEHAVIORS:
            for invert in (False, True):
                yield f"split_{pattern_name}_{behavior}{'_inverted' if invert else ''}", p.Split(pattern, behavior, invert=invert)
    for prefix in (False, True):
        for regex in (False, True):
            yield f"byte_level{prefix:d}{regex:d}", p.ByteLevel(add_prefix_space=prefix, use_regex=regex)
    for scheme in ("always", "never", "first"):
        for split in (False, True):
            yield f"metaspace_{scheme}{split:d}", p.Metaspace(prepend_scheme=scheme, split=split)
    yield "metaspace_other", p.Metaspace(replacement="_")
    yield "delimiter", p.CharDelimiterSplit("l")
    yield "delimiter_wide", p.CharDelimiterSplit("\u4f60")
    for individual in (False, True):
        yield f"digits{individual:d}", p.Digits(individual_digits=individual)
    for length in (1, 3, 100):
        yield f"fixed_length{length}", p.FixedLength(length=length)
    yield "sequence", p.Sequence([p.WhitespaceSplit(), p.Punctuation("merged_with_next"), p.Digits(individual_digits=True)])
    yield "metaspace_twice", p.Sequence([p.Punctuation("isolated"), p.Metaspace(prepend_scheme="first"), p.Metaspace(prepend_scheme="always", split=False)])
    yield "byte_level_middle", p.Sequence([p.ByteLevel(add_prefix_space=True), p.Digits(), p.ByteLevel(add_prefix_space=False)])
    yield "scripts_metaspace", p.Sequence([p.UnicodeScripts(), p.Metaspace()])


def added(out):
    out.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True), AddedToken("<mask>", special=True, lstrip=True)])
    out.add_tokens([AddedToken("word", single_word=True, normalized=False), AddedToken("Tool", normalized=True), AddedToken("<right>", rstrip=True, normalized=False)])
    return out


def added_parts():
    n, p = normalizers, pre_tokenizers
    for name, normalizer, pre_tokenizer in (
            ("plain", None, None), ("lower", n.Lowercase(), p.Whitespace()), ("first", None, p.Metaspace(prepend_scheme="first")),
            ("strip_first", n.Strip(), p.Metaspace(prepend_scheme="first")), ("delete_first", n.Replace("t", ""), p.Metaspace(prepend_scheme="first", split=False)),
            ("precompiled_first", n.Precompiled(small_charsmap()), p.Metaspace(prepend_scheme="first")), ("legacy", n.Sequence([n.Prepend("\u2581"), n.Replace(" ", "\u2581")]), None),
            ("byte_level", n.ByteLevel(), None), ("nfd", n.NFD(), p.ByteLevel(add_prefix_space=True))):
        for index, out in enumerate(shows(normalizer, pre_tokenizer)):
            yield f"added_{name}{index}", added(out)


def model_parts():
    """Models by themselves: affixes, unknowns, fallbacks."""
    tokens = ["<unk>", "a", "b", "c", "##a", "##b", "##c", "ab", "##bc", "abc", "a</w>", "c</w>", "bc</w>", "##c</w>", "h", "\u00e9", " "]
    vocab = {token: index for index, token in enumerate(tokens)}
    white = pre_tokenizers.WhitespaceSplit()

    def bpe(merges, **options):
        out = Tokenizer(models.BPE(vocab=vocab, merges=merges, **options))
        out.pre_tokenizer = white
        return out

    yield "bpe_prefix", bpe([("a", "##b"), ("ab", "##c"), ("##b", "##c")], continuing_subword_prefix="##", unk_token="<unk>")
    yield "bpe_suffix", bpe([("b", "c</w>")], end_of_word_suffix="</w>", unk_token="<unk>", fuse_unk=True)
    yield "bpe_both", bpe([("##b", "##c")], continuing_subword_prefix="##", end_of_word_suffix="</w>", unk_token="<unk>")
    yield "bpe_no_unknown", bpe([("a", "b"), ("ab", "c")])
    yield "bpe_ignore", bpe([("a", "b")], ignore_merges=True, unk_token="<unk>")
    for fuse in (False, True):
        yield f"bpe_fallback{fuse:d}", Tokenizer(byte_model(fuse_unk=fuse, unk_token="<unk>"))
    some = ["<unk>"] + [f"<0x{byte:02X}>" for byte in range(0x80, 0xF0)] + list("abc")
    for fuse in (False, True):
        yield f"bpe_some_bytes{fuse:d}", Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(some)}, merges=[], byte_fallback=True, fuse_unk=fuse, unk_token="<unk>"))
    pieces = [("<unk>", 0.0), ("a", -2.0), ("b", -2.5), ("ab", -3.0), ("abc", -4.5), ("c", -3.0), ("bc", -3.5), ("\u2581", -2.0), ("\u2581a", -2.25), ("the", -3.0), ("th", -4.0), ("e", -2.0), ("xx", -9.0), ("\u00e9", -5.0), ("ca", -5.0)]
    yield "unigram", Tokenizer(models.Unigram(pieces, 0, False))
    with_bytes = pieces + [(f"<0x{byte:02X}>", -12.0) for byte in range(256)]
    yield "unigram_bytes", Tokenizer(models.Unigram(with_bytes, 0, True))
    yield "unigram_some_bytes", Tokenizer(models.Unigram(pieces + [(f"<0x{byte:02X}>", -12.0) for byte in range(0x80, 0xE0)], 0, True))
    word_vocab = {token: index for index, token in enumerate(["[UNK]", "a", "ab", "##c", "##bc", "abcd", "##d", "the", "##re", "\u00e9", "##\u00e9", "##", "x"])}
    for name, options in (("word_piece", {}), ("word_piece_short", {"max_input_chars_per_word": 3}), ("word_piece_plain", {"continuing_subword_prefix": ""}), ("word_piece_odd", {"continuing_subword_prefix": "@@"})):
        out = Tokenizer(models.WordPiece(word_vocab, unk_token="[UNK]", **options))
        out.pre_tokenizer = white
        yield name, out
    out = Tokenizer(models.WordLevel({"a": 0, "abc": 1, "<unk>": 2}, unk_token="<unk>"))
    out.pre_tokenizer = pre_tokenizers.Whitespace()
    yield "word_level", out


def processor_parts():
    q = processors
    tokens = {"special_tokens": [("<s>", 357), ("</s>", 358)]}

    def build(processor, pre_tokenizer=None, **limits):
        out = Tokenizer(byte_model())
        out.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=True)
        out.add_special_tokens(["<s>", "</s>", "<pad>"])
        assert out.token_to_id("<s>") == len(out.get_vocab()) - 3
        bos, eos = out.token_to_id("<s>"), out.token_to_id("</s>")
        out.post_processor = processor(("<s>", bos), ("</s>", eos))
        if "truncate" in limits:
            out.enable_truncation(**limits["truncate"])
        if "pad" in limits:
            out.enable_padding(pad_id=out.token_to_id("<pad>"), pad_token="<pad>", **limits["pad"])
        return out

    template = lambda b, e: q.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> <s> $B:1 </s>:1", special_tokens=[b, e])
    bos_only = lambda b, e: q.TemplateProcessing(single="<s>:2 $A:3", pair="$B:1 <s>:4 $A", special_tokens=[b])
    yield "bert", build(lambda b, e: q.BertProcessing(e, b))
    for trim in (False, True):
        for prefix in (False, True):
            yield f"roberta{trim:d}{prefix:d}", build(lambda b, e: q.RobertaProcessing(e, b, trim_offsets=trim, add_prefix_space=prefix))
            yield f"byte_level{trim:d}", build(lambda b, e: q.ByteLevel(trim_offsets=trim, add_prefix_space=prefix))
    yield "template", build(template)
    yield "template_types", build(bos_only)
    yield "sequence", build(lambda b, e: q.Sequence([q.ByteLevel(trim_offsets=True), template(b, e)]))
    yield "sequence_trims", build(lambda b, e: q.Sequence([template(b, e), q.ByteLevel(trim_offsets=True, add_prefix_space=False)]), pre_tokenizers.Metaspace())
    for direction in ("left", "right"):
        for strategy in ("longest_first", "only_first"):
            yield f"truncate_{direction}_{strategy}", build(template, truncate={"max_length": 12, "strategy": strategy, "direction": direction})
        yield f"pad_{direction}", build(template, pad={"direction": direction, "length": 24, "pad_type_id": 7})
        yield f"pad_multiple_{direction}", build(template, truncate={"max_length": 9, "direction": direction}, pad={"direction": direction, "pad_to_multiple_of": 8})
    yield "truncate_second", build(template, truncate={"max_length": 14, "strategy": "only_second"})
    yield "truncate_to_nothing", build(template, truncate={"max_length": 4})


def decoder_parts():
    d = decoders
    yield "none", None
    for name in ("ByteLevel", "Fuse", "ByteFallback", "WordPiece", "Metaspace", "BPEDecoder", "CTC"):
        yield name, getattr(d, name)()
    yield "word_piece_plain", d.WordPiece(prefix="@", cleanup=False)
    yield "metaspace_never", d.Metaspace(prepend_scheme="never")
    yield "metaspace_other", d.Metaspace(replacement="_", prepend_scheme="first")
    yield "suffix_other", d.BPEDecoder(suffix="b")
    yield "suffix_empty", d.BPEDecoder(suffix="")
    yield "ctc_plain", d.CTC(pad_token="a", word_delimiter_token="b", cleanup=False)
    yield "replace", d.Replace("\u2581", " ")
    yield "replace_regex", d.Replace(Regex("[a-c]+|\u2581"), "<>")
    yield "strip", d.Strip(" ", 1, 0)
    yield "strip_a", d.Strip("a", 2, 0)
    llama = [d.Replace("\u2581", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)]
    yield "llama2", d.Sequence(llama)
    yield "gemma", d.Sequence(llama[:3])
    yield "strip_end", d.Sequence([d.Replace("\u2581", " "), d.Fuse(), d.Strip(" ", 0, 1), d.Strip("a", 1, 0)])
    yield "bytes_metaspace", d.Sequence([d.ByteFallback(), d.Metaspace()])
    yield "fused_word_piece", d.Sequence([d.Fuse(), d.WordPiece()])
    yield "ctc_replace", d.Sequence([d.CTC(), d.Replace("b", " b")])
    yield "suffix_strip", d.Sequence([d.BPEDecoder(), d.Fuse(), d.Strip(" ", 1, 0)])
    yield "byte_level_strip", d.Sequence([d.ByteLevel(), d.Strip(" ", 1, 0)])


DECODED = ["a", "b", "ab", "\u2581a", "\u2581", "\u2581\u2581b", "##b", "##", "c</w>", "</w>", "</w>x", "<0xE2>", "<0x82>", "<0xAC>", "<0x41>", "<0x+1>", "<0xF0>", "<pad>",
           "|", "\u0120x", "\u0120", "\u00e9", "\u00c3", "\u00a9", ".", "n't", "'", " do", " ", "  a ", "@b", "_", "_a", "\u4f60", "'m", "!", "?", ",", "a a", "not"]


def decoder_tokenizer(decoder):
    out = Tokenizer(models.WordLevel({token: index for index, token in enumerate(DECODED)}, unk_token="a"))
    out.add_special_tokens(["<pad>", "<s>"])
    if decoder is not None:
        out.decoder = decoder
    return out


def encoded_case(peer, text, add_special=False, pair=None, decode=True):
    encoding = peer.encode(text, pair, add_special_tokens=add_special)
    case = {"text": text, "ids": encoding.ids, "offsets": [bound for offsets in encoding.offsets for bound in offsets]}
    if pair is not None:
        case["pair"] = pair
    if add_special:
        case |= {"special": True, "types": encoding.type_ids, "mask": encoding.special_tokens_mask, "attention": encoding.attention_mask}
        return case
    if not decode:
        return case
    decoded = peer.decode(encoding.ids, skip_special_tokens=False)
    skipped = peer.decode(encoding.ids, skip_special_tokens=True)
    case["decoded"] = decoded
    if skipped != decoded:
        case["skipped"] = skipped
    return case


def guarded(make):
    """A case, or None where the package itself panics."""
    try:
        return make()
    except BaseException as error:  # pyo3's PanicException is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def decoded_case(peer, ids):
    case = {"ids": ids, "decoded": peer.decode(ids, skip_special_tokens=False)}
    skipped = peer.decode(ids, skip_special_tokens=True)
    if skipped != case["decoded"]:
        case["skipped"] = skipped
    return case


SPECIALS = ["<s>", "</s>", " <mask> ", "word", "words", "Tool", "tool", "<right>  ", "hello", "\u2581", "\u2581the", "ab", "abc"]
SHORT = ["", " ", "a", "  a b ", "Hello, the hello!", "caf\u00e9 e\u0301\u0301 \u212b\u1e9b\u0323", "\u4f60\u597d  \u4e16", "a\tb\u0000\x1f\u200b\ufeff", "\U0001f468\u200d\U0001f469 \u2764\ufe0f", "12 \u00bd \u0663x",
         "\u1112\u1161\u11ab\ud55c", "<s>word tool Tool <mask> x<right>  y</s>", "\u0130I\u03a3", "\ufb01\ufdfa", "\u0e33\u0301 \u0915\u094d\u0937\u093f", "abcab the th", "\u3042\u30ab\u6f22a\u0431\u05d0", " x\u00e9 "]


def all_parts(seed, count):
    """(name, tokenizer, cases): `count` random texts a part."""
    def cases(peer, name, count=count, **options):
        draw = SHORT + tokenizer_texts.texts(f"{seed}{name}", count, SPECIALS)[len(tokenizer_texts.FIXED):]
        return [case for case in (guarded(lambda: encoded_case(peer, text, **options)) for text in draw) if case]

    for kind, parts in (("normalizer", normalizer_parts()), ("pre_tokenizer", pre_tokenizer_parts())):
        for name, part in parts:
            for index, peer in enumerate(shows(**{kind: part})):
                yield f"{kind}_{name}_{index}", peer, cases(peer, name, count // 3, decode=False)
    for name, peer in [*added_parts(), *((f"model_{name}", peer) for name, peer in model_parts())]:
        yield name, peer, cases(peer, name)
    for name, peer in processor_parts():
        draw = random.Random(f"{seed}{name}")
        chosen = SHORT[:8] + [tokenizer_texts.text(draw, ["hello", "the"]) for _ in range(count)]
        chosen = [text for text in chosen if "<s>" not in text]
        singles = [guarded(lambda: encoded_case(peer, text, True)) for text in chosen]
        pairs = [guarded(lambda: encoded_case(peer, text, True, draw.choice(chosen))) for text in chosen]
        yield f"processor_{name}", peer, [case for case in singles + pairs if case]
    for name, part in decoder_parts():
        peer = decoder_tokenizer(part)
        draw = random.Random(f"{seed}{name}")
        lists = [[draw.randrange(len(DECODED) + 1) for _ in range(draw.randrange(9))] for _ in range(count + 25)]
        yield f"decoder_{name}", peer, [case for case in (guarded(lambda: decoded_case(peer, ids)) for ids in lists) if case]


def vocabularies():
    """The pre-tokenizer chains of the families, with small vocabularies trained here."""
    n, p, d = normalizers, pre_tokenizers, decoders
    byte_level = tokenizer.byte_level
    sequence, split, train = tokenizer.sequence, tokenizer.split, tokenizer.train
    yield "gpt2", train(byte_level(use_regex=True))
    yield "llama3", train(sequence(split(Regex(tokenizer.LLAMA3)), byte_level()), ignore_merges=True)
    qwen2 = train(sequence(split(Regex(tokenizer.QWEN2)), byte_level()))
    qwen2.normalizer = n.NFC()
    yield "qwen2", qwen2
    yield "smollm", train(sequence(p.Digits(individual_digits=True), byte_level(use_regex=True)))
    yield "falcon", train(sequence(p.Punctuation("contiguous"), byte_level(use_regex=True), p.Digits(individual_digits=False), split(Regex("[0-9][0-9][0-9]"))))

    def characters(vocab_size=600, normalizer=None, pre_tokenizer=None):
        """BPE over characters with byte fallback, trained on text whose blanks are spelled out."""
        out = Tokenizer(models.BPE())
        out.normalizer, out.pre_tokenizer = n.Replace(" ", "\u2581"), p.Split("\u2581", "merged_with_next")
        out.train_from_iterator(tokenizer.CORPUS.splitlines(), trainers.BpeTrainer(
            vocab_size=vocab_size, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]))
        state = json.loads(out.to_str())
        state["model"] |= {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"}
        state["normalizer"] = state["pre_tokenizer"] = None
        state["added_tokens"] = state["added_tokens"][:3]
        out = Tokenizer.from_str(json.dumps(state))
        if normalizer is not None:
            out.normalizer = normalizer
        if pre_tokenizer is not None:
            out.pre_tokenizer = pre_tokenizer
        out.decoder = d.Sequence([d.Replace("\u2581", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)])
        return out

    yield "llama2_legacy", characters(normalizer=n.Sequence([n.Prepend("\u2581"), n.Replace(" ", "\u2581")]))
    yield "mistral_first", characters(pre_tokenizer=p.Metaspace(prepend_scheme="first", split=False))
    gemma = characters(normalizer=n.Replace(" ", "\u2581"), pre_tokenizer=p.Split(" ", "merged_with_previous"))
    gemma.decoder = d.Sequence([d.Replace("\u2581", " "), d.ByteFallback(), d.Fuse()])
    yield "gemma", gemma

    table, pieces = charsmap()
    for name, bytes_too, normalizer in (("t5", False, n.Precompiled(table)),
                                        ("xlm_roberta", False, n.Sequence([n.Precompiled(table), n.Replace(Regex(" {2,}"), " ")])),
                                        ("unigram_bytes", True, n.Sequence([n.Precompiled(table), n.Strip(left=False, right=True), n.Replace(Regex(" {2,}"), "\u2581")]))):
        own = pieces + [(f"<0x{byte:02X}>", -20.0) for byte in range(256)] if bytes_too else pieces
        unigram = Tokenizer(models.Unigram(own, 0, bytes_too))
        unigram.normalizer, unigram.pre_tokenizer, unigram.decoder = normalizer, p.Metaspace(), d.Metaspace()
        unigram.add_special_tokens(["<s>", "</s>"])
        yield name, unigram

    for name, lower in (("bert_uncased", True), ("bert_cased", False)):
        bert = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        bert.normalizer, bert.pre_tokenizer = n.BertNormalizer(lowercase=lower), p.BertPreTokenizer()
        bert.train_from_iterator(tokenizer.CORPUS.splitlines(), trainers.WordPieceTrainer(
            vocab_size=400, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
        bert.decoder = d.WordPiece()
        yield name, bert
    clip = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>", continuing_subword_prefix=""))
    clip.normalizer = n.Sequence([n.NFC(), n.Replace(Regex(r"\s+"), " "), n.Lowercase()])
    clip.pre_tokenizer = p.Sequence([p.Split(Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True), byte_level()])
    clip.train_from_iterator(tokenizer.CORPUS.splitlines(), trainers.BpeTrainer(
        vocab_size=700, show_progress=False, end_of_word_suffix="</w>", special_tokens=["<|endoftext|>"], initial_alphabet=p.ByteLevel.alphabet()))
    clip.decoder = d.ByteLevel()
    yield "clip", clip
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = p.Whitespace()
    words.train_from_iterator(tokenizer.CORPUS.splitlines(), trainers.WordLevelTrainer(vocab_size=150, show_progress=False, special_tokens=["<unk>"]))
    yield "word_level", words


def state_of(peer):
    """tokenizer.json, one of its two spellings of merges; the charsmap is most of the text."""
    return json.loads(peer.to_str())


def write():
    entries = []
    for name, peer, cases in all_parts(1, 2):
        if name.startswith("decoder"):
            cases = cases[:20]
        entries.append({"name": name, "tokenizer": state_of(peer), "cases": cases})
    for name, peer in vocabularies():
        draw = tokenizer_texts.texts(name, 12, SPECIALS)
        cases = [guarded(lambda: encoded_case(peer, text)) for text in draw if len(text) < 120]
        entries.append({"name": f"vocabulary_{name}", "tokenizer": state_of(peer), "cases": [case for case in cases if case]})
    # Models and charsmaps that several entries hold stand once.
    shared, index = [], {}

    def share(value):
        text = json.dumps(value)
        if isinstance(value, list) or (isinstance(value, dict) and "vocab" not in value):
            pairs = enumerate(value) if isinstance(value, list) else value.items()
            kept = [(key, share(item)) for key, item in pairs]
            return [item for _, item in kept] if isinstance(value, list) else dict(kept)
        if len(text) < 2000:
            return value
        if text not in index:
            index[text] = len(shared)
            shared.append(value)
        return {"$shared": index[text]}

    for entry in entries:
        for key in ("model", "normalizer"):
            entry["tokenizer"][key] = share(entry["tokenizer"][key])
    compact = lambda value: json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    lines = ['{"shared":[', ",\n".join(map(compact, shared)), '],\n"entries":[', ",\n".join(map(compact, entries)), "]}\n"]
    (ROOT / "parts.json").write_text("\n".join(lines), encoding="ascii")


def compare(program, names, count, newer):
    """Random texts for each vocabulary: the program prints the number of differences and the first of them."""
    if newer:
        import unicodedata2

        draw = random.Random(3)
        fresh = [chr(c) for c in range(0x110000) if unicodedata2.category(chr(c)) not in ("Cn", "Cs") and unicodedata.category(chr(c)) == "Cn"]
    total = 0
    todo = [(f"vocabulary_{name}", peer, None) for name, peer in vocabularies()]
    if "parts" in names:
        todo += list(all_parts(2, max(count // 33, 300)))
        names = [name for name in names if name != "parts"]
        todo = todo[sum(1 for _ in vocabularies()):] if not names else todo
    for name, peer, cases in todo:
        if names and not any(part in name for part in names):
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            (path / "tokenizer.json").write_text(peer.to_str(), encoding="utf-8")
            with open(path / "cases.jsonl", "w", encoding="ascii") as out:
                if cases is not None:
                    for case in cases:
                        if newer or all(unicodedata.category(c) != "Cn" for c in case.get("text", "") + case.get("pair", "")):
                            out.write(json.dumps(case) + "\n")
                else:
                    source = random.Random(name)
                    for _ in range(count):
                        text = tokenizer_texts.text(source, SPECIALS)
                        if not newer:
                            text = "".join(c for c in text if unicodedata.category(c) != "Cn")
                        else:
                            text = "".join(c + draw.choice(fresh) if draw.random() < 0.3 else c for c in text)
                        case = guarded(lambda: encoded_case(peer, text))
                        if case:
                            out.write(json.dumps(case) + "\n")
            done = subprocess.run([program, folder, str(path / "cases.jsonl")], capture_output=True, text=True)
            print(f"{name:40} {done.stdout.strip()} {done.stderr.strip()}", flush=True)
            total += done.returncode != 0
    print("vocabularies with differences:", total)
    return total


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "compare":
        rest = sys.argv[3:]
        number = int(rest[rest.index("--texts") + 1]) if "--texts" in rest else 1000
        chosen = [value for index, value in enumerate(rest) if not value.startswith("--") and (index == 0 or rest[index - 1] != "--texts")]
        sys.exit(compare(sys.argv[2], chosen, number, "--newer" in rest) != 0)
    write()
