// Builds a dataset's report from the facts of its rows.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "powerhouse/dataset_report.h"
#include "training/data/row_facts.h"

namespace powerhouse::training {

class ReportBuilder {
 public:
  /// `tokens` of a usable row are those that it has in training.
  void add(const RowFacts& facts, std::int64_t tokens, const std::function<RowPlace()>& place);
  DatasetReport finish();

 private:
  static constexpr std::size_t kExamples = 5;

  DatasetReport report_;
  std::array<ProblemRows, static_cast<std::size_t>(RowProblem::prompt_merged) + 1> problems_;
  std::vector<std::uint32_t> lengths_;
};

}  // namespace powerhouse::training
