// A loss of the head's logits by chunks: against the plain composition in float64, and finite differences.
#include "ops/head_loss.h"

#include "ops/gradients.h"
#include "ops/head_fixture.h"

namespace powerhouse {
namespace {

using ops::ChunkLoss;
using testing::as_type;
using testing::check_gradients;
using testing::expect_near;
using testing::gradients;
using testing::kRows;
using testing::random_tensor;
using Tensors = std::vector<at::Tensor>;

struct ChunkVariant {
  float scale = 1;
  std::optional<float> softcap{};
  std::int64_t chunk_bytes = 16 << 20;
};
const ChunkVariant kChunkVariants[] = {
    {}, {.scale = 0.5f, .softcap = 3.0f}, {.scale = 2.0f, .chunk_bytes = 700}, {.softcap = 8.0f, .chunk_bytes = 1}};

// Hidden rows, the head's matrix, its bias, a factor a row.
Tensors tensors_with_factors(at::ScalarType type, bool bias = true) {
  Tensors all = testing::head_tensors(type, bias);
  all.push_back(random_tensor({kRows}, type == at::kDouble ? at::kDouble : at::kFloat, 4));
  return all;
}

// Any loss that is no sum over columns: factor * entropy-like term + a square of the largest.
at::Tensor loss_of_logits(const at::Tensor& logits, const at::Tensor& factors) {
  const at::Tensor logs = logits.log_softmax(-1);
  const at::Tensor each = logs.exp().mul(logs).sum(-1);
  return (factors.defined() ? each.mul(factors) : each).sum().add(logs.select(1, 7).square().sum());
}

at::Tensor by_chunks(const Tensors& t, const ChunkVariant& variant) {
  const auto loss = [&](std::int64_t first, const at::Tensor& logits, bool gradient) {
    const at::Tensor factors = t[3].defined() ? t[3].narrow(0, first, logits.size(0)) : t[3];
    return ops::chunk_loss_by_autograd(logits, factors, gradient, loss_of_logits);
  };
  return ops::head_loss(t[0], testing::head_of(t, variant.scale, variant.softcap), loss, t[3], variant.chunk_bytes);
}

at::Tensor whole_logits(const Tensors& t, const ChunkVariant& variant) {
  return testing::whole_logits(t, variant.scale, variant.softcap);
}
at::Tensor plain(const Tensors& t, const ChunkVariant& variant) {
  return loss_of_logits(whole_logits(t, variant), t[3]);
}

TEST(HeadLoss, EqualsTheComposition) {
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const ChunkVariant& variant : kChunkVariants) {
      for (const bool bias : {true, false}) {
        SCOPED_TRACE(::testing::Message() << type << " scale " << variant.scale << " bias " << bias);
        const Tensors all = tensors_with_factors(type, bias), exact = as_type(all, at::kDouble);
        const double tolerance = type == at::kFloat ? 2e-5 : 1.6e-2;
        EXPECT_EQ(by_chunks(all, variant).scalar_type(), at::kFloat);
        expect_near(by_chunks(all, variant), plain(exact, variant), tolerance);
        const Tensors found = gradients([&](const Tensors& t) { return by_chunks(t, variant); }, all);
        const Tensors expected = gradients([&](const Tensors& t) { return plain(t, variant); }, exact);
        for (std::size_t i = 0; i < all.size(); ++i) {
          SCOPED_TRACE(::testing::Message() << "gradient " << i);
          EXPECT_TRUE(!found[i].defined() || found[i].scalar_type() == all[i].scalar_type());
          expect_near(found[i], expected[i], 2 * tolerance);
        }
      }
    }
  }
}

TEST(HeadLoss, GradientsEqualFiniteDifferencesInFloat64) {
  const Tensors all = tensors_with_factors(at::kDouble);
  for (const ChunkVariant& variant : kChunkVariants) {
    expect_near(by_chunks(all, variant), plain(all, variant), 1e-12);
    check_gradients([&](const Tensors& t) { return by_chunks(t, variant); }, all);
  }
}

TEST(HeadLoss, OnlyWhatRequiresAGradientGetsOne) {
  const Tensors all = tensors_with_factors(at::kFloat);
  const Tensors whole = gradients([&](const Tensors& t) { return by_chunks(t, {}); }, all);
  for (std::size_t wanted = 0; wanted < all.size(); ++wanted) {
    Tensors some = all;
    some[wanted] = all[wanted].clone().requires_grad_(true);
    by_chunks(some, {}).backward(random_tensor({}, at::kFloat, 99));  // as `gradients` does
    expect_near(some[wanted].grad(), whole[wanted], 1e-6);
  }
  EXPECT_FALSE(by_chunks(all, {}).requires_grad());
}

TEST(HeadLoss, LogitsThatAreThereGetTheSame) {
  const Tensors all = tensors_with_factors(at::kFloat);
  const auto by_logits = [&](const Tensors& t) {
    const auto loss = [&](std::int64_t first, const at::Tensor& logits, bool gradient) {
      return ops::chunk_loss_by_autograd(logits, t[3].narrow(0, first, logits.size(0)), gradient, loss_of_logits);
    };
    return ops::logits_loss(whole_logits(t, {}), loss, t[3], 1000);
  };
  const Tensors found = gradients(by_logits, all);
  const Tensors expected = gradients([&](const Tensors& t) { return plain(t, {}); }, as_type(all, at::kDouble));
  for (std::size_t i = 0; i < all.size(); ++i) expect_near(found[i], expected[i], 2e-5);
}

}  // namespace
}  // namespace powerhouse
