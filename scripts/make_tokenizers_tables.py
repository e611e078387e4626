#!/usr/bin/env python3
"""Writes src/text/tokenizers_tables.cpp: what the parts of `tokenizers` make of each code point.

The package mixes Unicode versions (its normalization knows Unicode 9, its categories are older still, its grapheme
clusters newer), so the tables are read off its own behaviour, one code point at a time:
- kind: punctuation of Punctuation and BertPreTokenizer; what BertNormalizer's clean_text drops; the marks that
  BertNormalizer's and StripAccents' filters drop;
- class: how code points join into grapheme clusters, which Precompiled replaces as wholes. A charsmap that turns every
  character, or every cluster below six bytes, into one X makes the clusters visible;
- lower case mappings, scripts, and the code points that its normalization forms do not know yet.

Ran with tokenizers 0.23.3, unicodedata2 16.0.0. Usage: python scripts/make_tokenizers_tables.py > src/text/tokenizers_tables.cpp
"""
import struct
import sys
import unicodedata

import unicodedata2
from tokenizers import normalizers, pre_tokenizers

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BLOCK = 128
KINDS = "none punctuation control spacing_mark bert_mark mark".split()
CLASSES = "other cr lf control extend zwj spacing_mark prepend l v t lv lvt regional pictographic consonant linker plain_extend".split()


def charsmap_of_all_bytes():
    """A double array whose keys are all single bytes, each of which becomes X."""
    units = [0] * 2048
    units[0] = 256 << 10
    for byte in range(1, 256):
        place, leaf = 256 ^ byte, 1024 + byte
        units[place] = byte | 1 << 8 | (place ^ leaf) << 10
        units[leaf] = 1 << 31
    blob = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(blob)) + blob + b"X\0"


def kinds():
    removed = pre_tokenizers.Punctuation("removed")
    punctuation = set(CODES)
    for start in range(0, len(CODES), 4096):
        block = CODES[start : start + 4096]
        for piece, _ in removed.pre_tokenize_str("".join(map(chr, block))):
            punctuation.difference_update(map(ord, piece))
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    strip = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    marks = normalizers.StripAccents()
    out = {}
    for c in CODES:
        dropped = clean.normalize_str(chr(c)) == ""
        bert_mark, mark = strip.normalize_str(chr(c)) == "", marks.normalize_str(chr(c)) == ""
        assert not (c in punctuation and (dropped or bert_mark or mark)), hex(c)
        assert not (dropped and (bert_mark or mark)), hex(c)
        out[c] = ("punctuation" if c in punctuation else "control" if dropped else
                  "mark" if bert_mark and mark else "bert_mark" if bert_mark else "spacing_mark" if mark else "none")
    return out


def classes():
    units = normalizers.Precompiled(charsmap_of_all_bytes())
    count = lambda text: len(units.normalize_str(text))
    smile, ka, virama, accent, zwj = "\U0001f600", "\u0915", "\u094d", "\u0301", "\u200d"
    assert count("a" + accent) == 1 and count("ab") == 2 and count(smile + zwj + smile) == 3
    conjuncts = count(ka + virama + ka + accent) == 4
    print("GB9c:", conjuncts, file=sys.stderr)
    out = {}
    for c in CODES:
        t = chr(c)
        joins = c != 0 and count("a" + t) == 1
        if c == 0x0D or c == 0x0A:
            kind = "cr" if c == 0x0D else "lf"
        elif c == 0x200D:
            kind = "zwj"
        elif joins:
            extend = count(smile + t + zwj + "\u00a9" + accent) == 5
            kind = "extend" if extend else "spacing_mark"
            if extend and conjuncts:
                if count(ka + t + ka + accent) == 4:
                    kind = "linker"
                elif count(ka + virama + t + ka + accent) != 5:
                    kind = "plain_extend"
        elif c == 0 or count(t + accent + zwj) == 2:
            kind = "control"
        elif count(t + "a") == 1 or (count(t + "a" + accent) == 3 and len(t.encode()) == 4):
            kind = "prepend"
        elif 0x1100 <= c <= 0x115F or 0xA960 <= c <= 0xA97C:
            kind = "l"
        elif 0x1160 <= c <= 0x11A7 or 0xD7B0 <= c <= 0xD7C6:
            kind = "v"
        elif 0x11A8 <= c <= 0x11FF or 0xD7CB <= c <= 0xD7FB:
            kind = "t"
        elif 0xAC00 <= c <= 0xD7A3:
            kind = "lv" if (c - 0xAC00) % 28 == 0 else "lvt"
        elif 0x1F1E6 <= c <= 0x1F1FF:
            kind = "regional"
        elif count(t + zwj + "\u00a9" + accent) == 4:
            kind = "pictographic"
        elif conjuncts and count(t + virama + ka + accent) == 4:
            kind = "consonant"
        else:
            kind = "other"
        out[c] = kind
    return out


