#include "calibration/calibration_data.h"

#include <algorithm>
#include <unordered_map>

#include "powerhouse/error.h"
#include "text/leading_bos.h"

namespace powerhouse {
namespace {

constexpr std::size_t kSharedRun = 32;  // tokens; shorter ones are phrases that any two texts may share

// Of each run of `length` ids: a polynomial in 2^64, moved on by one id a step.
template <typename Body>
void for_runs(std::span<const std::int64_t> ids, std::size_t length, Body&& body) {
  constexpr std::uint64_t kBase = 0x9E3779B97F4A7C15;
  if (ids.size() < length) return;
  std::uint64_t power = 1;
  for (std::size_t i = 1; i < length; ++i) power *= kBase;
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i >= length) hash -= power * static_cast<std::uint64_t>(ids[i - length] + 1);
    hash = hash * kBase + static_cast<std::uint64_t>(ids[i] + 1);
    if (i + 1 >= length) body(hash, i + 1 - length);
  }
}

}  // namespace

std::int64_t shared_runs(std::span<const std::int64_t> ids, std::span<const std::int64_t> other, std::size_t length) {
  std::unordered_multimap<std::uint64_t, std::size_t> runs;
  for_runs(other, length, [&](std::uint64_t hash, std::size_t at) {
    if (runs.count(hash) < 4) runs.emplace(hash, at);
  });
  std::int64_t shared = 0;
  for_runs(ids, length, [&](std::uint64_t hash, std::size_t at) {
    const auto [begin, end] = runs.equal_range(hash);
    shared += std::any_of(begin, end, [&](const auto& run) {
      return std::ranges::equal(ids.subspan(at, length), other.subspan(run.second, length));
    });
  });
  return shared;
}

void check_apart(const Tokenizer& tokenizer, std::span<const std::int64_t> ids, const std::string& evaluation_text,
                 const char* field) {
  if (evaluation_text.empty()) return;
  const std::int64_t shared = shared_runs(ids, tokenizer.encode(evaluation_text), kSharedRun);
  if (shared == 0) return;
  throw Error(ErrorKind::usage, "calibration and evaluation text overlap",
              {.field = field,
               .expected = "no run of " + std::to_string(kSharedRun) + " tokens in both",
               .found = std::to_string(shared) + " of " + std::to_string(ids.size())});
}

CalibrationData calibration_data(const Tokenizer& tokenizer, std::string_view text, std::int64_t longest,
                                 const CalibrationOptions& options) {
  const std::int64_t length = options.sequence_length;
  if (length < 2 || length > longest) {
    throw Error(ErrorKind::range, "no such length of calibration sequences",
                {.field = "sequence_length",
                 .expected = "2 to " + std::to_string(longest) + ", the model's context",
                 .found = std::to_string(length)});
  }
  if (options.sequences < 1) {
    throw Error(ErrorKind::range, "no calibration sequences",
                {.field = "sequences", .expected = "at least 1", .found = std::to_string(options.sequences)});
  }
  const std::vector<std::int64_t> ids = tokenizer.encode(text);
  const auto there = static_cast<std::int64_t>(ids.size()) / length;
  if (there < 1) {
    throw Error(ErrorKind::range, "the calibration text is too short",
                {.field = "calibration",
                 .expected = "at least " + std::to_string(length) + " tokens",
                 .found = std::to_string(ids.size())});
  }
  check_apart(tokenizer, ids, options.evaluation_text, "calibration");
  CalibrationData data;
  const std::int64_t count = std::min(there, options.sequences);
  if (count < options.sequences) {
    data.warnings.push_back("the calibration text has " + std::to_string(count) + " sequences of " +
                            std::to_string(length) + " tokens, not " + std::to_string(options.sequences));
  }
  const std::optional<std::int64_t> bos = leading_bos(tokenizer);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto begin = ids.begin() + i * there / count * length;
    data.sequences.emplace_back(begin, begin + length);
    if (bos) data.sequences.back().front() = *bos;
  }
  return data;
}

}  // namespace powerhouse
