// CUDA's products of few rows with weights of blocks, run on the CPU: against the definition in float64.
#include "kernels/cuda_rows/device_blocks.h"
#include "kernels/cuda_rows/few_products_case.h"

namespace powerhouse::testing {
namespace {

class CudaFewProductsTest : public ::testing::Test {
 protected:
  void expect_right(const FewProductCase& one) {
    FewProductProblem problem(one, engine_);
    std::unique_ptr<Buffer> first;
    for (const cuda_on_host::Order order : kSchedules) {
      ASSERT_EQ(problem.run(order), "clean") << one;
      ASSERT_EQ(problem.wrong(), "") << one;
      ASSERT_EQ(problem.costly(), "") << one;
      if (!first) first = std::make_unique<Buffer>(problem.result());
      ASSERT_TRUE(problem.result() == *first) << "a result depends on time: " << one;
    }
  }

  std::mt19937 engine_{37};
};

TEST_F(CudaFewProductsTest, OfFloat32) {
  for (const BlockFormat format : kFormats) {
    for (const FewProductCase& one : few_product_cases(format, Element::f32, engine_)) expect_right(one);
  }
}

TEST_F(CudaFewProductsTest, OnTensorCores) {
  int turn = 0;
  for (const BlockFormat format : kFormats) {
    for (FewProductCase one : few_product_cases(format, Element::bf16, engine_)) {
      if (++turn % 2 == 0) one.type = Element::f16;
      expect_right(one);
    }
    ++turn;  // the next format has its shapes with the other type
  }
}

}  // namespace
}  // namespace powerhouse::testing
