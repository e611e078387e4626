#include "generation/stopping.h"

#include <algorithm>
#include <utility>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// The length of the longest end of `text` that begins `stop`, less than all of it.
std::size_t partial_match(std::string_view text, std::string_view stop) {
  for (std::size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (text.ends_with(stop.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

std::unordered_set<std::int64_t> end_ids(const ModelConfig& config, const Tokenizer& tokenizer,
                                         const GenerationOptions& options) {
  if (options.ignore_eos) return {};
  std::unordered_set<std::int64_t> ids(options.eos_token_ids.begin(), options.eos_token_ids.end());
  if (!ids.empty()) return ids;
  for (const std::int64_t id : tokenizer.end_of_generation_ids()) ids.insert(id);
  ids.insert(config.eos_token_ids.begin(), config.eos_token_ids.end());
  return ids;
}

std::optional<ConstraintMatcher> matcher_of(const GenerationOptions& options,
                                            const std::unordered_set<std::int64_t>& ends) {
  if (!options.constraint) return {};
  const std::vector<std::int64_t> ids(ends.begin(), ends.end());
  return ConstraintMatcher(*options.constraint, ids);
}

StopFilter::StopFilter(std::vector<std::string> stops, std::span<const std::string> patterns)
    : stops_(std::move(stops)) {
  for (const std::string& pattern : patterns) {
    try {
      patterns_.push_back(std::make_shared<const Regex>(pattern));
    } catch (const Error& error) {
      throw Error(ErrorKind::usage, error.message(), {.field = "stop_regex", .found = pattern + ": " + error.found()});
    }
    if (!patterns_.back()->find_all("").empty()) {
      throw Error(ErrorKind::usage, "a pattern that matches where there is nothing",
                  {.field = "stop_regex", .found = pattern});
    }
  }
}

std::string StopFilter::show_until(std::size_t end) {
  std::string piece = text_.substr(shown_, end - shown_);
  shown_ = end;
  if (patterns_.empty()) {
    text_.erase(0, shown_);
    shown_ = 0;
  }
  return piece;
}

std::string StopFilter::push(std::string_view text) {
  if (stopped_) return {};
  text_ += text;
  const std::string_view held = std::string_view(text_).substr(shown_);
  std::size_t first = std::string::npos;
  std::size_t hold = 0;
  for (const std::string& stop : stops_) {
    const std::size_t found = held.find(stop);
    if (found != std::string::npos) first = std::min(first, shown_ + found);
    hold = std::max(hold, partial_match(held, stop));
  }
  for (const auto& pattern : patterns_) {
    const auto found = pattern->find_in_stream(text_, shown_, false);
    if (!found) continue;
    if (found->complete) first = std::min(first, found->start);
    hold = std::max(hold, text_.size() - std::max(found->start, shown_));
  }
  stopped_ = first != std::string::npos;
  return show_until(stopped_ ? first : text_.size() - hold);
}

std::string StopFilter::finish() {
  if (stopped_) return {};
  std::size_t first = std::string::npos;
  for (const auto& pattern : patterns_) {
    if (const auto found = pattern->find_in_stream(text_, shown_, true)) first = std::min(first, found->start);
  }
  stopped_ = first != std::string::npos;
  return show_until(stopped_ ? first : text_.size());
}

}  // namespace powerhouse
