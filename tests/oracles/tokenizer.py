"""Writes tests/fixtures/text/<name>/{tokenizer.json,cases.json}: small tokenizers trained here and what `tokenizers` says
of tricky texts. Ran with tokenizers 0.23.3 and transformers 5.23.0 on Python 3.11 (Unicode 14).

Usage: python tests/oracles/tokenizer.py   (from the root of the repository)
"""
import json
import pathlib

import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tokenizer_texts import texts

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "text"

CORPUS = """
The tokenizer turns text into numbers and numbers into text. Each word is cut into pieces, and the pieces are those that the
training text held most often. Hello world, hello again! It's what they're saying: we'll see, I'm sure you've heard, he'd know.
def forward(self, x):\n    return self.output(self.norm(x)) + x\n\nfor index in range(1024):\n        print(index, index ** 2)
In 1969 and 2024 there were 365 and 366 days; pi is 3.14159 and the answer is 42, or 007, or 1000000.
caf\u00e9 na\u00efve d\u00e9j\u00e0 vu \u00fcber stra\u00dfe \u0441\u043b\u043e\u0432\u043e \u4f60\u597d\u4e16\u754c \u3053\u3093\u306b\u3061\u306f \U0001f600\U0001f600 \u2764\ufe0f
THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG; the quick brown fox jumps over the lazy dog. camelCase snake_case kebab-case
Powerhouse trains and runs transformers; training runs on the house's own power. A house, a horse, a hoarse voice of course.
""" * 3

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTION + r"\p{N}{1,3}" + REST
QWEN2 = CONTRACTION + r"\p{N}" + REST
# No splitter of its own: runs through the regular-expression engine.
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_start|>user\n", "<tool>", " <tool>\n", "<left>", "  <left>  ",
            "<right>", " <right> \n", "word", "words", "_word_", " word!", "\u212b", "A\u030a", "<|im_end|><|im_end|>", "<|im_", "<tool><left>"]
ADDED = [
    AddedToken("<|endoftext|>", special=True, normalized=False),
    AddedToken("<|im_start|>", special=True, normalized=False),
    AddedToken("<|im_end|>", special=True, normalized=False),
    AddedToken("<tool>", special=False, normalized=False),
    AddedToken("<tool><left>!", special=True, normalized=False),
    AddedToken("<left>", special=False, normalized=False, lstrip=True),
    AddedToken("<right>", special=True, normalized=False, rstrip=True),
    AddedToken("word", special=False, normalized=False, single_word=True),
    AddedToken("\u212b", special=False, normalized=True),
]


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(pattern, behavior, invert=invert)


def sequence(*steps):
    return pre_tokenizers.Sequence(list(steps))


def byte_level(use_regex=False, add_prefix_space=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)


