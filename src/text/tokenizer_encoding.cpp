// Encodings: ids with their offsets, truncated, in their template, padded; single, in pairs and in batches.
//
// Offsets are reckoned in characters as `tokenizers` does for Python, its odd cases included: a token that stands for
// nothing at the very end keeps byte offsets, and trimming counts characters of the token, not of the text.
#include <algorithm>
#include <atomic>

#include "powerhouse/error.h"
#include "support/thread_team.h"
#include "support/utf8.h"
#include "text/tokenizer_impl.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

using Tokens = std::vector<EncodedToken>;

// From bytes of a text to characters and back.
class CharacterPlaces {
 public:
  explicit CharacterPlaces(std::string_view text) : size_(text.size()) {
    of_byte_.reserve(text.size());
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = unicode::sequence_length(text[at]);
      of_byte_.resize(at + length, starts_.size());
      starts_.push_back(at);
      at += length;
    }
  }

  Origin from_bytes(const Origin& bytes) const {
    if (bytes.begin >= size_) return bytes;
    const std::size_t begin = of_byte_[bytes.begin];
    if (bytes.end < size_) return {begin, of_byte_[bytes.end]};
    return {begin, (bytes.end - 1 < size_ && bytes.end > 0 ? of_byte_[bytes.end - 1] : begin + 1) + 1};
  }
  TokenOffsets to_bytes(const Origin& characters) const { return {byte_of(characters.begin), byte_of(characters.end)}; }

 private:
  std::size_t byte_of(std::size_t character) const { return character < starts_.size() ? starts_[character] : size_; }

  std::size_t size_;
  std::vector<std::size_t> of_byte_;
  std::vector<std::size_t> starts_;
};

// What is left of a text's tokens: [begin, end).
struct Kept {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t size() const { return end - begin; }
};

Kept cut(std::size_t size, std::size_t length, Side side) {
  if (size <= length) return {0, size};
  return side == Side::right ? Kept{0, length} : Kept{size - length, size};
}

// How `tokenizers` shares `limit` out among two texts under longest_first.
std::pair<std::size_t, std::size_t> share_lengths(std::size_t first, std::size_t second, std::size_t limit) {
  std::size_t shorter = std::min(first, second);
  std::size_t longer = shorter > limit ? shorter : std::max(shorter, limit - shorter);
  if (shorter + longer > limit) {
    shorter = limit / 2;
    longer = shorter + limit % 2;
  }
  return first > second ? std::pair{longer, shorter} : std::pair{shorter, longer};
}

struct Truncated {
  Kept first, second;
};

Truncated truncate(std::size_t first, std::size_t second, bool pair, std::size_t added,
                   const TruncationOptions& options) {
  using Strategy = TruncationOptions::Strategy;
  if (options.max_length < added) {
    throw Error(ErrorKind::range, "truncation leaves no room for the special tokens",
                {.field = "truncation.max_length",
                 .expected = "at least " + std::to_string(added),
                 .found = std::to_string(options.max_length)});
  }
  const std::size_t limit = options.max_length - added;
  const auto kept = [&](std::size_t a, std::size_t b) {
    return Truncated{cut(first, a, options.side), cut(second, b, options.side)};
  };
  if (limit == 0) return kept(0, 0);
  if (first + second <= limit) return kept(first, second);
  const std::size_t excess = first + second - limit;
  if (options.strategy == Strategy::longest_first) {
    if (!pair) return kept(limit, 0);
    const auto [a, b] = share_lengths(first, second, limit);
    return kept(a, b);
  }
  const bool cuts_first = options.strategy == Strategy::only_first;
  if (!cuts_first && !pair) {
    throw Error(ErrorKind::usage, "truncation of the second text where there is none",
                {.field = "truncation.strategy", .expected = "longest_first or only_first"});
  }
  const std::size_t target = cuts_first ? first : second;
  if (target <= excess) {
    throw Error(ErrorKind::range, "the text to truncate is too short for the length wanted",
                {.field = "truncation.max_length",
                 .expected = "more than " + std::to_string(first + second - target + added),
                 .found = std::to_string(options.max_length)});
  }
  return cuts_first ? kept(first - excess, second) : kept(first, second - excess);
}

