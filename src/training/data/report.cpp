// The report: sums, nearest-rank percentiles, and for each problem where it occurs first.
#include "training/data/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace powerhouse {

std::string_view to_string(RowProblem problem) noexcept {
  switch (problem) {
    case RowProblem::too_long: return "too long, left out";
    case RowProblem::truncated: return "too long, truncated";
    case RowProblem::cut_up: return "too long, cut into several";
    case RowProblem::too_short: return "too short, left out";
    case RowProblem::filtered: return "filtered, left out";
    case RowProblem::empty_target: return "empty target, left out";
    case RowProblem::no_targets: return "every label masked, left out";
    case RowProblem::lost_turn: return "a trained turn missing in the chat template's text";
    case RowProblem::doubled_bos: return "doubled BOS";
    case RowProblem::missing_eos: return "missing EOS";
    case RowProblem::duplicate: return "duplicate";
    case RowProblem::contaminated: return "shares 13 words with a training row";
    case RowProblem::identical_pair: return "chosen and rejected are the same";
    case RowProblem::prompt_too_long: return "no room behind the prompt, left out";
    case RowProblem::prompt_truncated: return "prompt truncated";
    case RowProblem::prompt_merged: return "a prompt that ends otherwise in front of its completion";
  }
  return "unknown";
}

const ProblemRows* DatasetReport::find(RowProblem problem) const {
  for (const ProblemRows& rows : problems) {
    if (rows.problem == problem) return &rows;
  }
  return nullptr;
}

std::string DatasetReport::text() const {
  char line[256];
  const double share = tokens > 0 ? 100.0 * static_cast<double>(target_tokens) / static_cast<double>(tokens) : 0.0;
  std::snprintf(line, sizeof line, "rows %lld, usable %lld; tokens %lld, targets %lld (%.1f %%)\n",
                static_cast<long long>(rows), static_cast<long long>(usable_rows), static_cast<long long>(tokens),
                static_cast<long long>(target_tokens), share);
  std::string out = line;
  std::snprintf(line, sizeof line,
                "tokens a row: min %lld, median %lld, 90 %% %lld, 95 %% %lld, 99 %% %lld, max %lld, mean %.1f\n",
                static_cast<long long>(lengths.min), static_cast<long long>(lengths.p50),
                static_cast<long long>(lengths.p90), static_cast<long long>(lengths.p95),
                static_cast<long long>(lengths.p99), static_cast<long long>(lengths.max), lengths.mean);
  out += line;
  for (const ProblemRows& problem : problems) {
    out += std::string(to_string(problem.problem)) + ": " + std::to_string(problem.rows) +
           (problem.rows == 1 ? " row (" : " rows (");
    for (std::size_t i = 0; i < problem.examples.size(); ++i) {
      if (i > 0) out += ", ";
      out += problem.examples[i].file + ":" + std::to_string(problem.examples[i].line);
    }
    if (problem.rows > static_cast<std::int64_t>(problem.examples.size())) out += ", ...";
    out += ")\n";
  }
  return out;
}

namespace training {

bool ProblemSet::leaves_out() const {
  constexpr RowProblem kLeftOut[] = {RowProblem::too_long,     RowProblem::too_short,  RowProblem::filtered,
                                     RowProblem::empty_target, RowProblem::no_targets, RowProblem::prompt_too_long};
  return std::any_of(std::begin(kLeftOut), std::end(kLeftOut), [this](RowProblem problem) { return has(problem); });
}

void ReportBuilder::add(const RowFacts& facts, std::int64_t tokens, const std::function<RowPlace()>& place) {
  ++report_.rows;
  lengths_.push_back(facts.length);
  if (!facts.problems.leaves_out()) {
    ++report_.usable_rows;
    report_.tokens += tokens;
    report_.target_tokens += facts.targets;
  }
  for (std::size_t i = 0; i < problems_.size(); ++i) {
    if (!facts.problems.has(static_cast<RowProblem>(i))) continue;
    ++problems_[i].rows;
    if (problems_[i].examples.size() < kExamples) problems_[i].examples.push_back(place());
  }
}

DatasetReport ReportBuilder::finish() {
  for (std::size_t i = 0; i < problems_.size(); ++i) {
    problems_[i].problem = static_cast<RowProblem>(i);
    if (problems_[i].rows > 0) report_.problems.push_back(std::move(problems_[i]));
  }
  if (lengths_.empty()) return std::move(report_);
  std::sort(lengths_.begin(), lengths_.end());
  const auto percentile = [&](double share) {
    const double rank = std::ceil(share * static_cast<double>(lengths_.size()));
    return static_cast<std::int64_t>(lengths_[static_cast<std::size_t>(std::max(rank, 1.0)) - 1]);
  };
  double sum = 0;
  for (const std::uint32_t length : lengths_) sum += length;
  report_.lengths = {.min = lengths_.front(),
                     .p50 = percentile(0.5),
                     .p90 = percentile(0.9),
                     .p95 = percentile(0.95),
                     .p99 = percentile(0.99),
                     .max = lengths_.back(),
                     .mean = sum / static_cast<double>(lengths_.size())};
  return std::move(report_);
}

}  // namespace training
}  // namespace powerhouse
