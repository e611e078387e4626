#include "calibration/calibration_data.h"

#include <gtest/gtest.h>

#include "tests/expect_error.h"

namespace powerhouse::testing {
namespace {

TEST(CalibrationData, RunsThatTwoTextsShare) {
  std::vector<std::int64_t> a, b;
  for (std::int64_t i = 0; i < 100; ++i) a.push_back(i * i % 89);
  b.assign(a.begin() + 30, a.begin() + 70);
  b.insert(b.begin(), 5, 7);
  EXPECT_EQ(shared_runs(a, b, 32), 9);  // 40 tokens hold 9 runs of 32
  EXPECT_EQ(shared_runs(a, b, 41), 0);
  EXPECT_EQ(shared_runs(b, a, 40), 1);
  EXPECT_EQ(shared_runs(a, std::vector<std::int64_t>{}, 32), 0);
}

}  // namespace
}  // namespace powerhouse::testing
