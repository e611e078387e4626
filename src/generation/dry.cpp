// DRY ("don't repeat yourself", p-e-w 2024), as llama.cpp has it: of every token that would prolong what the end of the
// text repeats, the logit falls exponentially with the length of that repetition.
#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "powerhouse/logits_processors.h"

namespace powerhouse::processors {

// By its first token: what has to follow. Empty where the token holds all of the text.
struct DryBreakers::Impl {
  std::unordered_map<std::int64_t, std::vector<std::vector<std::int64_t>>> tails;
};

namespace {

constexpr std::size_t kLongestText = 40;  // llama.cpp's bounds
constexpr std::size_t kLongestTail = 20;

using Tails = std::vector<std::vector<std::int64_t>>;

void add(Tails& tails, std::vector<std::int64_t> tail) {
  if (std::find(tails.begin(), tails.end(), tail) == tails.end()) tails.push_back(std::move(tail));
}

// The ways in which `word` may begin `text`: every end of the word that is a beginning of the text.
void find_beginnings(const Tokenizer& tokenizer, std::string_view word, std::string_view text, Tails& tails) {
  if (word.find(text) != std::string_view::npos) return add(tails, {});
  const std::size_t longest = std::min(word.size(), text.size() - 1);
  for (std::size_t length = longest; length > 0; --length) {
    if (!word.ends_with(text.substr(0, length))) continue;
    auto tail = tokenizer.encode(text.substr(length), {.add_special_tokens = false, .parse_special = false});
    tail.resize(std::min(tail.size(), kLongestTail));
    add(tails, std::move(tail));
  }
}

// How many of the last tokens a repetition may reach back: up to the last breaker.
std::int64_t reach(std::span<const std::int64_t> ids, const DryBreakers::Impl& breakers) {
  const std::int64_t count = std::ssize(ids);
  const auto back = [&](std::int64_t i) { return ids[static_cast<std::size_t>(count - 1 - i)]; };
  for (std::int64_t i = 0; i < count; ++i) {
    const auto found = breakers.tails.find(back(i));
    if (found == breakers.tails.end()) continue;
    std::int64_t longest = -1;
    for (const auto& tail : found->second) {
      if (std::ssize(tail) > i) continue;
      const auto at = static_cast<std::size_t>(count - i);
      if (std::equal(tail.begin(), tail.end(), ids.begin() + static_cast<std::ptrdiff_t>(at))) {
        longest = std::max(longest, std::ssize(tail));
      }
    }
    if (longest >= 0) return i - longest;
  }
  return count;
}

// For every k, how many tokens before the last k equal those at the end, backwards: the Z-function of the reversed ids.
std::vector<std::int64_t> repeats(std::span<const std::int64_t> ids) {
  const std::int64_t count = std::ssize(ids);
  const auto back = [&](std::int64_t i) { return ids[static_cast<std::size_t>(count - 1 - i)]; };
  std::vector<std::int64_t> z(ids.size(), 0);
  for (std::int64_t k = 1, left = 0, right = 0; k < count; ++k) {
    std::int64_t length = k < right ? std::min(right - k, z[static_cast<std::size_t>(k - left)]) : 0;
    while (k + length < count && back(length) == back(k + length)) ++length;
    z[static_cast<std::size_t>(k)] = length;
    if (k + length > right) {
      left = k;
      right = k + length;
    }
  }
  return z;
}

}  // namespace

DryBreakers::DryBreakers(const Tokenizer& tokenizer, std::span<const std::string> texts) {
  auto found = std::make_shared<Impl>();
  for (std::int64_t id = 0; id < static_cast<std::int64_t>(tokenizer.vocab_size()); ++id) {
    const std::string word = tokenizer.decode({&id, 1});
    Tails tails;
    for (const std::string& text : texts) {
      find_beginnings(tokenizer, word, std::string_view(text).substr(0, kLongestText), tails);
    }
    if (!tails.empty()) found->tails.emplace(id, std::move(tails));
  }
  impl_ = std::move(found);
}

void Dry::operator()(std::span<float> logits, const LogitsContext& context) const {
  if (multiplier == 0.0f || base < 1.0f || last_n == 0) return;
  const std::int64_t count = last_n < 0 ? std::ssize(context.ids) : std::min(last_n, std::ssize(context.ids));
  if (count <= allowed_length) return;
  const auto ids = context.ids.last(static_cast<std::size_t>(count));
  static const DryBreakers::Impl none{};
  const DryBreakers::Impl& known = breakers ? breakers->impl() : none;
  const std::int64_t limit = reach(ids, known);
  if (limit < allowed_length) return;
  const std::vector<std::int64_t> z = repeats(ids);
  std::unordered_map<std::int64_t, std::int64_t> longest;
  for (std::int64_t k = 1; k < count; ++k) {
    const std::int64_t length = std::min(z[static_cast<std::size_t>(k)], limit);
    if (length < allowed_length) continue;
    std::int64_t& known_length = longest.try_emplace(ids[static_cast<std::size_t>(count - k)], length).first->second;
    known_length = std::max(known_length, length);
  }
  // Where the power would leave float32.
  const auto largest = base > 1.000001f ? static_cast<std::int64_t>(88.7228391f / std::log(base)) : 0;
  for (const auto& [id, length] : longest) {
    if (static_cast<std::size_t>(id) >= logits.size()) continue;
    const auto tails = known.tails.find(id);
    if (tails != known.tails.end() &&
        std::find(tails->second.begin(), tails->second.end(), std::vector<std::int64_t>()) != tails->second.end()) {
      continue;
    }
    const std::int64_t beyond = length - allowed_length;
    const auto exponent = static_cast<double>(largest > 0 ? std::min(beyond, largest) : beyond);
    logits[static_cast<std::size_t>(id)] -= static_cast<float>(multiplier * std::pow(double{base}, exponent));
  }
}

}  // namespace powerhouse::processors
