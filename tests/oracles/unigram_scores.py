"""Writes tests/fixtures/text/unigram_scores/{tokenizer.json,cases.json}: a Unigram vocabulary whose scores are spelled with
17 digits, and texts with many cuts of nearly the same score. Rust's serde_json reads such a spelling with an error in the
last place, and that decides: with the nearest doubles a fifth of these texts gets other ids. Ran with tokenizers 0.23.3.

Usage: python tests/oracles/unigram_scores.py
"""
import json
import pathlib
import random

from tokenizers import Tokenizer

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "text" / "unigram_scores"
VOCAB = json.loads("""[["<unk>", 0.0], ["▁", -2.9441994900334407], ["-", -6.289353267355047], ["--", -10.130543571239187],
 ["D", -8.5603512370911], ["e", -6.528532701230496], ["b", -8.108876645631103], ["c", -7.296148772491071],
 ["o", -7.178948670185108], ["n", -6.798967708264253], ["f", -5.288126349623143], ["on", -8.44233654950145],
 ["▁D", -7.229978736199942], ["R", -8.522506208768826], ["r", -6.307807341794534], ["it", -8.974543522353999],
 ["w", -8.71398561896438], ["i", -7.805736234816598], ["t", -7.128955356677233], ["s", -3.9449633138425657],
 ["▁R", -8.515494244822097], ["a", -7.240686444576871], ["d", -5.6271151697606605], ["u", -8.500042344467321],
 ["us", -9.667355274433966], ["er", -7.718169110161102], ["en", -7.445289411888609]]""")


def main():
    description = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                   "pre_tokenizer": None, "post_processor": None, "decoder": {"type": "Fuse"},
                   "model": {"type": "Unigram", "unk_id": 0, "vocab": VOCAB, "byte_fallback": False}}
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "tokenizer.json").write_text(json.dumps(description, ensure_ascii=False) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    random.seed(1)
    cases = []
    for _ in range(100):
        words = "".join(random.choice(["Debconf", "Rewrite", "ad", "user", "en", "on"]) for _ in range(random.randint(1, 3)))
        text = words + "-" * random.choice([3, 5, 7, 9, 11])
        cases.append({"text": text, "ids": tokenizer.encode(text).ids})
    (FOLDER / "cases.json").write_text("[" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "]\n")


if __name__ == "__main__":
    main()
