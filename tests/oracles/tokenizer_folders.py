"""Writes tests/fixtures/text/folder_<name>/: folders as transformers loads them, without tokenizer.json (GPT-2 style
vocab.json and merges.txt, BERT's vocab.txt) and with the older files beside it, and what transformers says of them.

Usage: python tests/oracles/tokenizer_folders.py   (from this folder). Ran with transformers 5.23.0, tokenizers 0.23.3.
"""
import json
import pathlib

import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import tokenizer

TEXTS = ["", "Hello world", "a<extra>b", "It's 1234 caf\u00e9s, na\u00efve \u4f60\u597d!", "<|endoftext|> x", "[MASK] the [SEP]", "<mask> x <s>", "new_token word", "I 'm sure . Do n't ! THE Quick"]


def folder(name):
    path = tokenizer.ROOT / f"folder_{name}"
    path.mkdir(parents=True, exist_ok=True)
    for file in path.iterdir():
        file.unlink()
    return path


def expect(path, pair=True):
    peer = transformers.AutoTokenizer.from_pretrained(str(path))
    cases = []
    for text in TEXTS:
        whole = peer(text, "the house" if pair else None)
        ids = peer(text)["input_ids"]
        cases.append({"text": text, "ids": ids, "plain": peer(text, add_special_tokens=False)["input_ids"],
                      "pair": whole["input_ids"], "types": whole.get("token_type_ids"), "decoded": peer.decode(ids), "skipped": peer.decode(ids, skip_special_tokens=True)})
    expected = {"class": type(peer).__name__, "length": len(peer), "bos": peer.bos_token_id, "eos": peer.eos_token_id, "pad": peer.pad_token_id, "unk": peer.unk_token_id, "cases": cases}
    (path / "expected.json").write_text(json.dumps(expected, indent=1), encoding="utf-8")


def write_bpe(name, files, specials, pre_tokenizer, **extra):
    path = folder(name)
    peer = Tokenizer(models.BPE())
    peer.pre_tokenizer = pre_tokenizer
    peer.train_from_iterator(tokenizer.CORPUS.splitlines(keepends=True), trainers.BpeTrainer(
        vocab_size=340, show_progress=False, special_tokens=specials, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    peer.model.save(str(path))
    for file, content in (files | extra).items():
        (path / f"{file}.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    expect(path)


def write_bert(name, config, **files):
    path = folder(name)
    peer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    peer.normalizer, peer.pre_tokenizer = normalizers.BertNormalizer(lowercase=config.get("do_lower_case", True)), pre_tokenizers.BertPreTokenizer()
    peer.train_from_iterator(tokenizer.CORPUS.splitlines(), trainers.WordPieceTrainer(
        vocab_size=260, show_progress=False, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    peer.model.save(str(path))
    (path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    for file, content in files.items():
        (path / f"{file}.json").write_text(json.dumps(content), encoding="utf-8")
    expect(path)


def main():
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    write_bpe("gpt2", {"tokenizer_config": {"tokenizer_class": "GPT2Tokenizer"}}, ["<|endoftext|>"], byte_level)
    write_bpe("gpt2_bos", {"tokenizer_config": {"tokenizer_class": "GPT2TokenizerFast", "add_bos_token": True, "add_prefix_space": True, "bos_token": "<s>"}},
              ["<s>", "<|endoftext|>"], byte_level, special_tokens_map={"pad_token": "<pad>"}, added_tokens={"<extra>": 342, "new_token": 341})
    write_bpe("gpt2_model_type", {"config": {"model_type": "gpt2"}}, ["<|endoftext|>"], byte_level)
    write_bpe("qwen2", {"tokenizer_config": {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": {
        "340": {"content": "<extra>", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}}}},
              ["<|endoftext|>"], tokenizer.sequence(tokenizer.split(tokenizer.Regex(tokenizer.QWEN2)), tokenizer.byte_level()))
    write_bpe("roberta", {"tokenizer_config": {"tokenizer_class": "RobertaTokenizer"}}, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], byte_level)
    write_bert("bert", {"tokenizer_class": "BertTokenizer"})
    write_bert("bert_cased", {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "tokenize_chinese_chars": False, "clean_up_tokenization_spaces": True})
    write_bert("bert_old", {"do_lower_case": True, "strip_accents": False, "tokenizer_class": "BertTokenizerFast"}, special_tokens_map={"mask_token": "[MASK]", "cls_token": "[CLS]"}, added_tokens={"new_token": 260})

    # With tokenizer.json: transformers' own clean-up, for WordPiece and (not) for BPE, and the older files.
    path = folder("clean_up")
    peer = Tokenizer(models.WordLevel({word: index for index, word in enumerate("[UNK] I m sure . Do n t ! the house x ' n't 'm".split())}, unk_token="[UNK]"))
    peer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    peer.save(str(path / "tokenizer.json"), pretty=False)
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": True, "unk_token": "[UNK]"}), encoding="utf-8")
    (path / "added_tokens.json").write_text(json.dumps({"new_token": 15, "<extra>": 16}), encoding="utf-8")
    (path / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": "<extra>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}}), encoding="utf-8")
    expect(path)
    path = folder("clean_up_bpe")
    peer = tokenizer.train(byte_level, 300)
    peer.save(str(path / "tokenizer.json"), pretty=False)
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": True}), encoding="utf-8")
    expect(path)


if __name__ == "__main__":
    main()
