// Padding changes nothing: on the left, on the right, between, a row of nothing else; only its own logits, which are 0.
#include <gtest/gtest.h>

#include "fixture.h"

namespace powerhouse {
namespace {

using namespace testing;

class Padding : public ::testing::TestWithParam<TinyModel> {
 protected:
  at::Tensor first_row() const { return Tensors(fixture(GetParam().expected))["input_ids"].narrow(0, 0, 1); }
};

// Row 0 whole, row 1 the first 11 tokens of row 0's ids read backwards, placed where `places` says.
struct PaddedPair {
  at::Tensor ids;
  at::Tensor mask;
  at::Tensor short_ids;
  std::vector<std::int64_t> places;
};

PaddedPair pad(const at::Tensor& ids, const std::vector<std::int64_t>& places) {
  const std::int64_t length = ids.size(1);
  PaddedPair pair{ids.expand({2, length}).clone(), ids.new_ones({2, length}), {}, places};
  pair.short_ids = ids.flip({1}).narrow(1, 0, static_cast<std::int64_t>(places.size())).contiguous();
  pair.ids[1].fill_(2);  // padding is a token like any other; only the mask tells
  pair.mask[1].fill_(0);
  for (std::size_t i = 0; i < places.size(); ++i) {
    pair.ids[1][places[i]].copy_(pair.short_ids[0][static_cast<std::int64_t>(i)]);
    pair.mask[1][places[i]].fill_(1);
  }
  return pair;
}

void expect_padding_is_nothing(const CausalLM& model, const PaddedPair& pair) {
  const at::Tensor logits = model.forward(pair.ids, pair.mask);
  EXPECT_TRUE(close(logits[0], model.forward(pair.ids.narrow(0, 0, 1))[0], kSameF32));
  const at::Tensor alone = model.forward(pair.short_ids)[0];
  std::int64_t next = 0;
  for (std::int64_t i = 0; i < pair.ids.size(1); ++i) {
    if (next < alone.size(0) && pair.places[static_cast<std::size_t>(next)] == i) {
      EXPECT_TRUE(close(logits[1][i], alone[next], kSameF32)) << "position " << i;
      ++next;
    } else {
      EXPECT_EQ(logits[1][i].abs().max().item<float>(), 0.0f) << "position " << i;
    }
  }
}

TEST_P(Padding, OnTheLeft) {
  const CausalLM model = load(GetParam().path);
  const at::Tensor ids = first_row();
  std::vector<std::int64_t> places;
  for (std::int64_t i = 0; i < 11; ++i) places.push_back(ids.size(1) - 11 + i);
  expect_padding_is_nothing(model, pad(ids, places));
}

TEST_P(Padding, OnTheRight) {
  const CausalLM model = load(GetParam().path);
  const at::Tensor ids = first_row();
  expect_padding_is_nothing(model, pad(ids, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
}

TEST_P(Padding, OnBothSidesAndOfOtherTypes) {
  const CausalLM model = load(GetParam().path);
  const at::Tensor ids = first_row();
  PaddedPair pair = pad(ids, {5, 6, 7});
  expect_padding_is_nothing(model, pair);
  for (const at::ScalarType type : {at::kBool, at::kInt, at::kFloat}) {
    EXPECT_TRUE(model.forward(pair.ids, pair.mask.to(type)).equal(model.forward(pair.ids, pair.mask)));
  }
}

TEST_P(Padding, OfAWholeRow) {
  const CausalLM model = load(GetParam().path);
  const at::Tensor ids = first_row();
  const PaddedPair pair = pad(ids, {});
  const at::Tensor logits = model.forward(pair.ids, pair.mask);
  EXPECT_TRUE(close(logits[0], model.forward(ids)[0], kSameF32));
  EXPECT_EQ(logits[1].abs().max().item<float>(), 0.0f);
  const at::Tensor nothing = model.forward(ids, pair.mask.narrow(0, 1, 1));
  EXPECT_EQ(nothing.sizes(), logits.narrow(0, 0, 1).sizes());
  EXPECT_EQ(nothing.abs().max().item<float>(), 0.0f);
}

INSTANTIATE_TEST_SUITE_P(Tiny, Padding, ::testing::ValuesIn(kTinyFolders), test_name);

}  // namespace
}  // namespace powerhouse
