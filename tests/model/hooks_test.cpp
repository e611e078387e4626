// Every point is met, in order, in the shape that hooks.h says; what a hook returns goes on.
#include "powerhouse/hooks.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "fixture.h"
#include "powerhouse/session.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::fixture;

CausalLM tiny() { return CausalLM::from_pretrained(fixture("tiny_gqa"), {.dtype = Dtype::f32}); }

const std::vector<std::int64_t> kIds = {5, 9, 33, 41, 7};

TEST(Hooks, MeetEveryPointInOrderAndShape) {
  CausalLM model = tiny();
  std::vector<std::string> met;
  const std::int64_t t = 5, h = 48, n = 6, k = 2, d = 16, i = 80;
  const std::vector<std::vector<std::int64_t>> shapes = {{t, h},     {t, h}, {t, n, d}, {t, k, d}, {t, k, d},
                                                         {t, n * d}, {t, h}, {t, h},    {t, h},    {t, i},
                                                         {t, h},     {t, h}, {1, h},    {1, 97}};
  for (int point = 0; point < kHookPointCount; ++point) {
    model.add_hook({static_cast<HookPoint>(point)}, [&](const at::Tensor& x, const HookContext& context) -> at::Tensor {
      met.push_back(std::string(to_string(context.point)) + "." + std::to_string(context.layer));
      EXPECT_EQ(x.sizes().vec(), shapes[static_cast<std::size_t>(context.point)]) << met.back();
      EXPECT_EQ(context.position_ids.size(), 5u);
      EXPECT_EQ(std::vector<std::int64_t>(context.cu_seqlens.begin(), context.cu_seqlens.end()),
                (std::vector<std::int64_t>{0, 5}));
      return {};
    });
  }
  Session session(model);
  session.forward(session.create(), kIds);
  std::vector<std::string> expected = {"embeddings.-1"};
  for (int layer = 0; layer < 2; ++layer) {
    for (int point = 0; point < kHookPointCount; ++point) {
      if (is_per_layer(static_cast<HookPoint>(point))) {
        expected.push_back(std::string(to_string(static_cast<HookPoint>(point))) + "." + std::to_string(layer));
      }
    }
  }
  expected.insert(expected.end(), {"final_norm.-1", "logits.-1"});
  EXPECT_EQ(met, expected);
}

TEST(Hooks, ReplaceAtEveryPoint) {
  CausalLM model = tiny();
  Session plain_session(model);
  const at::Tensor plain = plain_session.forward(plain_session.create(), kIds);
  for (int point = 0; point < kHookPointCount; ++point) {
    const HookSite site{static_cast<HookPoint>(point), is_per_layer(static_cast<HookPoint>(point)) ? 1 : -1};
    const HookHandle handle = model.add_hook(site, [](const at::Tensor& x, const HookContext&) { return x.mul(1.5); });
    Session session(model);
    EXPECT_FALSE(session.forward(session.create(), kIds).equal(plain)) << to_string(site.point);
    model.remove_hook(handle);
    Session again(model);
    EXPECT_TRUE(again.forward(again.create(), kIds).equal(plain)) << to_string(site.point);
  }
}

TEST(Hooks, ActivationsThatAreKeptDoNotChange) {
  CausalLM model = tiny();
  at::Tensor kept, copy;
  model.add_hook({HookPoint::query, 0}, [&](const at::Tensor& x, const HookContext&) -> at::Tensor {
    kept = x;
    copy = x.clone();
    return {};
  });
  Session session(model);
  session.forward(session.create(), kIds);
  EXPECT_TRUE(kept.equal(copy)) << "RoPE turned a tensor that a hook had kept";
}

TEST(Hooks, GradientsFlowThroughReplacements) {
  CausalLM model = tiny();
  at::Tensor steer = at::Tensor();
  model.add_hook({HookPoint::layer_output, 0}, [&](const at::Tensor& x, const HookContext&) {
    if (!steer.defined()) steer = x.new_zeros({x.size(1)}).set_requires_grad(true);
    return x.add(steer);
  });
  model.forward(testing::to_tensor(kIds)).square().sum().backward();
  ASSERT_TRUE(steer.grad().defined());
  EXPECT_GT(steer.grad().abs().sum().item<float>(), 0.0f);
}

TEST(Hooks, AreRefusedWhereTheyDoNotFit) {
  CausalLM model = tiny();
  const Hook nothing = [](const at::Tensor&, const HookContext&) { return at::Tensor(); };
  expect_error(ErrorKind::range, "layer", [&] { model.add_hook({HookPoint::layer_output, 2}, nothing); });
  expect_error(ErrorKind::range, "layer", [&] { model.add_hook({HookPoint::logits, 0}, nothing); });
  expect_error(ErrorKind::usage, "callable", [&] { model.add_hook({HookPoint::logits}, Hook()); });
  expect_error(ErrorKind::not_found, "hook", [&] { model.remove_hook(77); });
  model.add_hook({HookPoint::mlp_output, 1}, [](const at::Tensor& x, const HookContext&) { return x.narrow(0, 0, 1); });
  expect_error(ErrorKind::usage, "mlp_output", [&] { model.forward(testing::to_tensor(kIds)); });
}

TEST(Hooks, NeedTheModelAlone) {
  CausalLM model = tiny();
  model.add_hook({HookPoint::layer_output, 0}, [&](const at::Tensor&, const HookContext&) -> at::Tensor {
    expect_error(ErrorKind::usage, "alone",
                 [&] { model.add_hook({HookPoint::logits}, [](auto&&, auto&&) { return at::Tensor(); }); });
    expect_error(ErrorKind::usage, "alone", [&] { model.set_requires_grad(true); });
    expect_error(ErrorKind::usage, "alone", [&] { model.parameter("lm_head.weight"); });
    return {};
  });
  model.forward(testing::to_tensor(kIds));
}

TEST(Hooks, BelongToAHandleNotToTheWeights) {
  CausalLM model = tiny();
  const CausalLM other = model.share();
  int calls = 0;
  model.add_hook({HookPoint::logits}, [&](const at::Tensor&, const HookContext&) -> at::Tensor {
    ++calls;
    return {};
  });
  other.forward(testing::to_tensor(kIds));
  EXPECT_EQ(calls, 0);
  model.forward(testing::to_tensor(kIds));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace powerhouse
