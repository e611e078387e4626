// sentencepiece_compare MODEL TEXTS TOKENS: the ids and spans that a SentencePiece model gives against those of the
// sentencepiece package; prints how many texts differ, and the first. Texts are any bytes.
// A tool for comparisons too large to keep; tests/oracles/sentencepiece_models.py runs it.
#include <fstream>
#include <iostream>
#include <string>

#include "powerhouse/error.h"
#include "support/json.h"
#include "support/mapped_file.h"
#include "support/utf8.h"
#include "text/sentencepiece_file.h"
#include "text/sentencepiece_model.h"

namespace {

constexpr std::uint32_t kRefused = 0xFFFFFFFF;  // in the place of a number of tokens: the package gives none

bool read(std::ifstream& in, std::uint32_t& value) {
  return static_cast<bool>(in.read(reinterpret_cast<char*>(&value), sizeof value));
}

struct Token {
  std::uint32_t id = 0, begin = 0, end = 0;
  friend bool operator==(const Token&, const Token&) = default;
};

std::string shown(const std::vector<Token>& tokens) {
  std::string out;
  for (const Token& token : tokens) {
    out += " " + std::to_string(token.id) + "[" + std::to_string(token.begin) + "," + std::to_string(token.end) + ")";
  }
  return out.substr(0, 900);
}

}  // namespace

int main(int count, char** arguments) {
  using namespace powerhouse;
  if (count != 4) return 2;
  try {
    const auto bytes = MappedFile::open(arguments[1]);
    const SentencePieceFile file = SentencePieceFile::parse(bytes->text());
    Vocabulary vocabulary;
    vocabulary.reserve(file.pieces.size(), bytes->text().size());
    for (std::size_t id = 0; id < file.pieces.size(); ++id) {
      vocabulary.add(file.pieces[id].text, static_cast<std::int64_t>(id));
    }
    const SentencePieceModel model(vocabulary, file, false);
    std::ifstream texts(arguments[2], std::ios::binary), tokens(arguments[3], std::ios::binary);
    std::size_t cases = 0, refused = 0, differences = 0;
    for (std::uint32_t length = 0; read(texts, length); ++cases) {
      std::string text(length, '\0');
      texts.read(text.data(), length);
      std::uint32_t left = 0;
      if (!read(tokens, left)) throw Error(ErrorKind::format, "fewer lists of tokens than texts");
      std::vector<Token> wanted;
      for (Token token; left != kRefused && left > 0; --left) {
        if (!read(tokens, token.id) || !read(tokens, token.begin) || !read(tokens, token.end)) return 1;
        wanted.push_back(token);
      }
      std::vector<TokenSpan> spans;
      std::vector<std::int64_t> ids;
      model.encode_spans(text, spans);
      model.encode(text, ids);
      std::vector<Token> found;
      bool same = ids.size() == spans.size();
      for (std::size_t i = 0; i < spans.size(); ++i) {
        same = same && ids[i] == spans[i].id;
        found.push_back({static_cast<std::uint32_t>(spans[i].id), static_cast<std::uint32_t>(spans[i].begin),
                         static_cast<std::uint32_t>(spans[i].end)});
      }
      if (left == kRefused) ++refused;
      same = same && (left == kRefused || found == wanted);
      if (same || ++differences > 3) continue;
      std::cout << "  " << Json(replace_invalid_utf8(text).substr(0, 300)).dump() << "\n    package" << shown(wanted)
                << "\n    here   " << shown(found) << "\n";
    }
    std::cout << arguments[1] << ": " << cases << " texts, " << refused << " refused by the package, " << differences
              << " differences\n";
    return differences == 0 && cases > 0 ? 0 : 1;
  } catch (const Error& error) {
    std::cout << arguments[1] << ": " << error.what() << '\n';
    return 1;
  }
}
