// bf16 and f16: our logits may be as far from float32's as transformers' own are (stored by the oracle, position by
// position), and half as far again: sums are taken in another order, and here logits keep their float32.
#include <gtest/gtest.h>

#include "fixture.h"
#include "powerhouse/session.h"

namespace powerhouse {
namespace {

using namespace testing;

constexpr double kSlack = 1.5;

double root_mean_square(const at::Tensor& a, const at::Tensor& b) {
  return a.to(at::kDouble).sub(b.to(at::kDouble)).square().mean().sqrt().item<double>();
}

class HalfTypes : public ::testing::TestWithParam<std::tuple<TinyModel, Dtype>> {
 protected:
  TinyModel tiny_ = std::get<0>(GetParam());
  Dtype dtype_ = std::get<1>(GetParam());
  CausalLM model_ = load(tiny_.path, dtype_);
  Tensors expected_{fixture(tiny_.expected)};

  double allowed() const {
    const at::Tensor peer = expected_[std::string(to_string(dtype_)) + "_rms"];
    return kSlack * peer.square().mean().sqrt().item<double>();
  }
};

TEST_P(HalfTypes, StrayNoFurtherThanTransformers) {
  const at::Tensor logits = model_.forward(expected_["input_ids"].narrow(0, 0, 1))[0];
  EXPECT_EQ(model_.dtype(), dtype_);
  EXPECT_EQ(logits.scalar_type(), at::kFloat);
  const double apart = root_mean_square(logits, expected_["single_logits"]);
  EXPECT_LT(apart, allowed());
  EXPECT_GT(apart, 1e-5) << "this was computed in float32";
}

TEST_P(HalfTypes, StrayNoFurtherTokenByToken) {
  Session session(model_);
  const SequenceId sequence = session.create();
  const auto ids = to_vector(expected_["input_ids"].narrow(0, 0, 1));
  std::vector<at::Tensor> rows;
  for (const std::int64_t& id : ids) rows.push_back(session.forward(sequence, std::span(&id, 1)));
  EXPECT_LT(root_mean_square(concatenate(rows, 0), expected_["single_logits"]), allowed());
}

TEST_P(HalfTypes, StrayNoFurtherUnderAutograd) {
  model_.set_requires_grad(true);
  const at::Tensor logits = model_.forward(expected_["input_ids"].narrow(0, 0, 1))[0];
  EXPECT_TRUE(logits.requires_grad());
  EXPECT_LT(root_mean_square(logits.detach(), expected_["single_logits"]), allowed());
  logits.square().mean().backward();
  for (const auto& [name, parameter] : model_.named_parameters()) {
    ASSERT_TRUE(parameter.grad().defined()) << name;
    EXPECT_EQ(parameter.grad().scalar_type(), parameter.scalar_type()) << name;
    EXPECT_TRUE(parameter.grad().isfinite().all().item<bool>()) << name;
  }
}

std::string half_name(const ::testing::TestParamInfo<std::tuple<TinyModel, Dtype>>& info) {
  return std::string(std::get<0>(info.param).name) + "_" + std::string(to_string(std::get<1>(info.param)));
}

const auto kHalf = ::testing::Values(Dtype::bf16, Dtype::f16);
INSTANTIATE_TEST_SUITE_P(Folder, HalfTypes, ::testing::Combine(::testing::ValuesIn(kTinyFolders), kHalf), half_name);
INSTANTIATE_TEST_SUITE_P(Gguf, HalfTypes, ::testing::Combine(::testing::ValuesIn(kTinyGgufs), kHalf), half_name);

}  // namespace
}  // namespace powerhouse
