"""Texts that tokenizers stumble over, drawn from a seed: the same for every fixture of tests/fixtures/text."""
import random
import unicodedata

SPACES = [0x20, 0x20, 0x20, 9, 10, 13, 0xA0, 0x3000, 0x2003, 0x85, 0x1680, 0x2028, 0x200B, 0x180E, 0x0B, 0x0C]
NUMBERS = [0x660, 0x966, 0xB2, 0xBD, 0x2160, 0x3007, 0x1D7CE, 0x2488, 0xFF11, 0x0BE7]
EMOJI = [0x1F600, 0x1F468, 0x200D, 0x1F469, 0xFE0F, 0x1F3FD, 0x2764, 0x1F1E9, 0x1F1EA]
CONTRACTIONS = "'s 't 're 've 'm 'll 'd 'S 'T 'RE 'Ve 'LL 'D '\u017f ' '' 'x \u2019s".split()
WORDS = "hello World the Powerhouse naive tokenize x ing def return camelCase UPPER".split()
SIGNS = "! ? ... ( ) { } == -> // # @ $ + < > | _ - -- /*".split()
DECOMPOSED = ["e\u0301", "\u00e9", "\ufb01", "\u212b", "A\u030a", "\u1112\u1161\u11ab", "\ufb03", "\u1e9b\u0323", "q\u0307\u0323"]

FIXED = [
    "", " ", "  ", "\n", "\r\n", "\t\t", "a", " a", "a ", " a ", "  a  ", "Hello, world!", "I'm sure they'll say it's 1234567 o'clock.",
    "line one\nline two\r\n\r\n  indented\n\tdef f(x):\n\t\treturn x ** 2\n", "3.14159 and 2,718 and 1e-10", "   \n   \n  x",
    "na\u00efve caf\u00e9 \u4f60\u597d\uff0c\u4e16\u754c \u3053\u3093\u306b\u3061\u306f \uc548\ub155", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "\u0627\u0644\u0633\u0644\u0627\u0645 \u0661\u0662\u0663", "\u0928\u092e\u0938\u094d\u0924\u0947", "a\u0301\u0302b", "\u0000\u0001\u007f", "\ufeffbom", "\u00ad\u200e\u2066", "don't DON'T Don'T 'tis '\u017f",
    "x" * 200, "ab" * 150, " " * 70 + "end", "\n" * 70, "0123456789" * 12, "!" * 90,
]


def text(draw, specials):
    def any_code_point():
        while True:
            code = draw.randint(0, 0x10FFFF)
            if unicodedata.category(chr(code)) not in ("Cn", "Cs"):  # assigned in this Python's Unicode (3.11: 14)
                return chr(code)

    pools = [
        lambda: chr(draw.choice(SPACES)),
        lambda: draw.choice(["\r\n", "\n\n", "  ", "   ", "\t ", "\n \n", " \r"]),
        lambda: draw.choice(CONTRACTIONS),
        lambda: draw.choice("0123456789") * draw.randint(1, 5),
        lambda: chr(draw.choice(NUMBERS)),
        lambda: draw.choice(WORDS),
        lambda: draw.choice(SIGNS),
        lambda: chr(draw.randint(0x300, 0x36F)),
        lambda: chr(draw.choice(EMOJI)),
        lambda: chr(draw.randint(0, 0x1F)),
        lambda: draw.choice(specials) if specials else "<",
        lambda: chr(draw.choice([draw.randint(0xAC00, 0xD7A3), draw.randint(0x4E00, 0x9FFF), draw.randint(0x370, 0xDFF)])),
        lambda: draw.choice(DECOMPOSED),
        lambda: chr(draw.randint(0x20, 0x7E)),
        lambda: chr(draw.randint(0x80, 0x2FF)),
        any_code_point,
    ]
    chosen = draw.sample(pools, draw.randint(1, len(pools))) if draw.random() < 0.5 else pools
    length = draw.choice([1, 2, 3, 4, 6, 9, 14, 25])
    return "".join(draw.choice(chosen)() for _ in range(length))


def texts(seed, count, specials=()):
    draw = random.Random(seed)
    return FIXED + [text(draw, list(specials)) for _ in range(count)]
