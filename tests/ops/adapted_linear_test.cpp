// The linear map with low-rank terms: against the composition of plain operations, and finite differences.
#include "ops/adapted_linear.h"

#include <cmath>

#include "expect_error.h"
#include "kernels/random_blocks.h"
#include "ops/dequantize.h"
#include "ops/gradients.h"
#include "ops/linear.h"
#include "random_tensor.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using ops::adapted_linear;
using ops::LowRankTerm;
using testing::as_type;
using testing::check_gradients;
using testing::expect_error;
using testing::expect_near;
using testing::gradients;
using testing::max_difference;
using testing::random_tensor;
using testing::rounding_tolerance;
using testing::same_bits;
using Tensors = std::vector<at::Tensor>;

constexpr float kScales[] = {0.75f, 2.0f};

// x, weight, bias, then A and B of each term.
Tensors tensors(std::int64_t rows, std::int64_t in, std::int64_t out, std::vector<std::int64_t> ranks,
                at::ScalarType type) {
  Tensors all = {random_tensor({rows, in}, type, 1), random_tensor({out, in}, type, 2), random_tensor({out}, type, 3)};
  for (const std::int64_t rank : ranks) {
    all.push_back(random_tensor({rank, in}, type, 4 + all.size()));
    all.push_back(random_tensor({out, rank}, type, 4 + all.size()));
  }
  return all;
}

std::vector<LowRankTerm> terms_of(const Tensors& all, ops::Dropout dropout = {}) {
  std::vector<LowRankTerm> terms;
  for (std::size_t i = 3; i < all.size(); i += 2) {
    dropout.lane = static_cast<std::uint32_t>(i);
    terms.push_back({.a = all[i], .b = all[i + 1], .scale = kScales[i % 4 / 2], .dropout = dropout});
  }
  return terms;
}

at::Tensor by_op(const Tensors& all, const ops::Dropout& dropout = {}) {
  return adapted_linear(all[0], all[1], all[2], terms_of(all, dropout));
}

// `masks` as dropout leaves them of ones.
at::Tensor by_composition(const Tensors& all, const Tensors& masks = {}) {
  at::Tensor y = all[0].matmul(all[1].t());
  if (all[2].defined()) y = y.add(all[2]);
  for (std::size_t i = 3; i < all.size(); i += 2) {
    const at::Tensor x = masks.empty() ? all[0] : all[0].mul(masks[(i - 3) / 2]);
    y = y.add(x.matmul(all[i].t()).matmul(all[i + 1].t()).mul(kScales[i % 4 / 2]));
  }
  return y;
}

TEST(AdaptedLinear, EqualsTheComposition) {
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    for (const std::vector<std::int64_t>& ranks : {std::vector<std::int64_t>{}, {1}, {5, 8}, {0}}) {
      for (const std::int64_t rows : {1, 7, 33}) {
        const Tensors all = tensors(rows, 39, 21, ranks, type);
        const Tensors exact = as_type(all, at::kDouble);
        expect_near(by_op(all), by_composition(exact), rounding_tolerance(type));
        const Tensors found = gradients([](const Tensors& t) { return by_op(t); }, all);
        const Tensors expected = gradients([](const Tensors& t) { return by_composition(t); }, exact);
        for (std::size_t i = 0; i < all.size(); ++i) {
          SCOPED_TRACE(::testing::Message() << type << " input " << i << " rows " << rows);
          EXPECT_EQ(found[i].scalar_type(), type);
          expect_near(found[i], expected[i], 2 * rounding_tolerance(type));
        }
      }
    }
  }
}

TEST(AdaptedLinear, GradientsEqualFiniteDifferences) {
  const Tensors all = tensors(3, 8, 6, {2, 3}, at::kDouble);
  check_gradients([](const Tensors& t) { return by_op(t); }, all);
  check_gradients([](const Tensors& t) { return by_op(t, {.rate = 0.4f, .seed = 5}); }, all);
}

