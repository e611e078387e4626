#include "training/span_alignment.h"

#include <algorithm>

#include "text/token_ends.h"

namespace powerhouse {
namespace {

constexpr const char* kBlanks = " \t\r\n";

// The text without blanks at its ends, and how many bytes went away in front.
std::string_view trimmed(std::string_view text, std::int64_t& shift) {
  const std::size_t first = std::min(text.find_first_not_of(kBlanks), text.size());
  text.remove_prefix(first);
  shift = static_cast<std::int64_t>(first);
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// One side of the walk: its next token, and where the span that it belongs to began.
struct Walk {
  const TrainedText& text;
  std::int64_t shift = 0, last = 0;  // bytes of the trimmed text
  std::size_t next = 0, begin = 0;

  bool done() const { return next == text.ends.size(); }
  std::int64_t end() const {
    const std::int64_t end = text.ends[next];
    return end < 0 ? -1 : std::clamp<std::int64_t>(end - shift, 0, last);
  }
  // The targets of the span that ends with the next token; empty where one of them is none.
  std::vector<std::int64_t> take() {
    std::vector<std::int64_t> targets(text.targets.begin() + static_cast<std::ptrdiff_t>(begin),
                                      text.targets.begin() + static_cast<std::ptrdiff_t>(next) + 1);
    begin = ++next;
    if (std::find(targets.begin(), targets.end(), -1) != targets.end()) targets.clear();
    return targets;
  }
};

}  // namespace

TrainedText trained_text(const Tokenizer& tokenizer, const TrainingExample& example) {
  TrainedText out;
  std::vector<std::int64_t> ids;
  std::int64_t target = 0;
  for (std::size_t i = 0; i < example.input_ids.size(); ++i) {
    if (example.labels[i] == kIgnoredTarget) continue;
    const std::int64_t number = i == 0 ? -1 : target++;
    if (tokenizer.is_special(example.input_ids[i])) continue;
    ids.push_back(example.input_ids[i]);
    out.targets.push_back(number);
  }
  TokenEnds found = token_ends(tokenizer, ids);
  out.text = std::move(found.text);
  out.ends = std::move(found.ends);
  return out;
}

Alignment align(const TrainedText& student, const TrainedText& teacher) {
  Walk a{.text = student}, b{.text = teacher};
  const std::string_view left = trimmed(student.text, a.shift), right = trimmed(teacher.text, b.shift);
  Alignment out{.same_text = left == right};
  if (!out.same_text) return out;
  a.last = b.last = static_cast<std::int64_t>(left.size());
  while (!a.done() && !b.done()) {
    const std::int64_t ours = a.end(), theirs = b.end();
    if (ours < 0 || (theirs >= 0 && ours < theirs)) {
      ++a.next;
    } else if (theirs < ours) {
      ++b.next;
    } else {
      Span span{a.take(), b.take()};
      if (!span.student.empty() && !span.teacher.empty()) out.spans.push_back(std::move(span));
    }
  }
  return out;
}

}  // namespace powerhouse