// One text of an encoding: ids alone, or tokens where offsets are wanted.
struct Part {
  std::string_view text;
  std::vector<std::int64_t> ids;
  Tokens tokens;
  Kept kept;
};

Part encode_part(const Tokenizer::Impl& tokenizer, std::string_view text, const EncodingOptions& options) {
  Part part{.text = text};
  if (options.offsets) {
    part.tokens = tokenizer.encode_tokens(text, options.parse_special);
    part.ids.reserve(part.tokens.size());
    for (const EncodedToken& token : part.tokens) part.ids.push_back(token.id);
  } else {
    part.ids = tokenizer.encode_ids(text, options.parse_special);
  }
  part.kept = {0, part.ids.size()};
  return part;
}

void append_token(Encoding& out, const TemplatePiece& piece, bool offsets) {
  out.ids.push_back(piece.id);
  out.type_ids.push_back(piece.type_id);
  out.attention_mask.push_back(1);
  out.special_tokens_mask.push_back(1);
  if (!offsets) return;
  out.offsets.emplace_back();
  out.byte_offsets.emplace_back();
}

void append_part(Encoding& out, const Part& part, std::int64_t type_id, const PostProcessor& post, bool offsets) {
  out.ids.insert(out.ids.end(), part.ids.begin() + static_cast<std::ptrdiff_t>(part.kept.begin),
                 part.ids.begin() + static_cast<std::ptrdiff_t>(part.kept.end));
  out.type_ids.resize(out.ids.size(), type_id);
  out.attention_mask.resize(out.ids.size(), 1);
  out.special_tokens_mask.resize(out.ids.size(), 0);
  if (!offsets) return;
  const CharacterPlaces characters(part.text);
  for (std::size_t i = part.kept.begin; i < part.kept.end; ++i) {
    Origin origin = characters.from_bytes(part.tokens[i].bytes);
    for (const PostProcessor::Trim& trim : post.trims) {
      trim_offsets(origin, part.tokens[i], i == part.kept.begin, trim.add_prefix_space);
    }
    out.offsets.push_back({origin.begin, origin.end});
    out.byte_offsets.push_back(characters.to_bytes(origin));
  }
}

// The template of a tokenizer whose file has none: what stands before and after one text.
PostProcessor plain_processor(const Tokenizer::Impl& tokenizer) {
  PostProcessor out;
  out.single.clear();
  out.pair.clear();
  using Kind = TemplatePiece::Kind;
  const auto add = [&](std::vector<TemplatePiece>& pieces, Kind kind, std::int64_t type_id) {
    for (const std::int64_t id : tokenizer.prefix) pieces.push_back({Kind::token, id, type_id});
    pieces.push_back({kind, -1, type_id});
    for (const std::int64_t id : tokenizer.suffix) pieces.push_back({Kind::token, id, type_id});
  };
  add(out.single, Kind::first, 0);
  add(out.pair, Kind::first, 0);
  add(out.pair, Kind::second, 1);
  return out;
}

Encoding encode(const Tokenizer::Impl& tokenizer, std::string_view first, const std::string_view* second,
                const EncodingOptions& options) {
  const PostProcessor post = tokenizer.post_processor ? *tokenizer.post_processor : plain_processor(tokenizer);
  std::vector<TemplatePiece> pieces = second != nullptr ? post.pair : post.single;
  if (pieces.empty()) {
    throw Error(ErrorKind::unsupported, "the tokenizer's template for pairs does not hold both texts",
                {.field = "post_processor.pair"});
  }
  Part parts[2];
  parts[0] = encode_part(tokenizer, first, options);
  if (second != nullptr) parts[1] = encode_part(tokenizer, *second, options);
  if (!options.add_special_tokens) {
    std::erase_if(pieces, [](const TemplatePiece& piece) { return piece.kind == TemplatePiece::Kind::token; });
  } else if (second == nullptr && !parts[0].ids.empty()) {
    // Never a second BOS: a text that begins with the token that would stand right before it keeps its own.
    const auto text = std::find_if(pieces.begin(), pieces.end(),
                                   [](const TemplatePiece& piece) { return piece.kind == TemplatePiece::Kind::first; });
    if (text != pieces.begin() && text != pieces.end() && (text - 1)->id == parts[0].ids.front()) {
      pieces.erase(text - 1);
    }
  }
  if (options.truncation) {
    const Truncated left = truncate(parts[0].ids.size(), parts[1].ids.size(), second != nullptr,
                                    PostProcessor::added(pieces), *options.truncation);
    parts[0].kept = left.first;
    parts[1].kept = left.second;
  }
  Encoding out;
  for (const TemplatePiece& piece : pieces) {
    if (piece.kind == TemplatePiece::Kind::token) {
      append_token(out, piece, options.offsets);
    } else {
      append_part(out, parts[piece.kind == TemplatePiece::Kind::second ? 1 : 0], piece.type_id, post, options.offsets);
    }
  }
  return out;
}

