// The head with cross entropy: against the plain composition in float64, and finite differences.
#include "ops/linear_cross_entropy.h"

#include <ATen/ops/gather_ops.h>

#include "expect_error.h"
#include "kernels/random_blocks.h"
#include "ops/dequantize.h"
#include "ops/gradients.h"
#include "ops/head_fixture.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using ops::CrossEntropyOptions;
using ops::VocabularyHead;
using testing::as_type;
using testing::check_gradients;
using testing::expect_error;
using testing::expect_near;
using testing::gradients;
using testing::head_tensors;
using testing::kHidden;
using testing::kRows;
using testing::kVocabulary;
using testing::random_tensor;
using testing::rounding_tolerance;
using testing::same_bits;
using Tensors = std::vector<at::Tensor>;

at::Tensor targets(bool ignore = true) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < kRows; ++i)
    values.push_back(ignore && i % 3 == 1 ? kIgnoredTarget : i * 17 % kVocabulary);
  return index_tensor(values);
}

at::Tensor weights(double first = 0.125) {
  at::Tensor result = empty_tensor({kRows}, at::kFloat);
  for (std::int64_t i = 0; i < kRows; ++i) result.select(0, i).fill_(first + 0.0625 * static_cast<double>(i % 4));
  return result;
}

struct Variant {
  float scale = 1;
  std::optional<float> softcap{};
  CrossEntropyOptions options{};
};

const Variant kVariants[] = {
    {},
    {.scale = 0.5f, .softcap = 3.0f},
    {.softcap = 8.0f, .options = {.label_smoothing = 0.1f, .z_loss = 0.01f, .chunk_bytes = 700}},
    {.options = {.chunk_bytes = 1}}};

VocabularyHead head_of(const Tensors& t, const Variant& variant) {
  return testing::head_of(t, variant.scale, variant.softcap);
}

at::Tensor loss_of(const Tensors& t, const Variant& variant, const at::Tensor& wanted) {
  return ops::linear_cross_entropy(t[0], head_of(t, variant), wanted, weights(), variant.options).loss;
}

at::Tensor log_probs_of(const Tensors& t, const Variant& variant, const at::Tensor& wanted) {
  return ops::linear_log_probs(t[0], head_of(t, variant), wanted, variant.options).log_probs;
}

// All that is known of each row, by plain operations written out here.
struct Plain {
  at::Tensor loss, log_probs, entropy, arg_max;
};

Plain composition(const Tensors& t, const Variant& variant, const at::Tensor& wanted) {
  const at::Tensor logits = testing::whole_logits(t, variant.scale, variant.softcap);
  const at::Tensor probabilities = logits.softmax(1);
  const at::Tensor logs = probabilities.log();
  const at::Tensor there = wanted.ge(0).to(t[0].scalar_type());
  const at::Tensor own = at::_ops::gather::call(logs, 1, wanted.clamp_min(0).unsqueeze(1), false).squeeze(1).mul(there);
  const double smoothing = variant.options.label_smoothing;
  at::Tensor loss = own.mul(smoothing - 1).sub(logs.mean(1).mul(there).mul(smoothing));
  loss = loss.add(logits.exp().sum(1).log().square().mul(there).mul(variant.options.z_loss));
  return {loss.mul(weights().to(loss.scalar_type())).sum(), own, probabilities.mul(logs).sum(1).neg().mul(there),
          logits.argmax(1).add(1).mul(wanted.ge(0)).sub(1)};
}

