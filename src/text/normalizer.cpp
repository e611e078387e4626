#include "text/normalizer.h"

#include <algorithm>

namespace powerhouse {

AlignedText Normalizer::apply(const AlignedText& text, TextBuffer& storage) const {
  AlignedText now = text;
  TextBuffer next;
  for (const auto& step : steps_) {
    if (now.text.empty()) break;
    if (!step->rewrite(now, next)) continue;
    std::swap(storage, next);
    now = storage.as(text);
  }
  return now;
}

std::string_view Normalizer::apply(std::string_view text, std::string& storage) const {
  if (steps_.empty() || text.empty()) return text;
  TextBuffer buffer;
  buffer.text = std::move(storage);
  std::size_t budget = AlignedText::budget_for(text.size());
  const AlignedText normal = apply(AlignedText{.text = text, .budget = &budget}, buffer);
  const bool rewritten = normal.text.data() != text.data() || normal.text.empty();
  storage = std::move(buffer.text);
  return rewritten ? std::string_view(storage) : text;
}

bool Normalizer::keeps_start() const {
  return std::all_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->keeps_start(); });
}

}  // namespace powerhouse
