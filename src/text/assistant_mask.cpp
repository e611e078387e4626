#include "text/assistant_mask.h"

#include <algorithm>
#include <optional>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

std::optional<std::size_t> token_at(std::span<const TokenOffsets> offsets, std::size_t code_point) {
  // Ends never go back, so the first token that ends behind the character is the only one to look at.
  const auto ends_before = [code_point](const TokenOffsets& offset) { return offset.end <= code_point; };
  const auto found = std::partition_point(offsets.begin(), offsets.end(), ends_before);
  if (found == offsets.end() || found->begin > code_point) return std::nullopt;
  return static_cast<std::size_t>(found - offsets.begin());
}

}  // namespace

CodePointOffsets::CodePointOffsets(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80) begins_.push_back(at);
  }
  begins_.push_back(text.size());
}

std::size_t CodePointOffsets::byte_of(std::size_t code_point) const {
  return begins_[std::min(code_point, begins_.size() - 1)];
}

std::vector<std::uint8_t> assistant_tokens(std::span<const TokenOffsets> offsets,
                                           std::span<const std::pair<std::size_t, std::size_t>> spans) {
  // Spans may lie within each other, as many as there are tokens: how many begin and end at a token is counted first.
  std::vector<std::int64_t> edges(offsets.size() + 1, 0);
  for (const auto& [begin, end] : spans) {
    if (end == 0) {
      throw Error(ErrorKind::format, "a generation block that writes nothing at the beginning of the text",
                  {.field = "chat template"});
    }
    const auto first = token_at(offsets, begin);
    const auto last = token_at(offsets, end - 1);
    if (!first) break;
    const std::size_t stop = last.value_or(0) != 0 ? *last + 1 : offsets.size();
    if (*first >= stop) continue;
    ++edges[*first];
    --edges[stop];
  }
  std::vector<std::uint8_t> mask(offsets.size(), 0);
  std::int64_t open = 0;
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = (open += edges[i]) > 0 ? 1 : 0;
  return mask;
}

}  // namespace powerhouse
