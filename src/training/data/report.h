// Builds a dataset's report from the facts of its rows.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "powerhouse/dataset_report.h"
#include "training/data/corpus.h"

namespace powerhouse::training {

class ReportBuilder {
 public:
  explicit ReportBuilder(const Corpus& corpus) : corpus_(corpus) {}
  void add(std::int64_t row);
  DatasetReport finish();

 private:
  static constexpr std::size_t kExamples = 5;

  const Corpus& corpus_;
  DatasetReport report_;
  std::array<ProblemRows, static_cast<std::size_t>(RowProblem::contaminated) + 1> problems_;
  std::vector<std::uint32_t> lengths_;
};

}  // namespace powerhouse::training
