// The first pass: every row is read, shaped and judged, in parallel but with results and errors in the files' order.
#include <algorithm>
#include <array>
#include <charconv>
#include <exception>
#include <utility>

#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/philox.h"
#include "support/sha256.h"
#include "support/thread_team.h"
#include "training/data/columns.h"
#include "training/data/corpus.h"

namespace powerhouse::training {
namespace {

constexpr std::int64_t kChunkRows = 2048;
constexpr std::uint64_t kChunkBytes = std::uint64_t{8} << 20;
constexpr std::uint32_t kSplitUse = 3;

std::uint64_t hash_of(std::string_view content) {
  const std::string digest = sha256(content);
  std::uint64_t value = 0;
  std::from_chars(digest.data(), digest.data() + 16, value, 16);
  return value;
}

}  // namespace

Corpus::Scanned Corpus::scan_row(std::int64_t row) const {
  const Source& source = source_of(row);
  const std::int64_t within = row - source.first;
  const Record record = source.file->read(within);
  try {
    Scanned out;
    out.row = source.shape->apply(record);
    out.ends = record.ends;
    out.content = hash_of(source.shape->content(record));
    out.group = out.content;
    if (!options_.group_field.empty()) {
      const Json& group = column(record.columns, options_.group_field);
      out.group = hash_of(group.is_string() ? group.as_string() : group.dump());
    }
    return out;
  } catch (const Error& error) {
    throw at_row(error, source.file->path(), source.file->line(within));
  }
}

void Corpus::scan() {
  facts_.resize(static_cast<std::size_t>(rows_));
  std::vector<std::uint64_t> contents, groups;
  token_begins_.push_back(0);
  for (std::int64_t first = 0; first < rows_;) {
    std::int64_t end = first;
    for (std::uint64_t size = 0; end < rows_ && end - first < kChunkRows && size < kChunkBytes; ++end)
      size += bytes(end);
    const auto count = static_cast<std::size_t>(end - first);
    std::vector<Scanned> scanned(count);
    std::vector<std::exception_ptr> failures(count);
    parallel_for(end - first, 1, [&](std::int64_t begin, std::int64_t stop) {
      for (std::int64_t i = begin; i < stop; ++i) {
        try {
          scanned[static_cast<std::size_t>(i)] = scan_row(first + i);
        } catch (...) {
          failures[static_cast<std::size_t>(i)] = std::current_exception();
        }
      }
    });
    for (std::size_t i = 0; i < count; ++i) {
      if (failures[i]) std::rethrow_exception(failures[i]);
      const std::int64_t row = first + static_cast<std::int64_t>(i);
      judge(row, scanned[i].row, scanned[i].ends);
      keep(row, scanned[i].row.example);
      contents.push_back(scanned[i].content);
      if (options_.val_set_size > 0) groups.push_back(scanned[i].group);
    }
    for (const Source& source : sources_) {
      const std::int64_t begin = std::max(first, source.first) - source.first;
      const std::int64_t stop = std::min(end - source.first, source.file->rows());
      if (begin < stop) source.file->release(begin, stop);
    }
    first = end;
  }
  mark_duplicates(contents);
  keep_longest();
  if (options_.val_set_size > 0) hold_back(groups);
}

void Corpus::judge(std::int64_t row, const ShapedRow& shaped, bool record_ends) {
  const auto& ids = shaped.example.input_ids;
  const auto& labels = shaped.example.labels;
  const auto length = static_cast<std::int64_t>(ids.size());
  Facts& facts = this->facts(row);
  facts.length = static_cast<std::uint32_t>(ids.size());
  std::int64_t counted = length;
  const Source& source = source_of(row);
  if (length > options_.sequence_len) {
    const ExcessLength strategy = options_.excess_length_strategy;
    if (strategy == ExcessLength::raise) {
      throw Error(ErrorKind::range, "a row longer than the sequence",
                  {.file = source.file->path(),
                   .field = "line " + std::to_string(source.file->line(row - source.first)),
                   .expected = "at most " + std::to_string(options_.sequence_len) + " tokens",
                   .found = std::to_string(length)});
    }
    if (strategy == ExcessLength::truncate) {
      facts.problems.add(RowProblem::truncated);
      counted = options_.sequence_len;
    } else if (strategy == ExcessLength::split || source.shape->cuts_long_rows()) {
      facts.problems.add(RowProblem::cut_up);
    } else {
      facts.problems.add(RowProblem::too_long);
    }
  }
  bool ends = false, any = false;
  for (std::int64_t i = 0; i < length; ++i) {
    const std::int64_t label = labels[static_cast<std::size_t>(i)];
    if (label == kIgnoredTarget) continue;
    any = any || i > 0;
    // The first token of a sequence is never predicted.
    if (i < counted && i % options_.sequence_len != 0) ++facts.targets;
    ends = ends || ends_.contains(label);
  }
  if (shaped.empty_target) facts.problems.add(RowProblem::empty_target);
  if (shaped.lost_turn) facts.problems.add(RowProblem::lost_turn);
  if (length < options_.min_tokens) {
    facts.problems.add(RowProblem::too_short);
  } else if (facts.targets == 0 && !shaped.empty_target) {
    facts.problems.add(RowProblem::no_targets);
  }
  if (options_.max_tokens > 0 && length > options_.max_tokens) facts.problems.add(RowProblem::filtered);
  const auto bos = tokenizer_.bos_token_id();
  if (bos && length > 1 && ids[0] == *bos && ids[1] == *bos) facts.problems.add(RowProblem::doubled_bos);
  if (any && !ends && record_ends && tokenizer_.eos_token_id()) facts.problems.add(RowProblem::missing_eos);
}

void Corpus::keep(std::int64_t row, const TrainingExample& example) {
  const auto mix = [&](std::uint64_t value) {
    digest_ = (digest_ ^ value) * 0x100000001B3u;
    digest_ ^= digest_ >> 29;
  };
  mix(example.input_ids.size());
  for (std::size_t i = 0; i < example.input_ids.size(); ++i) {
    mix(static_cast<std::uint64_t>(example.input_ids[i]) << 1 | (example.labels[i] != kIgnoredTarget ? 1 : 0));
  }
  if (!keeping_) return;
  const std::size_t count = facts(row).problems.leaves_out() ? 0 : example.input_ids.size();
  const std::uint64_t bytes = (tokens_.size() + count) * sizeof(std::int32_t) + token_begins_.size() * 8;
  if (bytes > static_cast<std::uint64_t>(std::max<std::int64_t>(options_.token_memory, 0))) {
    keeping_ = false;
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto id = static_cast<std::int32_t>(example.input_ids[i]);
    tokens_.push_back(example.labels[i] == kIgnoredTarget ? ~id : id);
  }
  token_begins_.push_back(tokens_.size());
}

void Corpus::mark_duplicates(const std::vector<std::uint64_t>& contents) {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> sorted;
  sorted.reserve(contents.size());
  for (std::size_t i = 0; i < contents.size(); ++i) sorted.emplace_back(contents[i], static_cast<std::uint32_t>(i));
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i].first == sorted[i - 1].first) facts_[sorted[i].second].problems.add(RowProblem::duplicate);
  }
}

