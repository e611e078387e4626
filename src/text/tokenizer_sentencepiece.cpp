#include "text/tokenizer_sentencepiece.h"

#include "powerhouse/error.h"
#include "support/mapped_file.h"
#include "text/sentencepiece_file.h"

namespace powerhouse {
namespace {

using Kind = SentencePieceFile::Kind;

TokenPieces::Kind shown_as(Kind kind) {
  switch (kind) {
    case Kind::unknown:
    case Kind::control: return TokenPieces::Kind::verbatim;
    case Kind::byte: return TokenPieces::Kind::byte;
    default: return TokenPieces::Kind::blanks;
  }
}

std::shared_ptr<Tokenizer::Impl> load(std::string_view bytes, bool legacy) {
  const SentencePieceFile file = SentencePieceFile::parse(bytes);
  auto out = std::make_shared<Tokenizer::Impl>();
  std::size_t size = 0;
  for (const auto& piece : file.pieces) size += piece.text.size();
  out->vocabulary.reserve(file.pieces.size(), size);
  for (std::size_t i = 0; i < file.pieces.size(); ++i) {
    const auto& [text, score, kind] = file.pieces[i];
    const auto id = static_cast<std::int64_t>(i);
    out->vocabulary.add(text, id);
    out->pieces.kinds.push_back(shown_as(kind));
    if (kind == Kind::control || kind == Kind::unknown) {
      out->added.add({.content = std::string(text), .id = id, .special = true});
    }
  }
  out->added_end = file.pieces.size();
  out->pieces.drops_first = file.add_dummy_prefix || file.remove_extra_whitespaces;
  out->pre_tokenizer.finish(false);
  const auto role = [&](const char* name, std::string_view text, Kind kind) -> std::optional<std::int64_t> {
    const auto id = out->vocabulary.find(text);
    if (!id || file.pieces[static_cast<std::size_t>(*id)].kind != kind) return std::nullopt;
    out->special_names.emplace_back(name, std::string(text));
    return *id;
  };
  out->bos = role("bos_token", file.bos_piece, Kind::control);
  out->eos = role("eos_token", file.eos_piece, Kind::control);
  out->unk = role("unk_token", file.unk_piece, Kind::unknown);
  out->pad = role("pad_token", file.pad_piece, Kind::control);
  out->model.emplace<SentencePieceModel>(out->vocabulary, file, legacy);
  return out;
}

}  // namespace

std::shared_ptr<Tokenizer::Impl> load_sentencepiece(const std::string& path, bool legacy) {
  const auto file = MappedFile::open(path);
  try {
    return load(file->text(), legacy);
  } catch (const Error& error) {
    throw error.in_file(path);
  }
}

std::shared_ptr<const Tokenizer::Impl> tokenizer_from_sentencepiece(const std::string& path) {
  auto tokenizer = load_sentencepiece(path, false);
  tokenizer->added.finish(tokenizer->normalizer);
  tokenizer->add_end_of_generation(tokenizer->eos);
  return tokenizer;
}

}  // namespace powerhouse