TEST(AdaptedLinear, MastersOfFloat32BesideBf16) {
  Tensors all = tensors(9, 24, 17, {4}, at::kBFloat16);
  const Tensors narrow = gradients([](const Tensors& t) { return by_op(t); }, all);
  all[3] = all[3].to(at::kFloat);
  all[4] = all[4].to(at::kFloat);
  EXPECT_EQ(by_op(all).scalar_type(), at::kBFloat16);
  const Tensors found = gradients([](const Tensors& t) { return by_op(t); }, all);
  for (const std::size_t i : {3, 4}) {
    EXPECT_EQ(found[i].scalar_type(), at::kFloat);
    EXPECT_TRUE(found[i].equal(narrow[i].to(at::kFloat)));
  }
  EXPECT_TRUE(same_bits(found[0], narrow[0]));
}

TEST(AdaptedLinear, OnlyWhatRequiresAGradientGetsOne) {
  const Tensors all = tensors(5, 12, 10, {3}, at::kFloat);
  const at::Tensor a = all[3].detach().clone().requires_grad_(true);
  const LowRankTerm term{.a = a, .b = all[4], .scale = 0.5f};
  adapted_linear(all[0], all[1], all[2], {{term}}).sum().backward();
  EXPECT_TRUE(a.grad().defined());
  EXPECT_FALSE(all[4].grad().defined());
  EXPECT_FALSE(all[1].grad().defined());
  EXPECT_FALSE(adapted_linear(all[0], all[1], all[2], terms_of(all)).requires_grad());
}

TEST(AdaptedLinear, StridedInputsNoRowsAndAGradientOfOnes) {
  const Tensors wide = tensors(6, 40, 10, {3}, at::kFloat);
  const auto strided = [](const Tensors& t) {
    return adapted_linear(t[0].narrow(1, 3, 20), t[1].narrow(1, 7, 20), {},
                          {{{.a = t[3].narrow(1, 1, 20), .b = t[4], .scale = 0.75f}}})
        .t();
  };
  const auto expected = [](const Tensors& t) {
    const at::Tensor x = t[0].narrow(1, 3, 20);
    return x.matmul(t[1].narrow(1, 7, 20).t()).add(x.matmul(t[3].narrow(1, 1, 20).t()).matmul(t[4].t()).mul(0.75)).t();
  };
  Tensors inputs = wide;
  inputs[2] = at::Tensor();
  const Tensors found = gradients(strided, inputs);
  const Tensors wanted = gradients(expected, as_type(inputs, at::kDouble));
  for (std::size_t i = 0; i < inputs.size(); ++i) expect_near(found[i], wanted[i], 1e-5);

  const Tensors none = tensors(0, 8, 6, {2}, at::kFloat);
  const Tensors zeros = gradients([](const Tensors& t) { return by_op(t); }, none);
  EXPECT_EQ(zeros[0].size(0), 0);
  for (std::size_t i = 1; i < none.size(); ++i) EXPECT_EQ(zeros[i].abs().sum().item<double>(), 0) << i;
}

TEST(AdaptedLinear, DropsTheSameElementsForwardAndBackward) {
  const ops::Dropout dropout{.rate = 0.3f, .seed = 77, .counter = 1000};
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const Tensors all = tensors(11, 45, 13, {4, 6}, type);
    const Tensors exact = as_type(all, at::kDouble);
    Tensors masks;
    for (const LowRankTerm& term : terms_of(exact, dropout)) {
      masks.push_back(ops::dropped(exact[0].new_ones(exact[0].sizes()), term.dropout));
    }
    EXPECT_FALSE(masks[0].equal(masks[1]));
    const auto reference = [&](const Tensors& t) { return by_composition(t, masks); };
    expect_near(by_op(all, dropout), reference(exact), rounding_tolerance(type));
    const Tensors found = gradients([&](const Tensors& t) { return by_op(t, dropout); }, all);
    const Tensors expected = gradients(reference, exact);
    for (std::size_t i = 0; i < all.size(); ++i) expect_near(found[i], expected[i], 2 * rounding_tolerance(type));
  }
}

