// What the first pass over the data has found out about a row.
#pragma once

#include <cstdint>

#include "powerhouse/dataset_report.h"

namespace powerhouse::training {

/// Problems of one row, a bit each.
class ProblemSet {
 public:
  void add(RowProblem problem) { bits_ |= 1u << static_cast<unsigned>(problem); }
  bool has(RowProblem problem) const { return (bits_ >> static_cast<unsigned>(problem) & 1u) != 0; }
  /// Whether one of them keeps the row out of training.
  bool leaves_out() const;

 private:
  std::uint32_t bits_ = 0;
};

struct RowFacts {
  std::uint32_t length = 0;   // tokens, before anything is cut
  std::uint32_t targets = 0;  // that count in the loss, after cutting
  ProblemSet problems;
};

}  // namespace powerhouse::training