TEST(LinearCrossEntropy, EqualsTheComposition) {
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const Variant& variant : kVariants) {
      for (const bool ignore : {true, false}) {
        const Tensors all = head_tensors(type, ignore);
        const Tensors exact = as_type(all, at::kDouble);
        const at::Tensor wanted = targets(ignore);
        const Plain expected = composition(exact, variant, wanted);
        const auto found = ops::linear_cross_entropy(all[0], head_of(all, variant), wanted, weights(), variant.options);
        SCOPED_TRACE(::testing::Message() << type << " scale " << variant.scale << " ignore " << ignore);
        EXPECT_EQ(found.loss.scalar_type(), at::kFloat);
        expect_near(found.loss, expected.loss, rounding_tolerance(type));
        expect_near(found.rows.log_probs, expected.log_probs, rounding_tolerance(type));
        expect_near(found.rows.entropy, expected.entropy, rounding_tolerance(type));
        EXPECT_TRUE(type != at::kFloat || found.rows.arg_max.equal(expected.arg_max));
        const auto scored = ops::linear_log_probs(all[0], head_of(all, variant), wanted, variant.options);
        EXPECT_TRUE(same_bits(scored.log_probs, found.rows.log_probs));
        EXPECT_TRUE(same_bits(scored.entropy, found.rows.entropy));
        EXPECT_TRUE(same_bits(scored.arg_max, found.rows.arg_max));

        const auto compare = [&](const auto& op, const auto& plain) {
          const Tensors d = gradients(op, all);
          const Tensors wanted_d = gradients(plain, exact);
          for (std::size_t i = 0; i < all.size(); ++i) {
            SCOPED_TRACE(::testing::Message() << "gradient " << i);
            EXPECT_TRUE(!d[i].defined() || d[i].scalar_type() == type);
            expect_near(d[i], wanted_d[i], 2 * rounding_tolerance(type));
          }
        };
        compare([&](const Tensors& t) { return loss_of(t, variant, wanted); },
                [&](const Tensors& t) { return composition(t, variant, wanted).loss; });
        compare([&](const Tensors& t) { return log_probs_of(t, variant, wanted); },
                [&](const Tensors& t) { return composition(t, variant, wanted).log_probs; });
      }
    }
  }
}

TEST(LinearCrossEntropy, GradientsEqualFiniteDifferencesInFloat64) {
  const Tensors all = head_tensors(at::kDouble);
  for (const Variant& variant : kVariants) {
    expect_near(loss_of(all, variant, targets()), composition(all, variant, targets()).loss, 1e-12);
    check_gradients([&](const Tensors& t) { return loss_of(t, variant, targets()); }, all);
    check_gradients([&](const Tensors& t) { return log_probs_of(t, variant, targets()); }, all);
  }
}

// log-probabilities and entropies, of which both have a gradient.
at::Tensor both(const Tensors& t, const Variant& variant, const at::Tensor& wanted) {
  CrossEntropyOptions options{.chunk_bytes = variant.options.chunk_bytes, .entropy_gradient = true};
  const auto found = ops::linear_log_probs(t[0], head_of(t, variant), wanted, options);
  return found.log_probs.add(found.entropy.mul(-1.5));
}

TEST(LinearCrossEntropy, EntropyHasAGradientWhereAskedFor) {
  for (const Variant& variant : kVariants) {
    check_gradients([&](const Tensors& t) { return both(t, variant, targets()); }, head_tensors(at::kDouble));
    for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
      Tensors all = head_tensors(type), exact = as_type(all, at::kDouble);
      const auto op = [&](const Tensors& t) { return both(t, variant, targets()); };
      const Tensors found = gradients(op, all), expected = gradients(op, exact);
      for (std::size_t i = 0; i < all.size(); ++i) expect_near(found[i], expected[i], 3 * rounding_tolerance(type));
      // Of a frozen head.
      const at::Tensor hidden = all[0].detach().clone().requires_grad_(true);
      op({hidden, all[1].detach(), all[2].detach()}).backward(random_tensor({kRows}, at::kFloat, 99));
      expect_near(hidden.grad(), expected[0], 3 * rounding_tolerance(type));
    }
  }
  EXPECT_FALSE(ops::linear_log_probs(head_tensors(at::kFloat)[0].requires_grad_(true),
                                     {.matrix = head_tensors(at::kFloat)[1]}, targets())
                   .entropy.requires_grad());
}

