"""The first inputs of the GGUF, safetensors and tokenizer.json fuzzers: small valid files, written by the packages that
define them.

    python tests/oracles/fuzz_seeds.py tests/fuzz/corpus

Ran with gguf 0.19.0, safetensors 0.8.0, numpy 2.4.6, tokenizers 0.23.3.
"""
import json
import os
import sys

import gguf
import numpy
import safetensors.numpy


def write_gguf(path, endian, alignment):
    writer = gguf.GGUFWriter(path, "llama", endianess=endian)
    if alignment:
        writer.add_custom_alignment(alignment)
    for kind, value in [("uint8", 1), ("int8", -1), ("uint16", 2), ("int16", -2), ("uint32", 3), ("int32", -3),
                        ("uint64", 4), ("int64", -4), ("float32", 0.5), ("float64", 0.25), ("bool", True),
                        ("string", "word")]:
        getattr(writer, "add_" + kind)("some." + kind, value)
    writer.add_array("some.strings", ["a", "bc", ""])
    writer.add_array("some.numbers", [1, 2, 3])
    writer.add_array("some.floats", [0.5, 1.5])
    writer.add_array("some.nested", [[1, 2], [3]])
    writer.add_tensor("f32", numpy.arange(6, dtype=numpy.float32).reshape(2, 3))
    writer.add_tensor("f16", numpy.arange(4, dtype=numpy.float16))
    for kind in ("Q4_0", "Q8_0", "Q4_1", "Q5_0"):
        quantization = gguf.GGMLQuantizationType[kind]
        data = gguf.quantize(numpy.linspace(-1, 1, 64, dtype=numpy.float32).reshape(2, 32), quantization)
        writer.add_tensor(kind, data, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_safetensors(path, metadata):
    tensors = {"a": numpy.arange(6, dtype=numpy.float32).reshape(2, 3), "empty": numpy.zeros((0, 4), numpy.float16),
               "scalar": numpy.array(3, numpy.int64), "flags": numpy.array([True, False])}
    safetensors.numpy.save_file(tensors, path, metadata)


def tokenizer_seeds():
    """Each part of tokenizer.json at least once, over a vocabulary of a few tokens, with a text after a NUL."""
    tokens = ["<unk>", "a", "b", "c", "ab", "##b", "b</w>", "\u2581a", "\u2581", "\u0120", "<0xE2>", "<0x82>", "<0xAC>", "<s>", "</s>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    models = [
        {"type": "BPE", "vocab": vocab, "merges": [["a", "b"]], "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "ignore_merges": True},
        {"type": "BPE", "vocab": vocab, "merges": ["a ##b"], "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>", "unk_token": "<unk>"},
        {"type": "Unigram", "vocab": [[token, -float(index)] for index, token in enumerate(tokens)], "unk_id": 0, "byte_fallback": True},
        {"type": "WordPiece", "vocab": vocab, "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9},
        {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    ]
    charsmap = "BAQAAAAEAQAAAAAA" + "A" * 8
    normalizers = [
        None, *({"type": name} for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")),
        {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        {"type": "Strip", "strip_left": True, "strip_right": False}, {"type": "Prepend", "prepend": "\u2581"},
        {"type": "Precompiled", "precompiled_charsmap": charsmap},
        {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}, {"type": "Replace", "pattern": {"Regex": "[a-c]+"}, "content": "ab"}]},
    ]
    pre_tokenizers = [
        None, *({"type": name} for name in ("BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts", "Digits", "Punctuation", "FixedLength")),
        {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True, "trim_offsets": True}, {"type": "CharDelimiterSplit", "delimiter": "b"},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True},
        {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\w|\\b"}, "behavior": "MergedWithNext", "invert": True}, {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"}]},
    ]
    sequence = lambda name, kind: {"Sequence": {"id": name, "type_id": kind}}
    post_processors = [
        None, {"type": "ByteLevel", "trim_offsets": True, "add_prefix_space": False}, {"type": "BertProcessing", "sep": ["</s>", 14], "cls": ["<s>", 13]},
        {"type": "RobertaProcessing", "sep": ["</s>", 14], "cls": ["<s>", 13], "trim_offsets": True, "add_prefix_space": True},
        {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, sequence("A", 0)], "pair": [sequence("A", 0), sequence("B", 1)], "special_tokens": {"<s>": {"id": "<s>", "ids": [13], "tokens": ["<s>"]}}},
    ]
    decoders = [
        None, *({"type": name} for name in ("ByteLevel", "Fuse", "ByteFallback", "BPEDecoder", "CTC")), {"type": "WordPiece", "prefix": "##", "cleanup": True},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"},
        {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]},
    ]
    added = [{"id": 15, "content": "B", "single_word": True, "lstrip": True, "rstrip": True, "normalized": True, "special": False},
             {"id": 13, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}]
    for index in range(14):
        pick = lambda parts: parts[index % len(parts)]
        document = {"version": "1.0", "truncation": {"max_length": 9, "strategy": "LongestFirst", "direction": "Left", "stride": 0} if index % 2 else None,
                    "padding": {"strategy": {"Fixed": 12}, "direction": "Left", "pad_id": 1, "pad_type_id": 0, "pad_token": "a", "pad_to_multiple_of": 8} if index % 3 else None,
                    "added_tokens": added, "normalizer": pick(normalizers), "pre_tokenizer": pick(pre_tokenizers), "post_processor": pick(post_processors),
                    "decoder": pick(decoders), "model": pick(models)}
        text = "abcab  \u2581aB e\u0301 \u00bd12,\u4f60\u3042 <s>\u20acx"
        yield json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\0" + text.encode()


def main():
    folders = {name: os.path.join(sys.argv[1], name) for name in ("gguf", "safetensors", "tokenizer_json")}
    for folder in folders.values():
        os.makedirs(folder, exist_ok=True)
    write_gguf(os.path.join(folders["gguf"], "all_types.gguf"), gguf.GGUFEndian.LITTLE, None)
    write_gguf(os.path.join(folders["gguf"], "aligned_64.gguf"), gguf.GGUFEndian.LITTLE, 64)
    write_gguf(os.path.join(folders["gguf"], "big_endian.gguf"), gguf.GGUFEndian.BIG, None)
    write_safetensors(os.path.join(folders["safetensors"], "plain.safetensors"), None)
    write_safetensors(os.path.join(folders["safetensors"], "metadata.safetensors"), {"format": "pt"})
    for index, seed in enumerate(tokenizer_seeds()):
        with open(os.path.join(folders["tokenizer_json"], f"part_{index:02}"), "wb") as out:
            out.write(seed)


if __name__ == "__main__":
    main()
