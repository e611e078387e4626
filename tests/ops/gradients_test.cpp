// Gradients of norms, rotary positions and activations by our kernels: against LibTorch's composition in float64, which
// is itself held to finite differences.
#include "ops/gradients.h"

#include "expect_error.h"
#include "ops/activation.h"
#include "ops/norm.h"
#include "ops/rope.h"
#include "random_tensor.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

using testing::as_type;
using testing::check_gradients;
using testing::expect_error;
using testing::expect_near;
using testing::gradients;
using testing::random_tensor;
using testing::rounding_tolerance;
using testing::same_bits;
using Tensors = std::vector<at::Tensor>;

class GradientsOfType : public ::testing::TestWithParam<at::ScalarType> {};
INSTANTIATE_TEST_SUITE_P(Types, GradientsOfType, ::testing::Values(at::kFloat, at::kBFloat16, at::kHalf));

// `op` takes all inputs; the same op in float64 is the composition.
template <typename Op>
void expect_gradients(const Op& op, const Tensors& inputs, at::ScalarType type, double factor = 1) {
  const Tensors typed = as_type(inputs, type);
  const Tensors exact = as_type(typed, at::kDouble);
  const Tensors found = gradients(op, typed);
  const Tensors expected = gradients(op, exact);
  expect_near(op(typed), op(exact), rounding_tolerance(type));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    SCOPED_TRACE(::testing::Message() << "input " << i);
    EXPECT_TRUE(!found[i].defined() || found[i].scalar_type() == type);
    expect_near(found[i], expected[i], factor * rounding_tolerance(type));
  }
}

const Norm kNorms[] = {{},
                       {.epsilon = 0.5f, .round_once = true},
                       {.unit_offset = true},
                       {.kind = NormKind::layer_norm},
                       {.kind = NormKind::layer_norm, .unit_offset = true},
                       {.kind = NormKind::layer_norm, .bias = true}};

TEST_P(GradientsOfType, Norms) {
  for (const Norm& choice : kNorms) {
    const auto op = [&](const Tensors& t) { return ops::norm(t[0], choice, t[1], t[2]); };
    const auto bias = [&](at::IntArrayRef sizes) {
      return choice.bias ? random_tensor(sizes, at::kDouble, 3) : at::Tensor();
    };
    const auto weight = [](at::IntArrayRef sizes) { return random_tensor(sizes, at::kDouble, 2); };
    for (const std::int64_t rows : {1, 7, 130}) {
      SCOPED_TRACE(::testing::Message() << "rows " << rows);
      expect_gradients(op, {random_tensor({rows, 33}, at::kDouble, 1), weight({33}), bias({33})}, GetParam());
      if (!choice.unit_offset) expect_gradients(op, {random_tensor({rows, 33}, at::kDouble, 1), {}, {}}, GetParam());
      const at::Tensor heads = random_tensor({rows, 5, 24}, at::kDouble, 4);
      expect_gradients(op, {heads, weight({24}), bias({24})}, GetParam());
      if (!choice.unit_offset) expect_gradients(op, {heads, weight({5, 24}), bias({5, 24})}, GetParam());
    }
    const auto strided = [&](const Tensors& t) {
      return ops::norm(t[0].narrow(1, 2, 3).narrow(2, 1, 20), choice, t[1], t[2]).transpose(1, 2);
    };
    expect_gradients(strided, {random_tensor({6, 9, 24}, at::kDouble, 4), weight({20}), bias({20})}, GetParam());
  }
}

TEST(Gradients, FiniteDifferencesOfNorms) {
  for (const Norm& choice : kNorms) {
    check_gradients([&](const Tensors& t) { return ops::norm(t[0], choice, t[1], t[2]); },
                    {random_tensor({3, 8}, at::kDouble, 1), random_tensor({8}, at::kDouble, 2),
                     choice.bias ? random_tensor({8}, at::kDouble, 3) : at::Tensor()});
  }
}

