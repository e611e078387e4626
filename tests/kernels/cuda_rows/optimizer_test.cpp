// CUDA's steps of optimizers, run on the CPU.
#include "kernels/cuda_rows/optimizer_case.h"

namespace powerhouse::testing {
namespace {

/// Where shapes go wrong first, then up to three blocks of codes that end anywhere.
std::vector<CodedCase> coded_cases(std::mt19937& engine) {
  std::vector<CodedCase> cases{{0, true, true, true, 0},     {1, false, true, true, 0},
                               {8, true, true, false, 0},    {255, true, false, false, 0.1f},
                               {256, true, true, false, 0},  {257, false, true, false, 0},
                               {2048, false, true, true, 0}, {5000, false, true, false, 0.01f}};
  while (cases.size() < 68) {
    const bool master = engine() % 2 == 0;
    cases.push_back({static_cast<std::int64_t>(engine() % 700 + 1), master, !master || engine() % 3 != 0,
                     engine() % 4 == 0, engine() % 2 == 0 ? 0.05f : 0.0f});
  }
  return cases;
}

TEST(CudaOptimizerTest, AdamWithCodes) {
  std::mt19937 engine(23);
  for (const Element type : kElements) {
    ComparedCodes codes;
    for (const CodedCase& one : coded_cases(engine)) {
      const std::uint64_t seed = engine();
      for (const cuda_on_host::Order order : kSchedules) {
        ASSERT_EQ(wrong_coded_update(one, type, order, seed, codes), "") << one.elements << " elements";
      }
    }
    EXPECT_LE(500 * codes.moved, codes.all);
  }
}

TEST(CudaOptimizerTest, RulesOverManyParameters) {
  // One chunk and an element more, parameters of no element, one alone, and what is no multiple of what threads take.
  const std::vector<std::int64_t> tables[] = {{1, 7, 4096, 4097, 24}, {0, 33, 0, 256, 0}, {513}, {9, 1000, 2}};
  std::uint64_t seed = 0;
  for (const Element type : kElements) {
    for (const bool wide_states : {true, false}) {
      for (const RuleCase& one : rule_cases()) {
        for (const std::vector<std::int64_t>& sizes : tables) {
          ++seed;
          for (const cuda_on_host::Order order : kSchedules) {
            ASSERT_EQ(wrong_update(one, type, wide_states, sizes, order, seed), "")
                << "rule " << static_cast<int>(one.rule) << " states " << one.states;
          }
        }
      }
    }
  }
}

TEST(CudaOptimizerTest, SumsOfSquares) {
  std::mt19937 engine(5);
  for (int table = 0; table < 210; ++table) {
    const Element type = kElements[table % 3];
    std::vector<std::int64_t> sizes{1, 7, 4096, 4097, 20000, 24};
    if (table >= 3) {
      sizes.resize(engine() % 4 + 1);
      for (std::int64_t& size : sizes) size = static_cast<std::int64_t>(engine() % (table % 30 == 3 ? 9000 : 300));
    }
    std::vector<double> first, sums;
    for (const cuda_on_host::Order order : kSchedules) {
      ASSERT_EQ(wrong_sums(type, sizes, order, static_cast<std::uint64_t>(table), sums), "") << table;
      if (first.empty()) first = sums;
      ASSERT_EQ(sums, first) << "a sum depends on time";
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
