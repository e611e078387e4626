#include "powerhouse/verifiable_rewards.h"

#include <cmath>
#include <set>
#include <string_view>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

void check(bool good, const char* field, const char* expected, double found) {
  if (good) return;
  throw Error(ErrorKind::range, "an option of a reward is out of its bounds",
              {.field = field, .expected = expected, .found = std::to_string(found)});
}

// A number of each completion, on its own.
template <typename Judge>
RewardFunction each(const char* name, Judge judge) {
  return {name, [judge](std::span<const Completion> completions) {
            std::vector<double> rewards;
            for (const Completion& one : completions) rewards.push_back(judge(one));
            return rewards;
          }};
}

bool thinks(std::string_view text) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  return text.starts_with(kOpen) && text.find(kOpen, kOpen.size()) == std::string_view::npos &&
         text.find(kClose, kOpen.size()) != std::string_view::npos;
}

}  // namespace

RewardFunction think_format_reward() {
  return each("think_format_reward", [](const Completion& one) { return thinks(one.text) ? 1.0 : 0.0; });
}

RewardFunction soft_overlong_punishment_reward(std::int64_t max_completion_len, std::int64_t soft_punish_cache) {
  check(max_completion_len >= 0, "max_completion_len", "0 or more", static_cast<double>(max_completion_len));
  check(soft_punish_cache >= 0, "soft_punish_cache", "0 or more", static_cast<double>(soft_punish_cache));
  return each("soft_overlong_punishment_reward", [=](const Completion& one) {
    const std::int64_t over = std::ssize(one.ids) - (max_completion_len - soft_punish_cache);
    if (over <= 0) return 0.0;
    return over <= soft_punish_cache ? -static_cast<double>(over) / static_cast<double>(soft_punish_cache) : -1.0;
  });
}

RewardFunction repetition_penalty_reward(std::int64_t ngram_size, double max_penalty) {
  check(ngram_size >= 1, "ngram_size", "1 or more", static_cast<double>(ngram_size));
  check(max_penalty <= 0 && std::isfinite(max_penalty), "max_penalty", "0 or less", max_penalty);
  return each("repetition_penalty_reward", [=](const Completion& one) {
    const std::int64_t count = std::ssize(one.ids) - ngram_size + 1;
    if (count <= 0) return 0.0;
    std::set<std::vector<std::int64_t>> ngrams;
    for (auto first = one.ids.begin(); first != one.ids.begin() + count; ++first) {
      ngrams.emplace(first, first + ngram_size);
    }
    return (1 - static_cast<double>(ngrams.size()) / static_cast<double>(count)) * max_penalty;
  });
}

}  // namespace powerhouse
