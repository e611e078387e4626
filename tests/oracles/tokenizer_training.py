"""Writes tests/fixtures/text/training/: small corpora and what the trainers of `tokenizers` learn from them. Ran with
tokenizers 0.23.3 on Python 3.11.

Usage: python tests/oracles/tokenizer_training.py                     (from the root of the repository)
       python tests/oracles/tokenizer_training.py compare POWERHOUSE FILE...
              trains on large files with the program POWERHOUSE and with `tokenizers`, two threads each; compares all

Some of what the package learns is left to its hash tables, new in each run: ids (and so ties) of characters with a
prefix or suffix, which characters of equal count limit_alphabet keeps, the scores of single characters that a Unigram
model has lost. Each case is trained several times; a model that differs between runs is no case, and scores that
differ are listed as `free`.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "2"
os.environ["TOKENIZERS_PARALLELISM"] = "true"

from tokenizers import Regex, Tokenizer, implementations, models, normalizers, pre_tokenizers, processors, trainers  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "text" / "training"
RUNS = 6

STEMS = (
    "token train merge pair count word piece model text house power light water stone river time hand work "
    "ma\u00f1ana caf\u00e9 stra\u00dfe na\u00efve \u00fcber gar\u00e7on \u0441\u043b\u043e\u0432\u043e \u0432\u0440\u0435\u043c\u044f \u0440\u0443\u043a\u0430 \u03bb\u03cc\u03b3\u03bf\u03c2 \u03c7\u03c1\u03cc\u03bd\u03bf\u03c2 "
    "\u6771\u4eac \u6771\u90e8 \u4eac\u90fd \u4e16\u754c \u4e16\u4ee3 \u3053\u3093\u306b\u3061\u306f \ud55c\uad6d\uc5b4 \ud55c\uae00 \u0928\u092e\u0938\u094d\u0924\u0947 \u0634\u0643\u0631\u0627 \u05e9\u05dc\u05d5\u05dd "
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301le\u0300ve \ufb01nd"
).split()
SUFFIXES = ["", "", "", "s", "ing", "ed", "er", "ers", "ly", "-", "'s"]
ENDS = [" ", " ", " ", " ", " ", ", ", ". ", "\n", "\n", "  ", "\t", "\r\n", "! ", "... ", " == ", "\n\n"]


def prose(seed, words):
    draw = random.Random(seed)
    out = []
    for _ in range(words):
        stem = STEMS[min(int(draw.paretovariate(0.7)) - 1, len(STEMS) - 1)]
        word = draw.choice([stem, stem, stem, stem.capitalize(), stem.upper(), str(draw.randint(0, 2100))])
        out.append(word + draw.choice(SUFFIXES) + draw.choice(ENDS))
    return "".join(out)


def runs(seed):
    """Repeated letters, where merges overlap and two merges make the same token; no line feed at the end."""
    draw = random.Random(seed)
    words = ["a" * draw.randint(1, 12), "ab" * draw.randint(1, 6), "aab" * draw.randint(1, 4), "abcabd" * draw.randint(1, 3)]
    return " ".join(draw.choice(words) + draw.choice(["", "a", "b", "c", "abc", "bca"]) for _ in range(600)) + " =======" * 9


def byte_level(**options):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, **options)


def words():
    return pre_tokenizers.Split(Regex(r"\s+"), "removed")


def pieces():
    return pre_tokenizers.Sequence([words(), pre_tokenizers.Split(Regex(r"[^\w]"), "isolated")])


def affixed(files, prefix="", suffix=""):
    """Every spelling of every character as a special token, so that the ids are the same in each run."""
    characters = sorted({c for f in files for c in (ROOT / f).read_text("utf-8") if not c.isspace()})
    spelled = [prefix + c for c in characters if prefix] + [c + suffix for c in characters if suffix]
    return spelled + [prefix + c + suffix for c in characters if prefix and suffix]


MODELS = {"bpe": models.BPE, "unigram": models.Unigram, "wordpiece": models.WordPiece, "wordlevel": models.WordLevel}
TRAINERS = {
    "bpe": trainers.BpeTrainer,
    "unigram": trainers.UnigramTrainer,
    "wordpiece": trainers.WordPieceTrainer,
    "wordlevel": trainers.WordLevelTrainer,
}


def train(kind, files, options, pre_tokenizer, normalizer, model):
    tokenizer = Tokenizer(MODELS[kind](**model))
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.train([str(f) for f in files], TRAINERS[kind](show_progress=False, **options))
    return json.loads(tokenizer.to_str())


def free_pieces(states):
    """Pieces whose scores differ between runs; all must be characters, and nothing else may differ."""
    scores = [dict(map(tuple, state["model"]["vocab"])) for state in states]
    assert all(set(one) == set(scores[0]) for one in scores), "the pieces differ between runs"
    free = sorted(p for p in scores[0] if any(abs(one[p] - scores[0][p]) > 1e-9 for one in scores))
    assert all(len(p) == 1 for p in free), free
    return free


def case(name, kind, files, options, pre_tokenizer=None, normalizer=None, **model):
    states = [train(kind, [ROOT / f for f in files], options, pre_tokenizer, normalizer, model) for _ in range(RUNS)]
    out = {"name": name, "kind": kind, "files": files, "options": options | model, "expected": states[0]}
    if kind == "unigram":
        out["free"] = free_pieces(states)
    else:
        assert all(state == states[0] for state in states), name + " differs between runs"
    return out


def cases():
    prose_, code, runs_ = ["prose.txt"], ["code.txt"], ["runs.txt"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    yield case("byte_level", "bpe", prose_ + code, dict(vocab_size=500, special_tokens=["<|endoftext|>", "the"], initial_alphabet=alphabet), byte_level())
    yield case("byte_level_all", "bpe", code, dict(), byte_level(), ignore_merges=True)
    yield case("min_frequency_2", "bpe", prose_, dict(min_frequency=2), byte_level())
    yield case("min_frequency_5", "bpe", code, dict(min_frequency=5, vocab_size=10000), byte_level())
    yield case("lines", "bpe", code, dict(vocab_size=400))
    yield case("characters", "bpe", prose_, dict(vocab_size=450, special_tokens=["<unk>", "<s>"]), words(), unk_token="<unk>", fuse_unk=True)
    yield case("nfkc", "bpe", prose_, dict(vocab_size=300), words(), normalizers.NFKC())
    yield case("limit_alphabet", "bpe", prose_, dict(vocab_size=300, limit_alphabet=30), words())
    yield case("limit_initial_alphabet", "bpe", prose_, dict(vocab_size=200, limit_alphabet=40, initial_alphabet=["\u0416x", "\u5b57", "q"]), words())
    yield case("max_token_length_4", "bpe", code, dict(vocab_size=400, max_token_length=4), byte_level())
    yield case("max_token_length_2", "bpe", runs_, dict(max_token_length=2), words())
    yield case("max_token_length_runs", "bpe", runs_, dict(max_token_length=5), words())
    yield case("runs", "bpe", runs_, dict(), words())
    yield case("runs_lines", "bpe", runs_, dict(vocab_size=60))
    yield case("specials_fill_it", "bpe", runs_, dict(vocab_size=3, special_tokens=["x", "y", "z", "a", "x"]), words())
    yield case("smaller_than_alphabet", "bpe", prose_, dict(vocab_size=20), words())
    yield case("suffix", "bpe", code, dict(vocab_size=450, end_of_word_suffix="</w>", special_tokens=affixed(code, suffix="</w>")), words())
    yield case("prefix_and_suffix", "bpe", code, dict(vocab_size=500, continuing_subword_prefix="##", end_of_word_suffix="</w>", special_tokens=affixed(code, "##", "</w>")), words())
    yield case("word_piece", "wordpiece", prose_, dict(vocab_size=600, special_tokens=["[UNK]"] + affixed(prose_, "##")), pieces(), unk_token="[UNK]")
    yield case("word_piece_code", "wordpiece", code, dict(vocab_size=500, min_frequency=3, special_tokens=affixed(code, "##")), pieces())
    yield case("word_level", "wordlevel", prose_, dict(vocab_size=120, special_tokens=["[UNK]", "token", "never"]), pieces(), unk_token="[UNK]")
    yield case("word_level_frequent", "wordlevel", code, dict(min_frequency=5), words())
    yield case("word_level_tiny", "wordlevel", code, dict(vocab_size=2, special_tokens=["a", "b", "c"]), words())
    yield case("unigram", "unigram", prose_, dict(vocab_size=300, unk_token="<unk>"), words())
    yield case("unigram_code", "unigram", code, dict(vocab_size=200, special_tokens=["<s>", "<unk>"], unk_token="<unk>", max_piece_length=6), byte_level())
    yield case("unigram_lines", "unigram", code, dict(vocab_size=150, n_sub_iterations=1, shrinking_factor=0.5))
    yield case("unigram_runs", "unigram", runs_, dict(vocab_size=12, initial_alphabet=["\u0416x"]), words())
    yield case("unigram_seed", "unigram", prose_, dict(vocab_size=200, seed_size=400), byte_level())
    yield case("unigram_all", "unigram", prose_, dict(vocab_size=8000, unk_token="<unk>", special_tokens=["<s>"]), words(), normalizers.NFKD())


def presets():
    """The parts that the package's own classes for these models put around them."""
    def parts(tokenizer, processor=None):
        if processor is not None:
            tokenizer.post_processor = processor
        state = json.loads(tokenizer.to_str())
        return {key: state[key] for key in ("normalizer", "pre_tokenizer", "post_processor", "decoder")}

    whitespace = Tokenizer(models.BPE())
    whitespace.pre_tokenizer = pre_tokenizers.Whitespace()
    return {
        "": parts(Tokenizer(models.BPE())),
        "whitespace": parts(whitespace),
        "gpt2": parts(implementations.ByteLevelBPETokenizer()),
        "llama": parts(implementations.SentencePieceBPETokenizer()) | {"normalizer": None},  # NFKC there
        "bert": parts(implementations.BertWordPieceTokenizer(), processors.BertProcessing(("[SEP]", 1), ("[CLS]", 2))),
    }


