#include "text/post_processor.h"

#include <algorithm>

namespace powerhouse {

std::size_t PostProcessor::added(const std::vector<TemplatePiece>& pieces) {
  return static_cast<std::size_t>(std::count_if(pieces.begin(), pieces.end(), [](const TemplatePiece& piece) {
    return piece.kind == TemplatePiece::Kind::token;
  }));
}

void trim_offsets(Origin& offsets, const EncodedToken& token, bool first, bool add_prefix_space) {
  std::size_t before = token.spaces_before;
  // One blank before the first token is the one that was put there.
  if ((first || offsets.begin == 0) && add_prefix_space && before == 1) before = 0;
  if (before > 0) offsets.begin = std::min(offsets.begin + before, offsets.end);
  const std::size_t after = token.spaces_after;
  if (after > 0 && offsets.end >= after) offsets.end = std::max(offsets.end - after, offsets.begin);
}

}  // namespace powerhouse