TEST(LinearCrossEntropy, StatisticsOfLogits) {
  for (const auto type : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const Variant& variant : kVariants) {
      const Tensors all = head_tensors(type), exact = as_type(all, at::kDouble);
      CrossEntropyOptions options{.chunk_bytes = variant.options.chunk_bytes, .statistics = true};
      const auto found = ops::linear_log_probs(all[0], head_of(all, variant), targets(), options);
      at::Tensor logits = exact[0].matmul(exact[1].t()).add(exact[2]).mul(variant.scale);
      if (variant.softcap) logits = logits.div(*variant.softcap).tanh().mul(*variant.softcap);
      const at::Tensor there = targets().ge(0).to(at::kDouble);
      expect_near(found.mean_logits, logits.mean(1).mul(there), rounding_tolerance(type));
      expect_near(found.log_sum_sq_probs, logits.softmax(1).square().sum(1).log().mul(there), rounding_tolerance(type));
    }
  }
}

TEST(LinearCrossEntropy, ALossMultipliedMultipliesItsGradients) {
  const Tensors all = head_tensors(at::kFloat);
  const Tensors once = gradients([&](const Tensors& t) { return loss_of(t, {}, targets()); }, all);
  const Tensors twice = gradients([&](const Tensors& t) { return loss_of(t, {}, targets()).mul(2); }, all);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(twice[i].equal(once[i].mul(2))) << i;
}

TEST(LinearCrossEntropy, RowsWithoutATargetAreNeverLookedAt) {
  Tensors all = head_tensors(at::kFloat);
  const at::Tensor before = loss_of(all, {}, targets());
  all[0] = all[0].clone();
  all[0].select(0, 1).fill_(std::nan(""));
  EXPECT_TRUE(same_bits(loss_of(all, {}, targets()), before));
  const Tensors d = gradients([&](const Tensors& t) { return loss_of(t, {}, targets()); }, all);
  EXPECT_EQ(d[0].select(0, 1).abs().sum().item<float>(), 0);
  EXPECT_FALSE(d[1].isnan().any().item<bool>());

  const at::Tensor none = targets().fill_(kIgnoredTarget);
  const Tensors zeros = gradients([&](const Tensors& t) { return loss_of(t, {}, none); }, all);
  for (const at::Tensor& gradient : zeros) EXPECT_EQ(gradient.abs().sum().item<float>(), 0);
  EXPECT_EQ(loss_of(all, {}, none).item<float>(), 0);
  const at::Tensor no_rows = all[0].narrow(0, 0, 0);
  EXPECT_EQ(ops::linear_log_probs(no_rows, {.matrix = all[1]}, none.narrow(0, 0, 0)).log_probs.size(0), 0);
}

TEST(LinearCrossEntropy, StridedInputsAndFrozenHeads) {
  const Tensors all = {random_tensor({kRows, 2 * kHidden}, at::kFloat, 1),
                       random_tensor({kHidden, kVocabulary}, at::kFloat, 2)};
  const auto by_op = [&](const Tensors& t) {
    return ops::linear_cross_entropy(t[0].narrow(1, 5, kHidden), {.matrix = t[1].t()}, targets(), weights()).loss;
  };
  const auto plain = [&](const Tensors& t) {
    return composition({t[0].narrow(1, 5, kHidden), t[1].t(), at::Tensor()}, {}, targets()).loss;
  };
  const Tensors found = gradients(by_op, all);
  const Tensors expected = gradients(plain, as_type(all, at::kDouble));
  for (std::size_t i = 0; i < all.size(); ++i) expect_near(found[i], expected[i], 1e-5);

  const at::Tensor hidden = all[0].detach().clone().requires_grad_(true);
  by_op({hidden, all[1]}).backward(random_tensor({}, at::kFloat, 99));  // as `gradients` does
  expect_near(hidden.grad(), expected[0], 1e-5);
  EXPECT_FALSE(all[1].grad().defined());
}

TEST(LinearCrossEntropy, LogProbsOfAFrozenHead) {
  const Tensors all = {random_tensor({kRows, kHidden}, at::kFloat, 1),
                       random_tensor({kVocabulary, kHidden}, at::kFloat, 2)};
  const at::Tensor factors = random_tensor({kRows}, at::kFloat, 5);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor hidden = all[0].detach().clone().to(type).requires_grad_(true), matrix = all[1].to(type);
    ops::linear_log_probs(hidden, {.matrix = matrix}, targets()).log_probs.backward(factors);
    const at::Tensor wide = hidden.detach().to(at::kDouble).requires_grad_(true);
    ops::linear_log_probs(wide, {.matrix = matrix.to(at::kDouble)}, targets())
        .log_probs.backward(factors.to(at::kDouble));
    expect_near(hidden.grad(), wide.grad(), rounding_tolerance(type));
  }
}