def scripts():
    """Ranges of one script, numbered; 0 is none (unassigned, and the blank)."""
    cut = pre_tokenizers.UnicodeScripts()
    pieces = lambda text: [piece for piece, _ in cut.pre_tokenize_str(text)]
    has = lambda c: pieces(chr(c)) != []
    same = lambda a, b: len(pieces(chr(a) + chr(b))) == 1
    ranges, representatives = [], []
    for c in CODES:
        if not has(c):
            continue
        if ranges and ranges[-1][1] == c - 1 and same(c - 1, c):
            ranges[-1][1] = c
            continue
        for number, other in enumerate(representatives):
            if same(other, c):
                break
        else:
            number = len(representatives)
            representatives.append(c)
        ranges.append([c, c, number + 1])
    return ranges


def unknown_to_normalization():
    """Code points that decompose or reorder in Unicode 16 and not in the package."""
    nfkd = normalizers.NFKD()
    out = []
    for c in CODES:
        if 0xAC00 <= c <= 0xD7A3:
            continue
        known = True
        if unicodedata2.decomposition(chr(c)):
            known = nfkd.normalize_str(chr(c)) != chr(c)
        elif unicodedata2.combining(chr(c)) and c != 0x345:
            known = nfkd.normalize_str("\u0345" + chr(c)) != "\u0345" + chr(c)
        if not known:
            out.append(c)
    return out


def rows(values, per_line):
    for start in range(0, len(values), per_line):
        yield "    " + ",".join(map(str, values[start : start + per_line])) + ","


def ranges_of(codes):
    out = []
    for c in codes:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def main():
    kind, cluster = kinds(), classes()
    table = [KINDS.index(kind.get(c, "none")) << 5 | CLASSES.index(cluster.get(c, "control")) for c in range(0x110000)]
    blocks, index = {}, []
    for start in range(0, len(table), BLOCK):
        index.append(blocks.setdefault(tuple(table[start : start + BLOCK]), len(blocks)))
    flat = [value for block in blocks for value in block]
    lowercase = normalizers.Lowercase()
    lower = [(c, lowercase.normalize_str(chr(c))) for c in CODES]
    lower = [(c, text) for c, text in lower if text != chr(c)]
    assert all(len(text) == 1 or (c == 0x130 and text == "i\u0307") for c, text in lower)
    script = scripts()
    unknown = ranges_of(unknown_to_normalization())
    print("sizes: index", len(index), "flat", len(flat), "lower", len(lower), "scripts", len(script), "unknown", len(unknown), file=sys.stderr)
    print("// Generated by scripts/make_tokenizers_tables.py from tokenizers 0.23.3. Do not edit.")
    print("// One byte a code point (text/tokenizers_unicode.h) in two stages, and lists in the order of code points.")
    print('#include "text/tokenizers_unicode.h"\n\nnamespace powerhouse::tokenizers_unicode {\n\n// clang-format off')
    print(f"const std::uint16_t kBlockOfCodePoint[{len(index)}] = {{")
    print("\n".join(rows(index, 28)))
    print(f"}};\n\nconst std::uint8_t kBlocks[{len(flat)}] = {{")
    print("\n".join(rows(flat, 38)))
    print(f"}};\n\nconst Lower kLower[{len(lower)}] = {{")
    print("\n".join(rows([f"{{{c},{ord(text[0])}}}" for c, text in lower], 10)))
    print(f"}};\nconst std::size_t kLowerCount = {len(lower)};\n\nconst Script kScripts[{len(script)}] = {{")
    print("\n".join(rows([f"{{{a},{b},{s}}}" for a, b, s in script], 8)))
    print(f"}};\nconst std::size_t kScriptCount = {len(script)};\n\nconst Range kUnknownToNormalization[{len(unknown)}] = {{")
    print("\n".join(rows([f"{{{a},{b}}}" for a, b in unknown], 10)))
    print(f"}};\nconst std::size_t kUnknownToNormalizationCount = {len(unknown)};")
    print("// clang-format on\n\n}  // namespace powerhouse::tokenizers_unicode")


if __name__ == "__main__":
    main()