def write():
    ROOT.mkdir(exist_ok=True)
    (ROOT / "presets.json").write_text(json.dumps(presets(), ensure_ascii=False, indent=2) + "\n", "utf-8")
    (ROOT / "prose.txt").write_text(prose(1, 1500), "utf-8", newline="")
    (ROOT / "runs.txt").write_text(runs(2), "utf-8", newline="")
    # code.txt is a source file of this repository as it once was.
    with open(ROOT / "cases.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in cases()) + "\n]\n")


def compare(program, files):
    """Whole models learned from large files; presets that both sides know."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    for kind, options, flags in [
        ("bpe", dict(vocab_size=30000, initial_alphabet=alphabet), []),
        ("bpe", dict(vocab_size=30000, initial_alphabet=alphabet, min_frequency=2, max_token_length=12), ["--min-frequency", "2", "--max-token-length", "12"]),
        ("unigram", dict(vocab_size=8000, initial_alphabet=alphabet), []),
        ("wordlevel", dict(vocab_size=30000), []),
    ]:
        start = time.time()
        theirs = train(kind, files, options, byte_level(), None, {})
        their_time = time.time() - start
        with tempfile.TemporaryDirectory() as folder:
            output = pathlib.Path(folder) / "tokenizer.json"
            size = ["--vocab-size", str(options["vocab_size"])]
            start = time.time()
            subprocess.run([program, "train-tokenizer", "--model", kind, "--preset", "gpt2", "--threads", "2", "--output", str(output), *size, *flags, "--files", *files], check=True)
            our_time = time.time() - start
            ours = json.loads(output.read_text("utf-8"))
        if kind == "unigram":
            a, b = (dict(map(tuple, x["model"]["vocab"])) for x in (ours, theirs))
            worst = max((abs(a[p] - b[p]) / abs(b[p]) for p in a if len(p) > 1 and p in b), default=0)
            same = f"pieces equal: {set(a) == set(b)}, largest relative difference of a score {worst:.1e}"
        else:
            same = f"equal: {ours['model'] == theirs['model']}"
        print(f"{kind} {' '.join(flags)}: {same}; {len(theirs['model']['vocab'])} tokens; tokenizers {their_time:.2f} s, powerhouse {our_time:.2f} s", flush=True)


if __name__ == "__main__":
    compare(sys.argv[2], sys.argv[3:]) if sys.argv[1:2] == ["compare"] else write()
