#include "generation/stopping.h"

#include <algorithm>
#include <utility>

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

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}

std::string StopFilter::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  std::size_t first = std::string::npos;
  std::size_t hold = 0;
  for (const std::string& stop : stops_) {
    first = std::min(first, held_.find(stop));
    hold = std::max(hold, partial_match(held_, stop));
  }
  if (first != std::string::npos) {
    stopped_ = true;
    std::string shown = held_.substr(0, first);
    held_.clear();
    return shown;
  }
  std::string shown = held_.substr(0, held_.size() - hold);
  held_.erase(0, held_.size() - hold);
  return shown;
}

std::string StopFilter::finish() { return std::exchange(held_, {}); }

}  // namespace powerhouse
