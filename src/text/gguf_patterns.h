// The patterns by which llama.cpp cuts text before byte-level BPE, as regular expressions of Oniguruma's syntax: those
// that it spells, and those of the cuts that splitters make here (text/splitters.h, text/splitter_o200k.h).
#pragma once

namespace powerhouse::patterns {

inline constexpr const char* kThreeNumbers = R"(\p{N}{1,3})";
inline constexpr const char* kThreeDigits = "[0-9][0-9][0-9]";
// [U+4E00-U+9FA5 U+0800-U+4E00 U+AC00-U+D7FF] without the white space in it.
inline constexpr const char* kEastAsian =
    R"([\x{0800}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027}\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF})"
    R"(\x{3001}-\x{9FA5}\x{AC00}-\x{D7FF}]+)";
inline constexpr const char* kDeepSeek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr const char* kSpark =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+)";
inline constexpr const char* kTrailingSpaces = R"((?<!\s)\s++\z)";  // \s+$ without its quadratic cost
inline constexpr const char* kPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";
inline constexpr const char* kFalconPunctuation = R"([\p{P}\$\+<=>\^~\|`]+)";
inline constexpr const char* kDeepSeekLetters =
    R"(\s?[A-Za-z\x{00B5}\x{00C0}-\x{00D6}\x{00D8}-\x{00F6}\x{00F8}-\x{01BA}\x{01BC}-\x{01BF}\x{01C4}-\x{0293})"
    R"(\x{0295}-\x{02AF}\x{0370}-\x{0373}\x{0376}\x{0377}\x{037B}-\x{037D}\x{037F}\x{0386}\x{0388}-\x{038A})"
    R"(\x{038C}\x{038E}-\x{03A1}\x{03A3}-\x{03F5}\x{03F7}-\x{0481}\x{048A}-\x{052F}\x{0531}-\x{0556})"
    R"(\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B})"
    R"(\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D})"
    R"(\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE})"
    R"(\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4})"
    R"(\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128})"
    R"(\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184})"
    R"(\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B})"
    R"(\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17})"
    R"(\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB})"
    R"(\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";
inline constexpr const char* kDeepSeekSigns =
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3001}-\x{3002}]+)";
inline constexpr const char* kBloom = R"( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{0964}\x{06D4}\x{060C})]+)";
inline constexpr const char* kYoutuScripts =
    R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}\x{FF1A})"
    R"(\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+|[\x{4E00}-\x{9FA5})"
    R"(\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
inline constexpr const char* kAsianScripts =
    R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{8C48}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF}\x{FF65}-\x{FF9F})"
    R"(\x{2F00}-\x{2FDF}\x{0E40}-\x{0E7F}\x{0E80}-\x{0EFF}\x{1780}-\x{17FF}\x{1000}-\x{109F}\x{AA60}-\x{AA7F})"
    R"(\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+)";
inline constexpr const char* kIdeographsAndKana = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
inline constexpr const char* kJais2 =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|)"
    R"(\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})";
inline constexpr const char* kBailing =
    R"('(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]|\s+(?!\S)|\s+)";
inline constexpr const char* kSeedCoder =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}|)"
    R"( ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr const char* kUfakzeka =
    R"([^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr const char* kExaoneMoe =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|)"
    R"([^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*+(?: \p{L}\p{M}*+)*+)++|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|)"
    R"(\s+(?!\S)|\s+)";
inline constexpr const char* kImageTokens = "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z";
inline constexpr const char* kChameleonPunctuation = R"([\p{P}!-/:-@\[-`{-~])";

// --- what the splitters do ---

inline constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr const char* kNewlines = R"(\n+)";

// cl100k's and o200k's patterns are put together from these.
#define POWERHOUSE_CONTRACTIONS "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define POWERHOUSE_CL100K(letters, no_letters, numbers)                                 \
  POWERHOUSE_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?)" letters "+|" numbers " ?" no_letters \
                          R"(+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define POWERHOUSE_O200K(upper, lower, contractions, numbers)                                                        \
  R"([^\r\n\p{L}\p{N}]?)" upper "*" lower "+" contractions R"(|[^\r\n\p{L}\p{N}]?)" upper "+" lower "*" contractions \
  "|" numbers R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"

inline constexpr const char* kLlama3 = POWERHOUSE_CL100K(R"(\p{L})", R"([^\s\p{L}\p{N}])", R"(\p{N}{1,3}|)");
inline constexpr const char* kQwen2 = POWERHOUSE_CL100K(R"(\p{L})", R"([^\s\p{L}\p{N}])", R"(\p{N}|)");
inline constexpr const char* kLongNumbers = POWERHOUSE_CL100K(R"(\p{L})", R"([^\s\p{L}\p{N}])", R"(\p{N}+|)");
inline constexpr const char* kQwen35 = POWERHOUSE_CL100K(R"([\p{L}\p{M}])", R"([^\s\p{L}\p{M}\p{N}])", R"(\p{N}|)");

inline constexpr const char* kO200kAscii =
    POWERHOUSE_O200K(R"([^\P{L}a-z])", R"([^\P{L}A-Z])", POWERHOUSE_CONTRACTIONS "?", R"(\p{N}{1,3})");
inline constexpr const char* kO200kAsciiMarks = POWERHOUSE_O200K(R"((?:\p{M}|[^\P{L}a-z]))", R"((?:\p{M}|[^\P{L}A-Z]))",
                                                                 POWERHOUSE_CONTRACTIONS "?", R"(\p{N}{1,3})");
inline constexpr const char* kO200kAnyOneNumber =
    POWERHOUSE_O200K(R"([\p{L}\p{M}])", R"([\p{L}\p{M}])", POWERHOUSE_CONTRACTIONS "?", R"(\p{N})");
inline constexpr const char* kTekken = POWERHOUSE_O200K(R"([^\P{L}a-z])", R"([^\P{L}A-Z])", "", R"(\p{N})");

#undef POWERHOUSE_CL100K
#undef POWERHOUSE_O200K
#undef POWERHOUSE_CONTRACTIONS

}  // namespace powerhouse::patterns