def train(pre_tokenizer, vocab_size=420, **model):
    """Trains on the pre-tokenizer's own pieces; `model` are options that count only when encoding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(
        CORPUS.splitlines(keepends=True),
        trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())),
    )
    state = json.loads(tokenizer.to_str())
    state["model"].update(model)
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(ADDED)
    return tokenizer


def cases(tokenizer, seed, count):
    out = []
    for text in texts(seed, count, SPECIALS):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        case = {"text": text, "ids": ids}
        tokenizer.encode_special_tokens = True
        unparsed = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = False
        if unparsed != ids:
            case["unparsed"] = unparsed
        with_specials = tokenizer.encode(text).ids
        if with_specials != ids:
            case["with_specials"] = with_specials
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        if decoded != text:
            case["decoded"] = decoded
        skipped = tokenizer.decode(ids, skip_special_tokens=True)
        if skipped != decoded:
            case["skipped"] = skipped
        out.append(case)
    return out


def write(name, tokenizer, seed, count=160):
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    # Compact; "merges" alternate between the file's two spellings, so that both are read.
    state = json.loads(tokenizer.to_str())
    if seed % 2:
        state["model"]["merges"] = [" ".join(pair) for pair in state["model"]["merges"]]
    (folder / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=seed % 3 == 0, separators=(",", ":")), encoding="utf-8")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    lines = ",\n".join(json.dumps(case, ensure_ascii=True, separators=(",", ":")) for case in cases(tokenizer, seed, count))
    (folder / "cases.json").write_text("[" + lines + "]\n", encoding="utf-8")


def character_level():
    """BPE over characters, not bytes: unknown tokens, byte fallback, no pre-tokenizer, the decoder that joins."""
    characters = sorted(set("abcdefghijklmnopqrstuvwxyz ,.!HW'\u00e9\u4f60"))
    tokens = ["<unk>"] + [f"<0x{byte:02X}>" for byte in range(128, 256) if byte != 0x9F] + characters
    merges = [("t", "h"), ("th", "e"), (" ", "the"), ("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("a", "a"), ("aa", "aa")]
    tokens += [a + b for a, b in merges]
    return {token: index for index, token in enumerate(tokens)}, merges


def write_folder():
    """A folder as transformers loads it: roles, tokens that only tokenizer_config.json names, named templates. Its
    add_bos_token counts for nothing beside a tokenizer.json."""
    folder = ROOT / "folder"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train(byte_level(use_regex=True))
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": True,
        "bos_token": "<|im_start|>",
        "eos_token": {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True},
        "pad_token": "<pad>",
        "unk_token": None,
        "additional_special_tokens": ["<extra>"],
        "chat_template": [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "{{ messages }}"}],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    (folder / "generation_config.json").write_text('{"eos_token_id": [420, 422, 100000]}', encoding="utf-8")
    peer = transformers.AutoTokenizer.from_pretrained(str(folder))
    expected = {
        "length": len(peer),
        "bos": peer.bos_token_id, "eos": peer.eos_token_id, "pad": peer.pad_token_id,
        "special": sorted(peer.all_special_ids),
        "cases": [{"text": text, "ids": peer(text)["input_ids"], "plain": peer(text, add_special_tokens=False)["input_ids"]}
                  for text in ("", "Hello world", "a<pad>b<extra>", "<|endoftext|> x")],
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1), encoding="utf-8")


def main():
    write("gpt2", train(byte_level(use_regex=True)), 1)
    write("gpt2_prefix", train(byte_level(use_regex=True, add_prefix_space=True)), 2, 60)
    llama3 = train(sequence(split(Regex(LLAMA3)), byte_level()), ignore_merges=True)
    bos = llama3.token_to_id("<|im_start|>")
    llama3.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|im_start|> $A", pair="<|im_start|> $A <|im_start|> $B:1", special_tokens=[("<|im_start|>", bos)]),
    ])
    write("llama3", llama3, 3)
    qwen2 = train(sequence(split(Regex(QWEN2)), byte_level()))
    qwen2.normalizer = normalizers.NFC()
    qwen2.add_tokens([AddedToken("\u212b", special=False, normalized=True)])  # its normal form is computed when added
    write("qwen2", qwen2, 4)
    write("smollm", train(sequence(pre_tokenizers.Digits(individual_digits=True), byte_level(use_regex=True))), 5)
    write("cased", train(sequence(split(Regex(CASED)), byte_level())), 6)
    # A byte-level step in the middle: later steps see the alphabet (as in Falcon's).
    write("middle", train(sequence(byte_level(use_regex=True), pre_tokenizers.Digits(individual_digits=False), split(Regex("[0-9][0-9][0-9]")))), 7, 80)
    for index, (behavior, invert) in enumerate(
            [("removed", False), ("merged_with_previous", False), ("merged_with_next", False), ("contiguous", False), ("isolated", True), ("removed", True)]):
        pattern = Regex(r"\s|\w+(?=\d)|[a-e]{2}|\b") if index % 2 == 0 else " "
        write(f"split_{behavior}{'_inverted' if invert else ''}", train(sequence(split(pattern, behavior, invert), byte_level())), 10 + index, 60)
    for index, form in enumerate(("NFD", "NFKC", "NFKD")):
        tokenizer = train(byte_level(use_regex=True), 300)
        tokenizer.normalizer = normalizers.Sequence([getattr(normalizers, form)()])
        write(form.lower(), tokenizer, 20 + index, 60)
    vocab, merges = character_level()
    for name, options, decoder in (("characters_fused", {"fuse_unk": True}, decoders.Fuse()), ("characters_fallback", {"byte_fallback": True}, None),
                                   ("characters_unknown", {}, decoders.Sequence([decoders.Fuse()]))):
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", **options))
        if decoder is not None:
            tokenizer.decoder = decoder
        write(name, tokenizer, 30, 60)
    write_folder()


if __name__ == "__main__":
    main()