TEST(Dropout, KeepsTheRightShareAndIsAFunctionOfItsKey) {
  const at::Tensor ones = random_tensor({200, 501}).fill_(1);
  const ops::Dropout dropout{.rate = 0.25f, .seed = 3, .lane = 9, .counter = 40};
  const at::Tensor once = ops::dropped(ones, dropout);
  EXPECT_TRUE(same_bits(once, ops::dropped(ones, dropout)));
  EXPECT_NEAR(once.mean().item<double>(), 1.0, 0.01);
  EXPECT_NEAR(once.eq(0).sum().item<double>() / static_cast<double>(ones.numel()), 0.25, 0.005);
  EXPECT_EQ(once.max().item<float>(), 1.0f / 0.75f);
  for (const ops::Dropout& other : {ops::Dropout{.rate = 0.25f, .seed = 4, .lane = 9, .counter = 40},
                                    ops::Dropout{.rate = 0.25f, .seed = 3, .lane = 8, .counter = 40},
                                    ops::Dropout{.rate = 0.25f, .seed = 3, .lane = 9, .counter = 41}}) {
    EXPECT_FALSE(once.equal(ops::dropped(ones, other)));
  }
  // Rows take the blocks one behind the other.
  const ops::Dropout later{.rate = 0.25f, .seed = 3, .lane = 9, .counter = 40 + 63 * 50};
  EXPECT_TRUE(ops::dropped(ones.narrow(0, 0, 20), later).equal(once.narrow(0, 50, 20)));
  EXPECT_TRUE(ops::dropped(ones, {}).equal(ones));
}

TEST(AdaptedLinear, BlocksStayBlocks) {
  const testing::TemporaryFolder folder;
  std::mt19937 engine(3);
  constexpr std::int64_t kOut = 24, kIn = 256;
  for (const BlockFormat format : testing::kPackedFormats) {
    const auto bytes = testing::random_blocks(format, kOut * kIn, engine);
    const std::string path = folder.write("w", std::string(bytes.begin(), bytes.end()));
    for (const bool transposed : {false, true}) {
      const auto file = MappedFile::open(path);
      const TensorView view{.name = "w",
                            .format = format,
                            .shape = {kOut, kIn},
                            .data = file->bytes().data(),
                            .bytes = file->size(),
                            .file = file};
      StoredWeight stored{.views = {view}, .shape = {kOut, kIn}};
      if (transposed) stored.place = [](std::int64_t row) -> StoredRow { return {0, kOut - 1 - row}; };
      for (const auto type : {at::kFloat, at::kBFloat16, at::kDouble}) {
        const Weight weight = Weight::from_file("w", stored, transposed, type == at::kDouble ? at::kFloat : type);
        Tensors all = tensors(7, kIn, kOut, {4}, type);
        const auto by_blocks = [&](const Tensors& t) { return adapted_linear(t[0], weight, t[2], terms_of(t)); };
        const at::Tensor y = by_blocks(all);
        const Tensors found =
            gradients([&](const Tensors& t) { return by_blocks(t); }, {all[0], {}, all[2], all[3], all[4]});
        EXPECT_EQ(weight.dense_bytes(), 0u);
        EXPECT_NE(weight.stored(), nullptr);
        const at::Tensor dense = dequantized(weight, type == at::kDouble ? at::kFloat : type).to(type);
        EXPECT_TRUE(dense.equal(weight.matrix().to(type)));
        const auto by_dense = [&](const Tensors& t) { return adapted_linear(t[0], dense, t[2], terms_of(t)); };
        EXPECT_TRUE(same_bits(y, by_dense(all)));
        const Tensors expected = gradients(by_dense, {all[0], {}, all[2], all[3], all[4]});
        for (const std::size_t i : {0, 2, 3, 4}) EXPECT_TRUE(same_bits(found[i], expected[i])) << i;
      }
    }
  }
}

TEST(AdaptedLinear, ExactNumericsKeepARowsBits) {
  const Tensors all = tensors(9, 33, 12, {4}, at::kFloat);
  const auto exactly = [&](const at::Tensor& x) {
    return adapted_linear(x, all[1], all[2], terms_of(all), Numerics::exact);
  };
  const at::Tensor y = exactly(all[0]);
  expect_near(y, by_composition(as_type(all, at::kDouble)), 1e-5);
  for (std::int64_t row = 0; row < 9; ++row) {
    EXPECT_TRUE(same_bits(y.narrow(0, row, 1), exactly(all[0].narrow(0, row, 1))));
  }
  const auto found =
      gradients([](const Tensors& t) { return adapted_linear(t[0], t[1], t[2], terms_of(t), Numerics::exact); }, all);
  const auto expected = gradients([](const Tensors& t) { return by_composition(t); }, as_type(all, at::kDouble));
  for (std::size_t i = 0; i < all.size(); ++i) expect_near(found[i], expected[i], 1e-5);
}

