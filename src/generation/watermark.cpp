// The numbers are torch's: a permutation of the vocabulary by a Mersenne Twister, of which only the part that is green
// is drawn.
#include "powerhouse/watermark.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "generation/mersenne_twister.h"
#include "generation/option_bounds.h"
#include "generation/row_statistics.h"
#include "generation/watermark_bias.h"
#include "powerhouse/error.h"
#include "powerhouse/logits_processors.h"

namespace powerhouse {
namespace {

constexpr std::uint32_t kTableSize = 1'000'003;

// Calls swap(i, j) for the first `count` steps of torch.randperm(size) by a seed: each place is swapped with one at or
// behind it. swap says whether to go on.
template <typename Swap>
void shuffle(std::uint64_t seed, std::uint32_t size, std::uint32_t count, Swap swap) {
  MersenneTwister numbers(static_cast<std::uint32_t>(seed));
  std::int32_t distances[MersenneTwister::kWords];
  const std::uint32_t steps = std::min(count, size - 1);
  for (std::uint32_t first = 0; first < steps; first += MersenneTwister::kWords) {
    const auto& drawn = numbers.next();
    // Remainders, by float64: it has quotients and products of numbers below 2^32 exactly, and divides several at once.
    for (std::uint32_t i = 0; i < MersenneTwister::kWords; ++i) {
      // At least two places are left at each step.
      const double left = std::max(static_cast<std::int32_t>(size - (first + i)), 2);
      const double number = static_cast<std::int32_t>(drawn[i] ^ 0x80000000u) + 2147483648.0;  // converts as signed
      const double quotient = static_cast<std::int32_t>(number / left);
      distances[i] = static_cast<std::int32_t>(number - quotient * left);
    }
    const std::uint32_t until = std::min<std::uint32_t>(MersenneTwister::kWords, steps - first);
    for (std::uint32_t i = 0; i < until; ++i) {
      if (!swap(first + i, first + i + static_cast<std::uint32_t>(distances[i]))) return;
    }
  }
}

std::vector<std::uint32_t> permutation(std::uint64_t seed, std::uint32_t size, std::uint32_t count) {
  std::vector<std::uint32_t> all(size);
  std::iota(all.begin(), all.end(), 0u);
  shuffle(seed, size, count, [&](std::uint32_t i, std::uint32_t j) {
    std::swap(all[i], all[j]);
    return true;
  });
  all.resize(count);
  return all;
}

// Whether a token comes among the first `count`: where it lies is all that is followed.
bool in_permutation(std::uint64_t seed, std::uint32_t size, std::uint32_t count, std::uint32_t token) {
  std::uint32_t place = token;
  bool found = false;
  shuffle(seed, size, count, [&](std::uint32_t i, std::uint32_t j) {
    found = j == place;  // it comes to i, and stays there
    if (i == place) place = j;
    return !found;
  });
  return found || place < std::min(count, size);
}

// Adds `bias` to those of `ids` that come among the first `count`: only their ways through the permutation are
// followed. Number holds as many as there are ids: bytes lie in the first-level cache.
template <typename Number>
void bias_few(std::uint64_t seed, std::uint32_t size, std::uint32_t count, std::span<const std::int64_t> ids,
              float bias, std::span<float> logits) {
  std::vector<Number> numbers(size);  // of the token at each place, from 1; 0 for others
  for (std::size_t i = 0; i < ids.size(); ++i) numbers[static_cast<std::size_t>(ids[i])] = static_cast<Number>(i + 1);
  const auto stays = [&](Number token) {
    if (token != 0) logits[static_cast<std::size_t>(token) - 1] += bias;
  };
  shuffle(seed, size, count, [&](std::uint32_t i, std::uint32_t j) {
    const Number token = numbers[j];
    numbers[j] = numbers[i];
    stays(token);
    return true;
  });
  if (count == size) stays(numbers[size - 1]);  // the place behind the last step
}

using Table = std::vector<std::uint32_t>;

// selfhash's table of a key: made once, as it takes 10 ms.
std::shared_ptr<const Table> hash_table(std::int64_t key) {
  static std::mutex mutex;
  static std::pair<std::int64_t, std::shared_ptr<const Table>> last{-1, nullptr};
  const std::lock_guard lock(mutex);
  if (last.first != key || !last.second) {
    last = {key, std::make_shared<Table>(permutation(static_cast<std::uint64_t>(key), kTableSize, kTableSize))};
  }
  return last.second;
}

// What the part of the vocabulary behind `context` is drawn by. lefthash multiplies Python's integers, which do not
// wrap; selfhash int64 tensors, which do. Either takes the remainder by 2^64 - 1.
std::uint64_t seed_of(const WatermarkOptions& options, std::span<const std::int64_t> context) {
  __extension__ using Wide = unsigned __int128;
  const auto key = static_cast<std::uint64_t>(options.hashing_key);
  if (options.seeding_scheme == WatermarkSeeding::lefthash) {
    return static_cast<std::uint64_t>(Wide{key} * static_cast<std::uint64_t>(context.back()) % ~std::uint64_t{0});
  }
  const auto table = hash_table(options.hashing_key);
  const auto entry = [&](std::int64_t id) {
    return std::uint64_t{(*table)[static_cast<std::size_t>(id) % kTableSize]} + 1;
  };
  const auto seen = context.last(std::min(context.size(), static_cast<std::size_t>(options.context_width)));
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t id : seen) {
    least = std::min(least, static_cast<std::int64_t>(key * entry(id) * entry(seen.back())));
  }
  // Python's remainder is not negative.
  return static_cast<std::uint64_t>(least) - (least < 0 ? 1 : 0);
}

std::uint32_t green_count(const WatermarkOptions& options, std::size_t vocabulary) {
  return static_cast<std::uint32_t>(static_cast<double>(vocabulary) * options.greenlist_ratio);
}

bool is_green(const WatermarkOptions& options, std::size_t vocabulary, std::span<const std::int64_t> context,
              std::int64_t token) {
  return in_permutation(seed_of(options, context), static_cast<std::uint32_t>(vocabulary),
                        green_count(options, vocabulary), static_cast<std::uint32_t>(token));
}

}  // namespace