TEST(LinearCrossEntropy, BlocksByRowsOfTheHead) {
  const testing::TemporaryFolder folder;
  std::mt19937 engine(3);
  constexpr std::int64_t kSize = 64;
  const auto bytes = testing::random_blocks(BlockFormat::q4_1, kVocabulary * kSize, engine);
  const std::string path = folder.write("w", std::string(bytes.begin(), bytes.end()));
  const auto file = MappedFile::open(path);
  const TensorView view{.name = "w",
                        .format = BlockFormat::q4_1,
                        .shape = {kVocabulary, kSize},
                        .data = file->bytes().data(),
                        .bytes = file->size(),
                        .file = file};
  const Weight weight = Weight::from_file("w", {.views = {view}, .shape = view.shape}, false, at::kFloat);
  const VocabularyHead head = ops::vocabulary_head(weight);
  EXPECT_FALSE(head.matrix.defined());
  const at::Tensor dense = dequantized(weight, at::kFloat);
  const Tensors hidden = {random_tensor({kRows, kSize}, at::kFloat, 1)};
  const auto expected = gradients(
      [&](const Tensors& t) {
        return composition({t[0], dense.to(at::kDouble), at::Tensor()}, {}, targets()).loss;
      },
      as_type(hidden, at::kDouble));
  for (const std::int64_t budget : {1, 5000, 1 << 20}) {
    const CrossEntropyOptions options{.chunk_bytes = budget};
    const auto loss = [&](const Tensors& t) {
      return ops::linear_cross_entropy(t[0], head, targets(), weights(), options).loss;
    };
    expect_near(gradients(loss, hidden)[0], expected[0], 1e-5);
    expect_near(loss(hidden), loss({hidden[0].to(at::kDouble)}), 1e-5);
  }
  EXPECT_EQ(weight.dense_bytes(), 0u);
}

TEST(LinearCrossEntropy, RefusesWhatDoesNotFit) {
  const Tensors all = head_tensors(at::kFloat);
  const auto refuse = [&](ErrorKind kind, const char* field, const auto& change) {
    Tensors t = all;
    VocabularyHead head{.matrix = all[1], .bias = all[2]};
    at::Tensor wanted = targets();
    at::Tensor shares = weights();
    CrossEntropyOptions options;
    change(t, head, wanted, shares, options);
    expect_error(kind, field, [&] { ops::linear_cross_entropy(t[0], head, wanted, shares, options); });
  };
  refuse(ErrorKind::usage, "head", [](auto& t, auto&...) { t[0] = t[0].narrow(1, 0, 5); });
  refuse(ErrorKind::usage, "head", [](auto&, auto& head, auto&...) { head.matrix = at::Tensor(); });
  refuse(ErrorKind::usage, "bias", [](auto&, auto& head, auto&...) { head.bias = head.bias.narrow(0, 0, 9); });
  refuse(ErrorKind::range, "softcap", [](auto&, auto& head, auto&...) { head.softcap = 0.0f; });
  refuse(ErrorKind::usage, "targets", [](auto&, auto&, auto& wanted, auto&...) { wanted = wanted.to(at::kInt); });
  refuse(ErrorKind::range, "53", [](auto&, auto&, auto& wanted, auto&...) { wanted.select(0, 4).fill_(53); });
  refuse(ErrorKind::range, "-1", [](auto&, auto&, auto& wanted, auto&...) { wanted.select(0, 4).fill_(-1); });
  refuse(ErrorKind::usage, "weights",
         [](auto&, auto&, auto&, auto& shares, auto&) { shares = shares.to(at::kDouble); });
  refuse(ErrorKind::range, "label_smoothing",
         [](auto&, auto&, auto&, auto&, auto& options) { options.label_smoothing = 1.5f; });
}

}  // namespace
}  // namespace powerhouse