TEST(AdaptedLinear, RefusesWhatDoesNotFit) {
  const Tensors all = tensors(5, 12, 10, {3}, at::kFloat);
  const auto term = [&](at::Tensor a, at::Tensor b, float rate = 0) {
    return std::vector<LowRankTerm>{{.a = std::move(a), .b = std::move(b), .dropout = {.rate = rate}}};
  };
  expect_error(ErrorKind::usage, "x", [&] { adapted_linear(all[0].narrow(1, 0, 11), all[1], all[2], {}); });
  expect_error(ErrorKind::usage, "bias", [&] { adapted_linear(all[0], all[1], all[2].narrow(0, 0, 9), {}); });
  expect_error(ErrorKind::usage, "a", [&] { adapted_linear(all[0], all[1], {}, term(all[3].t(), all[4])); });
  expect_error(ErrorKind::usage, "b",
               [&] { adapted_linear(all[0], all[1], {}, term(all[3], all[4].narrow(1, 0, 2))); });
  expect_error(ErrorKind::usage, "b", [&] { adapted_linear(all[0], all[1], {}, term(all[3], {})); });
  expect_error(ErrorKind::usage, "weight", [&] { adapted_linear(all[0], at::Tensor(), {}, {}); });
  expect_error(ErrorKind::range, "dropout", [&] { adapted_linear(all[0], all[1], {}, term(all[3], all[4], 1.0f)); });
}

// Three maps of one x, as queries, keys and values: each y and each gradient as by itself, x's the sum.
TEST(AdaptedLinears, EqualMapsOneByOne) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    for (const float dropout : {0.0f, 0.25f}) {
      const Tensors all[] = {tensors(70, 80, 96, {16}, type), tensors(70, 80, 33, {16, 8}, type),
                             tensors(70, 80, 48, {}, type)};
      const at::Tensor x = all[0][0];
      Tensors leaves = {x};
      for (const Tensors& map : all) leaves.insert(leaves.end(), map.begin() + 1, map.end());
      const auto parts_of = [&](const Tensors& t) {
        std::vector<ops::LinearPart> parts;
        std::size_t at = 1;
        for (const Tensors& map : all) {
          Tensors own = {t[0]};
          own.insert(own.end(), t.begin() + static_cast<std::ptrdiff_t>(at),
                     t.begin() + static_cast<std::ptrdiff_t>(at + map.size() - 1));
          at += map.size() - 1;
          parts.push_back({.matrix = own[1], .bias = own[2], .terms = terms_of(own, {.rate = dropout, .seed = 5})});
        }
        return parts;
      };
      const auto together = [&](const Tensors& t) {
        std::vector<at::Tensor> y = ops::adapted_linears(t[0], parts_of(t));
        return concatenate(y, 1);
      };
      const auto apart = [&](const Tensors& t) {
        std::vector<at::Tensor> y;
        for (const ops::LinearPart& part : parts_of(t))
          y.push_back(adapted_linear(t[0], part.matrix, part.bias, part.terms));
        return concatenate(y, 1);
      };
      const double tolerance = type == at::kBFloat16 ? 0.02 : type == at::kFloat ? 1e-5 : 1e-12;
      const auto near = [&](const at::Tensor& found, const at::Tensor& expected) {
        const double size = expected.abs().max().item<double>();
        EXPECT_LT(max_difference(found, expected), tolerance * size);
      };
      near(together(leaves), apart(leaves));
      const Tensors found = gradients(together, leaves), expected = gradients(apart, leaves);
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) near(found[i], expected[i]);
    }
  }
}

TEST(AdaptedLinears, GradientsOfNoRowsAreZero) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Tensors all = tensors(0, 64, 200, {16}, type);
    for (const at::Tensor& gradient : gradients([](const Tensors& t) { return by_op(t); }, all)) {
      EXPECT_EQ(gradient.abs().sum().item<double>(), 0.0);
    }
  }
}

}  // namespace
}  // namespace powerhouse