std::string_view to_string(WatermarkSeeding scheme) noexcept {
  return scheme == WatermarkSeeding::lefthash ? "lefthash" : "selfhash";
}

WatermarkSeeding parse_watermark_seeding(std::string_view text) {
  for (const WatermarkSeeding scheme : {WatermarkSeeding::lefthash, WatermarkSeeding::selfhash}) {
    if (text == to_string(scheme)) return scheme;
  }
  throw Error(ErrorKind::usage, "no such seeding scheme",
              {.field = "seeding_scheme", .expected = "lefthash or selfhash", .found = std::string(text)});
}

void bias_green(const WatermarkOptions& options, std::span<float> logits, std::span<const std::int64_t> ids,
                std::size_t vocabulary, const LogitsContext& context) {
  if (std::ssize(context.ids) < options.context_width || context.ids.empty() || logits.empty()) return;
  if (options.seeding_scheme == WatermarkSeeding::lefthash) {
    const std::uint64_t seed = seed_of(options, context.ids);
    const std::uint32_t count = green_count(options, vocabulary);
    const auto size = static_cast<std::uint32_t>(vocabulary);
    if (!ids.empty()) {
      const auto few = ids.size() < 256 ? bias_few<std::uint8_t> : bias_few<std::uint32_t>;
      return few(seed, size, count, ids, options.bias, logits);
    }
    for (const std::uint32_t id : permutation(seed, size, count)) logits[id] += options.bias;
    return;
  }
  constexpr std::size_t kBest = 40;  // as in transformers
  const std::vector<Candidate> front = ranked_candidates(logits, kBest);
  std::vector<std::int64_t> text(context.ids.begin(), context.ids.end());
  text.push_back(0);
  for (const Candidate& one : front) {
    const auto place = static_cast<std::size_t>(one.id);
    text.back() = ids.empty() ? one.id : ids[place];
    if (is_green(options, vocabulary, text, text.back())) logits[place] += options.bias;
  }
}

void processors::Watermark::operator()(std::span<float> logits, const LogitsContext& context) const {
  bias_green(options, logits, {}, logits.size(), context);
}

WatermarkReport detect_watermark(std::span<const std::int64_t> ids, std::int64_t vocab_size,
                                 const WatermarkOptions& options, bool ignore_repeated_ngrams,
                                 std::optional<std::int64_t> bos_token_id) {
  check_watermark(options);
  if (vocab_size < 1) out_of_bounds("vocab_size", "1 or more", static_cast<double>(vocab_size));
  if (!ids.empty() && bos_token_id && ids.front() == *bos_token_id) ids = ids.subspan(1);
  if (std::ssize(ids) - options.context_width < 1) {
    throw Error(ErrorKind::usage, "too few tokens to look for a watermark",
                {.field = "ids", .expected = "more than context_width", .found = std::to_string(ids.size())});
  }
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      throw Error(ErrorKind::range, "not a token of the vocabulary", {.field = "ids", .found = std::to_string(id)});
    }
  }
  const bool self = options.seeding_scheme == WatermarkSeeding::selfhash;
  const auto width = static_cast<std::size_t>(options.context_width) + (self ? 0 : 1);
  std::map<std::vector<std::int64_t>, std::int64_t> ngrams;
  for (std::size_t first = 0; first + width <= ids.size(); ++first) {
    const auto ngram = ids.subspan(first, width);
    ++ngrams[{ngram.begin(), ngram.end()}];
  }
  WatermarkReport report;
  for (const auto& [ngram, times] : ngrams) {
    const std::int64_t count = ignore_repeated_ngrams ? 1 : times;
    const std::span<const std::int64_t> context(ngram.data(), ngram.size() - (self ? 0 : 1));
    report.tokens_scored += count;
    if (is_green(options, static_cast<std::size_t>(vocab_size), context, ngram.back())) report.green_tokens += count;
  }
  const double ratio = options.greenlist_ratio;
  const auto scored = static_cast<double>(report.tokens_scored);
  report.green_fraction = static_cast<double>(report.green_tokens) / scored;
  report.z_score =
      (static_cast<double>(report.green_tokens) - ratio * scored) / std::sqrt(scored * ratio * (1 - ratio));
  report.p_value = 0.5 * std::erfc(report.z_score / std::sqrt(2.0));
  return report;
}

}  // namespace powerhouse
