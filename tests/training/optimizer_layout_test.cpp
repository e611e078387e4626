// Parameters that do not lie row by row, as GPT-2's matrices, which are handed out transposed: elementwise methods work
// on memory as it lies, the others on the matrix that it means.
#include "training/optimizer_cases.h"

namespace powerhouse::testing {
namespace {

constexpr std::int64_t kRows = 70, kColumns = 300;

at::Tensor matrix(std::uint64_t seed, bool transposed, at::ScalarType dtype) {
  const at::Tensor as_it_lies = numbers(seed, {kColumns, kRows}, 8, dtype);
  return transposed ? as_it_lies.t() : as_it_lies;
}

enum class Gradient { as_parameter, row_by_row };

/// Weights and states after three steps, the states' tensors saved and loaded between the second and the third.
std::vector<NamedTensor> run(at::Tensor parameter, bool transposed, const OptimizerOptions& options,
                             const OptimizerStorage& storage, Gradient order = Gradient::as_parameter) {
  parameter.set_requires_grad(true);
  const std::vector<ParameterGroup> groups{{.parameters = {{"w", parameter}}}};
  auto optimizer = std::make_unique<Optimizer>(groups, options, storage);
  for (std::uint64_t step = 0; step < 3; ++step) {
    const at::Tensor gradient = matrix(100 + step, transposed, parameter.scalar_type());
    parameter.mutable_grad() = order == Gradient::as_parameter ? gradient : gradient.contiguous();
    if (step == 2) {
      auto resumed = std::make_unique<Optimizer>(groups, options, storage);
      resumed->load_state_dict(optimizer->state_dict());
      optimizer = std::move(resumed);
    }
    EXPECT_TRUE(optimizer->step({.grad_scale = 0.5}).applied);
  }
  std::vector<NamedTensor> result{{"w", parameter.detach()}};
  for (const auto& [name, tensor] : optimizer->state_dict()) result.emplace_back(name, tensor.clone());
  return result;
}

void expect_same(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b, bool turned,
                 const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    const at::Tensor x = turned && a[i].second.dim() == 2 ? a[i].second.t() : a[i].second;
    EXPECT_TRUE(same_bits(x.contiguous(), b[i].second.contiguous())) << what << " " << a[i].first;
  }
}

TEST(OptimizerLayout, ElementwiseMethodsStepTheTransposeOfWhatLiesTransposed) {
  const std::vector<std::pair<const char*, OptimizerOptions>> methods = {
      {"sgd", SgdOptions{.lr = 0.1, .momentum = 0.9}},
      {"adamw", AdamWOptions{}},
      {"adamw_8bit", AdamW8bitOptions{}},
      {"lion", LionOptions{}},
      {"adagrad", AdagradOptions{}},
      {"rmsprop", RmspropOptions{.momentum = 0.5}}};
  for (const auto& [name, options] : methods) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      for (const OptimizerStorage& storage : {OptimizerStorage{}, OptimizerStorage{.master_weights = true},
                                              OptimizerStorage{.stochastic_rounding = true}}) {
        const auto plain = run(matrix(1, false, dtype), false, options, storage);
        const at::Tensor strided = matrix(1, true, dtype);
        ASSERT_EQ(strided.sizes(), (std::vector<std::int64_t>{kRows, kColumns}));
        expect_same(run(strided, true, options, storage), plain, true, name);
        expect_same(run(matrix(1, true, dtype), true, options, storage, Gradient::row_by_row), plain, true, name);
      }
    }
  }
}

TEST(OptimizerLayout, AdafactorStepsTheMatrixThatIsMeant) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const bool master : {false, true}) {
      const AdafactorOptions options{.beta1 = 0.9};
      const OptimizerStorage storage{.master_weights = master};
      const auto strided = run(matrix(1, true, dtype), true, options, storage);
      const auto plain = run(matrix(1, true, dtype).contiguous(), true, options, storage, Gradient::row_by_row);
      for (std::size_t i = 0; i < plain.size(); ++i) {
        // The norm of the weights adds up in another order.
        const at::Tensor a = strided[i].second.to(at::kDouble), b = plain[i].second.to(at::kDouble);
        const double unit = plain[i].second.scalar_type() == at::kBFloat16 ? 0x1p-8 : 1e-6;
        EXPECT_LE(a.sub(b).abs().max().item<double>(), unit * b.abs().max().item<double>()) << plain[i].first;
        EXPECT_EQ(a.sizes(), b.sizes());
      }
    }
  }
}

TEST(OptimizerLayout, MuonStepsTheMatrixThatIsMeant) {
  for (const bool master : {false, true}) {
    const OptimizerStorage storage{.master_weights = master};
    const auto strided = run(matrix(1, true, at::kFloat), true, MuonOptions{}, storage);
    const auto plain = run(matrix(1, true, at::kFloat).contiguous(), true, MuonOptions{}, storage);
    const at::Tensor before = matrix(1, true, at::kFloat);
    const at::Tensor moved = plain[0].second.sub(before), other = strided[0].second.sub(before);
    EXPECT_GT(moved.norm().item<double>(), 0);
    EXPECT_LE(other.sub(moved).norm().item<double>(), 0.01 * moved.norm().item<double>());  // products of bf16
  }
}

}  // namespace
}  // namespace powerhouse::testing