void Corpus::keep_longest() {
  if (options_.longest_rows <= 0) return;
  std::vector<std::uint32_t> usable;
  for (std::size_t row = 0; row < facts_.size(); ++row) {
    if (!facts_[row].problems.leaves_out()) usable.push_back(static_cast<std::uint32_t>(row));
  }
  std::stable_sort(usable.begin(), usable.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return facts_[a].length > facts_[b].length; });
  for (std::size_t i = static_cast<std::size_t>(options_.longest_rows); i < usable.size(); ++i) {
    facts_[usable[i]].problems.add(RowProblem::filtered);
  }
}

void Corpus::hold_back(const std::vector<std::uint64_t>& groups) {
  validation_.assign(facts_.size(), false);
  const std::array<std::uint32_t, 2> key{static_cast<std::uint32_t>(options_.seed),
                                         static_cast<std::uint32_t>(options_.seed >> 32)};
  // Keyed by the seed, and the same for equal groups: the order in which rows would be held back.
  std::vector<std::pair<std::uint64_t, std::uint32_t>> order;
  for (std::size_t row = 0; row < groups.size(); ++row) {
    const auto words = philox({static_cast<std::uint32_t>(groups[row]), static_cast<std::uint32_t>(groups[row] >> 32),
                               kSplitUse, static_cast<std::uint32_t>(RandomStream::data)},
                              key);
    order.emplace_back(std::uint64_t{words[0]} << 32 | words[1], static_cast<std::uint32_t>(row));
  }
  std::sort(order.begin(), order.end());
  const double size = options_.val_set_size;
  std::int64_t held = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool with_last = i > 0 && order[i].first == order[i - 1].first && validation_[order[i - 1].second];
    // A share holds back at least one usable row: who asks for validation gets some, however few rows there are.
    const bool wanted = size < 1 ? static_cast<double>(order[i].first) * 0x1.0p-64 < size || held == 0
                                 : held < static_cast<std::int64_t>(size);
    if (!wanted && !with_last) break;
    validation_[order[i].second] = true;
    if (!facts_[order[i].second].problems.leaves_out()) ++held;
  }
}

}  // namespace powerhouse::training