template <typename Value>
void fill(std::vector<Value>& values, std::size_t count, Side side, Value value) {
  values.insert(side == Side::left ? values.begin() : values.end(), count, value);
}

void pad(std::span<Encoding> encodings, const PaddingOptions& options, const Tokenizer::Impl& tokenizer, bool offsets) {
  const std::optional<std::int64_t> id = options.pad_id ? options.pad_id : tokenizer.pad;
  if (!id) {
    throw Error(ErrorKind::usage, "padding needs a pad token, and the tokenizer has none", {.field = "padding.pad_id"});
  }
  std::size_t length = options.length.value_or(0);
  if (!options.length) {
    for (const Encoding& encoding : encodings) length = std::max(length, encoding.ids.size());
  }
  const std::size_t multiple = std::max<std::size_t>(options.multiple_of, 1);
  if (length > (std::size_t{1} << 32) || multiple > (std::size_t{1} << 32)) {
    throw Error(ErrorKind::range, "padding to an absurd length", {.field = "padding.length"});
  }
  length = (length + multiple - 1) / multiple * multiple;
  for (Encoding& encoding : encodings) {
    if (encoding.ids.size() >= length) continue;
    const std::size_t count = length - encoding.ids.size();
    fill(encoding.ids, count, options.side, *id);
    fill(encoding.type_ids, count, options.side, options.pad_type_id);
    fill(encoding.attention_mask, count, options.side, std::int64_t{0});
    fill(encoding.special_tokens_mask, count, options.side, std::int64_t{1});
    if (!offsets) continue;
    fill(encoding.offsets, count, options.side, TokenOffsets{});
    fill(encoding.byte_offsets, count, options.side, TokenOffsets{});
  }
}

}  // namespace

Encoding Tokenizer::encode_full(std::string_view text, const EncodingOptions& options) const {
  Encoding out = powerhouse::encode(*impl_, text, nullptr, options);
  if (options.padding) pad({&out, 1}, *options.padding, *impl_, options.offsets);
  return out;
}

Encoding Tokenizer::encode_pair(std::string_view first, std::string_view second, const EncodingOptions& options) const {
  Encoding out = powerhouse::encode(*impl_, first, &second, options);
  if (options.padding) pad({&out, 1}, *options.padding, *impl_, options.offsets);
  return out;
}

std::vector<Encoding> Tokenizer::encode_batch(std::span<const std::string> texts,
                                              const EncodingOptions& options) const {
  std::vector<Encoding> out(texts.size());
  // Texts differ in length: each worker takes the next one that nobody has.
  std::atomic<std::size_t> next = 0;
  const auto workers =
      static_cast<std::int64_t>(std::min<std::size_t>(texts.size(), static_cast<std::size_t>(team_threads())));
  parallel_for(workers, 1, [&](std::int64_t begin, std::int64_t end) {
    if (begin == end) return;
    for (std::size_t i = next++; i < texts.size(); i = next++) {
      out[i] = powerhouse::encode(*impl_, texts[i], nullptr, options);
    }
  });
  if (options.padding) pad(out, *options.padding, *impl_, options.offsets);
  return out;
}

std::optional<TruncationOptions> Tokenizer::truncation() const { return impl_->truncation; }
std::optional<PaddingOptions> Tokenizer::padding() const { return impl_->padding; }

}  // namespace powerhouse
