// Nodes that make their output again: the gradients of products that ask them are those of products that keep it.
#include "ops/remake.h"

#include "ops/activation.h"
#include "ops/adapted_linear.h"
#include "ops/checkpoint.h"
#include "ops/gradients.h"
#include "ops/norm.h"
#include "random_tensor.h"

namespace powerhouse {
namespace {

using ops::adapted_linear;
using ops::remaking_node;
using testing::gradients;
using testing::random_tensor;
using testing::same_bits;
using Tensors = std::vector<at::Tensor>;

constexpr Norm kRms{.epsilon = 1e-5f};

// x [9, 24], the norm's weight, three matrices (gate, up, down), A and B on each.
Tensors an_mlp(at::ScalarType type) {
  Tensors all = {random_tensor({9, 24}, type, 1), random_tensor({24}, type, 2)};
  for (std::uint64_t i = 0; i < 3; ++i) {
    const std::int64_t in = i < 2 ? 24 : 40;
    const std::int64_t out = i < 2 ? 40 : 24;
    all.push_back(random_tensor({out, in}, type, 10 + i).mul(0.2));
    all.push_back(random_tensor({4, in}, at::kFloat, 20 + i).mul(0.2));
    all.push_back(random_tensor({out, 4}, at::kFloat, 30 + i).mul(0.2));
  }
  return all;
}

at::Tensor by_matrix(const Tensors& t, std::size_t i, const at::Tensor& x, bool unread = false) {
  const ops::LinearPart part{
      .matrix = t[3 * i + 2],
      .terms = {{.a = t[3 * i + 3], .b = t[3 * i + 4], .scale = 0.5f, .dropout = {.rate = 0.1f}}},
      .unread = unread};
  return ops::adapted_linears(x, {&part, 1})[0];
}

at::Tensor mlp(const Tensors& t, bool unread = false) {
  const at::Tensor normed = ops::norm(t[0], kRms, t[1]);
  const at::Tensor inner = ops::gated_activation(Activation::silu, by_matrix(t, 0, normed), by_matrix(t, 1, normed));
  return by_matrix(t, 2, inner, unread).add(t[0]);
}

TEST(Remake, GradientsAreTheSameBits) {
  const auto plain = [](const Tensors& t) { return mlp(t); };
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    const Tensors all = an_mlp(type);
    const Tensors found = gradients(plain, all);
    const Tensors checkpointed = gradients(
        [](const Tensors& t) {
          return ops::checkpoint(
              [t](const at::Tensor& x, ops::PieceRun run) {
                Tensors inner = t;
                inner[0] = x;
                return mlp(inner, run == ops::PieceRun::again);
              },
              t[0]);
        },
        all);
    const ops::KeepEverything keep;
    const Tensors expected = gradients(plain, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_TRUE(same_bits(found[i], expected[i])) << type << ' ' << i;
      EXPECT_TRUE(same_bits(checkpointed[i], expected[i])) << type << ' ' << i;
    }
  }
}

TEST(Remake, FindsTheNodeOfAnOutputAlone) {
  const at::Tensor x = random_tensor({5, 8}).requires_grad_(true);
  const at::Tensor y = ops::norm(x, kRms, random_tensor({8}));
  ASSERT_TRUE(remaking_node(y));
  EXPECT_TRUE(same_bits(remaking_node(y)->output(), y.detach()));
  EXPECT_TRUE(remaking_node(ops::activate(Activation::gelu, y)));
  EXPECT_FALSE(remaking_node(x));
  EXPECT_FALSE(remaking_node(y.narrow(0, 0, 2)));
  EXPECT_FALSE(remaking_node(y.add(1.0)));
  EXPECT_FALSE(remaking_node(ops::norm(x.detach(), kRms, random_tensor({8}))));
  const ops::KeepEverything keep;
  EXPECT_FALSE(remaking_node(y));
}

// What is kept is the norm's input; its output lives no longer than whoever holds it.
TEST(Remake, TheOutputIsFreed) {
  const at::Tensor x = random_tensor({5, 8}).requires_grad_(true);
  const at::Tensor weight = random_tensor({6, 8}).requires_grad_(true);
  at::Tensor normed = ops::norm(x, kRms, random_tensor({8}));
  const c10::weak_intrusive_ptr<c10::TensorImpl> watched(normed.getIntrusivePtr());
  const at::Tensor y = adapted_linear(normed, weight, {}, {});
  normed.reset();
  EXPECT_TRUE(watched.expired());
  y.sum().backward();
  EXPECT_TRUE(weight.grad().defined() && x.grad().defined());
}

TEST(Remake, NoticesThatItsSourceChanged) {
  const at::Tensor leaf = random_tensor({5, 8}).requires_grad_(true);
  const at::Tensor weight = random_tensor({6, 8}).requires_grad_(true);
  const at::Tensor x = leaf.mul(2.0);
  const at::Tensor y = adapted_linear(ops::norm(x, kRms, random_tensor({8})), weight, {}, {});
  x.detach().add_(1.0);
  EXPECT_THROW(y.sum().backward(), c10::Error);
}

TEST(Remake, AGraphIsFreedUnlessItIsRetained) {
  const at::Tensor x = random_tensor({5, 8}).requires_grad_(true);
  const at::Tensor weight = random_tensor({6, 8}).requires_grad_(true);
  const at::Tensor loss = adapted_linear(ops::norm(x, kRms, random_tensor({8})), weight, {}, {}).sum();
  loss.backward({}, /*retain_graph=*/true);
  const at::Tensor once = weight.grad().clone();
  loss.backward();
  EXPECT_TRUE(same_bits(weight.grad(), once.mul(2.0)));
  EXPECT_THROW(loss.backward(), c10::Error);
}

}  // namespace
}  // namespace powerhouse