TEST(Gradients, OfANormsWeightHaveTheSameBitsOnAnyNumberOfThreads) {
  const Tensors inputs = {random_tensor({500, 576}, at::kBFloat16, 1), random_tensor({576}, at::kBFloat16, 2)};
  const auto by = [&](int threads) {
    set_team_threads(threads);
    return gradients([](const Tensors& t) { return ops::norm(t[0], {}, t[1]); }, inputs);
  };
  const int before = team_threads();
  const Tensors one = by(1);
  for (const int threads : {2, 3}) {
    const Tensors more = by(threads);
    for (std::size_t i = 0; i < inputs.size(); ++i) EXPECT_TRUE(same_bits(one[i], more[i])) << threads;
  }
  set_team_threads(before);
}

TEST(Gradients, OfANormOfNoRows) {
  const Tensors found = gradients([](const Tensors& t) { return ops::norm(t[0], {}, t[1]); },
                                  {random_tensor({0, 8}), random_tensor({8})});
  EXPECT_EQ(found[0].size(0), 0);
  EXPECT_EQ(found[1].abs().sum().item<float>(), 0);
}

TEST_P(GradientsOfType, RotaryPositions) {
  const std::vector<std::int64_t> positions = {0, 5, 6, 1000};
  for (const std::int64_t rotary_dim : {16, 12}) {
    for (const RopeLayout layout : {RopeLayout::half, RopeLayout::interleaved}) {
      const Rope rope{.rotary_dim = rotary_dim, .attention_factor = 1.25};
      ops::RopeTable table = ops::empty_rope_table(rope, 4);
      ops::fill_rope_table(table, 0, rope, ops::rope_frequencies(rope, 0), positions);
      const auto op = [&](const Tensors& t) { return ops::apply_rope(t[0], table, layout); };
      expect_gradients(op, {random_tensor({4, 3, 16}, at::kDouble, 1)}, GetParam());
      const auto strided = [&](const Tensors& t) {
        return ops::apply_rope(t[0].narrow(1, 1, 2), table, layout).transpose(1, 2);
      };
      expect_gradients(strided, {random_tensor({4, 5, 16}, at::kDouble, 1)}, GetParam());
      const auto scattered = [&](const Tensors& t) { return ops::apply_rope(t[0].transpose(1, 2), table, layout); };
      expect_gradients(scattered, {random_tensor({4, 16, 3}, at::kDouble, 1)}, GetParam());
      // What autograd looks on stays as it was.
      const at::Tensor x = random_tensor({4, 3, 16}, GetParam(), 1);
      const at::Tensor tracked = x.detach().clone().requires_grad_(true);
      ops::apply_rope(tracked, table, layout);
      EXPECT_TRUE(same_bits(tracked.detach(), x));
    }
  }
}

TEST_P(GradientsOfType, Activations) {
  for (const Activation kind : {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu,
                                Activation::relu, Activation::relu2}) {
    SCOPED_TRACE(static_cast<int>(kind));
    const auto gated = [&](const Tensors& t) { return ops::gated_activation(kind, t[0], t[1]); };
    const auto alone = [&](const Tensors& t) { return ops::activate(kind, t[0]); };
    const at::Tensor gate = random_tensor({5, 67}, at::kDouble, 1).mul(2);
    const at::Tensor up = random_tensor({5, 67}, at::kDouble, 2);
    expect_gradients(gated, {gate, up}, GetParam());
    expect_gradients(alone, {gate}, GetParam());
    const auto fused = [&](const Tensors& t) {
      return ops::gated_activation(kind, t[0].narrow(1, 0, 30), t[0].narrow(1, 30, 30)).t();
    };
    expect_gradients(fused, {gate}, GetParam());
    expect_gradients([&](const Tensors& t) { return ops::gated_activation(kind, t[0], t[0]); }, {gate}, GetParam());
  }
}

TEST(Gradients, ASecondDerivativeIsRefused) {
  const at::Tensor x = random_tensor({2, 8}).requires_grad_(true);
  const at::Tensor y = ops::activate(Activation::silu, x).sum();
  expect_error(ErrorKind::unsupported, "second derivative",
               [&] { y.backward({}, /*retain_graph=*/true, /*create_graph=*/true); });
}

}  // namespace
}  // namespace powerhouse
