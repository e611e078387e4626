// Spans of text at whose end two tokenizations both cut: where distributions over different vocabularies can be
// compared.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "powerhouse/dataset.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// The trained tokens of a row, special ones left out.
struct TrainedText {
  std::string text{};
  std::vector<std::int64_t> ends{};     // in bytes, by token; -1 inside a character
  std::vector<std::int64_t> targets{};  // the token's number among the row's targets; -1: nothing predicts it
};

TrainedText trained_text(const Tokenizer& tokenizer, const TrainingExample& example);

/// The row's targets that a span is made of, on either side; at least one each.
struct Span {
  std::vector<std::int64_t> student{}, teacher{};
};

struct Alignment {
  bool same_text = false;  // but for blanks at the ends
  std::vector<Span> spans{};
};

/// Spans with a token that nothing predicts (the first of a document) are left out.
Alignment align(const TrainedText& student, const TrainedText& teacher);

}  // namespace powerhouse
