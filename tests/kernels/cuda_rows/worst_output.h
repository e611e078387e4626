// The output of a product that is wrong by the most, in words.
#pragma once

#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>

namespace powerhouse::testing {

class WorstOutput {
 public:
  /// One output: allowed to differ from what is expected by so much.
  void see(std::int64_t row, std::int64_t output, double found, double expected, double allowed) {
    const double excess = std::abs(found - expected) / allowed;
    if (excess <= worst_) return;  // NaN is not
    worst_ = std::isnan(excess) ? 1e300 : excess;
    std::ostringstream out;
    out << "y of row " << row << " output " << output << " is " << found << ", expected " << expected << " (" << excess
        << " times the tolerance)";
    said_ = out.str();
  }
  /// Empty where all are right.
  const std::string& said() const { return said_; }

 private:
  double worst_ = 1;
  std::string said_;
};

}  // namespace powerhouse::testing
