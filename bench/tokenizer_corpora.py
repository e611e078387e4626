"""The texts and tokenizers that `compare.py --tokenizers` measures on, made from what the machine has.

english.txt  paragraphs of manual pages, package documentation (.txt, .rst, .md) and the docstrings of Python's library and
             packages. A paragraph is taken once, however often it is found (licences), and only where a sixth of its words
             are among the commonest English ones.
code.txt     source files of Python's standard library and of installed packages, each once.
Both are 10 million bytes, or the script says that the machine has too little.

    python bench/tokenizer_corpora.py FOLDER MODEL.gguf

writes them and FOLDER/{bpe,unigram,wordpiece}/tokenizer.json: the GGUF file's vocabulary rebuilt, and two trained with
`tokenizers` on the first megabyte of the English text (Unigram as in T5 and ALBERT, WordPiece as in BERT; 8,000 tokens).
"""
import ast
import glob
import gzip
import json
import os
import re
import sys
import sysconfig

SIZE = 10_000_000
COMMON = frozenset("the of and to in a is that for it as be with this are or by not on an if from can you will which have has "
                   "when at one all any used use may was but no its should other into than".split())


def read(path):
    try:
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
            return file.read().decode("utf-8")
    except (OSError, UnicodeDecodeError, EOFError):
        return ""


def files(folder, *endings):
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.endswith(endings):
                yield os.path.join(root, name)


def python_files():
    for folder in dict.fromkeys(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")):
        yield from files(folder, ".py")


def manual_pages():
    for path in sorted(glob.glob("/usr/share/man/man[1-8]/*")):
        lines = []
        for line in read(path).splitlines():
            if line.startswith((".", "'")):  # roff's requests; those of a heading or a font carry text
                request = re.match(r"\.(?:SH|SS|B|I|BR|IR|RB|BI|Nm|Sh|TP) +(.*)", line)
                lines.append(request.group(1).replace('"', "") if request else "")
            else:
                lines.append(line)
        text = re.sub(r"\\f(?:\[[^]]*\]|\(..|.)|\\[&|^]|\\s[+-]?\d", "", "\n".join(lines))
        yield text.replace("\\-", "-").replace("\\(aq", "'").replace("\\(cq", "'").replace("\\e", "\\")


def docstrings():
    for path in python_files():
        try:
            tree = ast.parse(read(path))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node)
                if text:
                    yield text


def documents():
    for folder in ("/usr/share/doc", "/usr/share/common-licenses", sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")):
        for path in files(folder, ".txt", ".rst", ".md", ".txt.gz", "README", "README.gz", "NEWS.gz", "copyright", "METADATA"):
            yield read(path)


def english():
    seen, parts, size = set(), [], 0
    sources = [manual_pages(), docstrings(), documents()]
    share = [0] * len(sources)
    while sources and size < SIZE:
        at = min(range(len(sources)), key=share.__getitem__)  # as much of one source as of another
        text = next(sources[at], None)
        if text is None:
            del sources[at], share[at]
            continue
        share[at] += 1000
        for paragraph in re.split(r"\n\s*\n", text):
            paragraph = paragraph.strip()
            words = re.findall(r"[a-z]+", paragraph.lower())
            if len(words) < 8 or 6 * sum(word in COMMON for word in words) < len(words):
                continue
            key = " ".join(words)
            if key in seen:
                continue
            seen.add(key)
            parts.append(paragraph + "\n\n")
            size += len(parts[-1].encode())
            share[at] += len(parts[-1])
    return parts


def code():
    seen, parts, size = set(), [], 0
    for path in python_files():
        text = read(path)
        if not text or text in seen:
            continue
        seen.add(text)
        parts.append(text)
        size += len(text.encode())
        if size >= SIZE:
            break
    return parts


def write(path, parts):
    data = "".join(parts).encode()
    if len(data) < SIZE:
        sys.exit(f"{path}: this machine has only {len(data)} bytes of such text, {SIZE} are wanted")
    with open(path, "wb") as file:
        file.write(data[:SIZE].decode(errors="ignore").encode())


def save(folder, name, tokenizer):
    os.makedirs(os.path.join(folder, name), exist_ok=True)
    tokenizer.save(os.path.join(folder, name, "tokenizer.json"))


def smollm2(model):
    import gguf
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    fields = gguf.GGUFReader(model).fields
    tokens, types, merges = (fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "token_type", "merges"))
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, types):
        if kind in (2, 3, 4):  # unknown, control, user-defined
            tokenizer.add_tokens([AddedToken(token, special=kind != 4, normalized=False)])
    return tokenizer


def trained(text):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    lines = text.split("\n")
    unigram = Tokenizer(models.Unigram())
    unigram.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Metaspace()
    unigram.train_from_iterator(lines, trainers.UnigramTrainer(
        vocab_size=8000, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False))
    wordpiece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    wordpiece.normalizer = normalizers.BertNormalizer()
    wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    wordpiece.decoder = decoders.WordPiece()
    wordpiece.train_from_iterator(lines, trainers.WordPieceTrainer(
        vocab_size=8000, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False))
    return unigram, wordpiece


def main():
    folder, model = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, "english.txt"), english())
    write(os.path.join(folder, "code.txt"), code())
    save(folder, "bpe", smollm2(model))
    unigram, wordpiece = trained(read(os.path.join(folder, "english.txt"))[:1_000_000])
    save(folder, "unigram", unigram)
    save(folder, "wordpiece", wordpiece)


if __name__ == "__main__":
    main()
