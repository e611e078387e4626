// Every point is met, in order, in the shape that hooks.h says; what a hook returns goes on.
#include "powerhouse/hooks.h"

#include <gtest/gtest.h>

#include <map>

#include "expect_error.h"
#include "fixture.h"
#include "powerhouse/session.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::fixture;
using testing::load;

const std::vector<std::int64_t> kIds = {5, 9, 33, 41, 7};

TEST(Hooks, MeetEveryPointInOrderAndShape) {
  CausalLM model = load("tiny_gqa");
  std::vector<std::string> met;
  const std::int64_t t = 5, h = 48, n = 6, k = 2, d = 16, i = 80;
  const std::vector<std::vector<std::int64_t>> shapes = {{t, h},     {t, h}, {t, n, d}, {t, k, d}, {t, k, d},
                                                         {t, n * d}, {t, h}, {t, h},    {t, h},    {},
                                                         {t, i},     {t, h}, {t, h},    {1, h},    {1, 97}};
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
      // Llama has no router.
      if (is_per_layer(static_cast<HookPoint>(point)) && static_cast<HookPoint>(point) != HookPoint::router_logits) {
        expected.push_back(std::string(to_string(static_cast<HookPoint>(point))) + "." + std::to_string(layer));
      }
    }
  }
  expected.insert(expected.end(), {"final_norm.-1", "logits.-1"});
  EXPECT_EQ(met, expected);
}

class HooksSee : public ::testing::TestWithParam<testing::TinyModel> {};

TEST_P(HooksSee, TheHiddenStatesOfTransformers) {
  CausalLM model = testing::load(GetParam().path);
  const testing::Tensors expected(fixture(GetParam().expected));
  std::map<std::string, at::Tensor> seen;
  for (const HookPoint point : {HookPoint::layer_output, HookPoint::final_norm, HookPoint::logits}) {
    model.add_hook({point}, [&](const at::Tensor& x, const HookContext& context) -> at::Tensor {
      std::string name(to_string(context.point));
      if (context.layer >= 0) name.append(1, '.').append(std::to_string(context.layer));
      seen[name] = x.clone();
      return {};
    });
  }
  model.forward(expected["input_ids"].narrow(0, 0, 1));
  EXPECT_TRUE(testing::close(seen["logits"], expected["single_logits"], testing::kSameF32));
  int compared = 0;
  for (const auto& [name, tensor] : expected.all()) {
    if (name != "final_norm" && !name.starts_with("layer_output.")) continue;
    EXPECT_TRUE(testing::close(seen[name], tensor, testing::kSameF32)) << name;
    ++compared;
  }
  EXPECT_EQ(compared, static_cast<int>(model.config().layers.size()));
}

INSTANTIATE_TEST_SUITE_P(Tiny, HooksSee, ::testing::ValuesIn(testing::kTinyFolders), testing::test_name);

TEST(Hooks, ReplaceInASessionWhatTheyReplaceInForward) {
  for (int point = 0; point < kHookPointCount; ++point) {
    CausalLM model = load("tiny_gqa");
    model.add_hook({static_cast<HookPoint>(point)},
                   [](const at::Tensor& x, const HookContext&) { return x.mul(0.7).add(0.01); });
    const at::Tensor whole = model.forward(testing::to_tensor(kIds))[0];
    Session session(model);
    const SequenceId sequence = session.create();
    std::vector<at::Tensor> rows;
    for (const std::int64_t& id : kIds) rows.push_back(session.forward(sequence, std::span(&id, 1)));
    EXPECT_TRUE(testing::close(concatenate(rows, 0), whole, testing::kSameF32))
        << to_string(static_cast<HookPoint>(point));
  }
}

TEST(Hooks, AreToldWhereEachTokenStands) {
  CausalLM model = load("tiny_gqa");
  std::vector<std::vector<std::int64_t>> positions, begins;
  model.add_hook({HookPoint::embeddings}, [&](const at::Tensor&, const HookContext& context) -> at::Tensor {
    positions.emplace_back(context.position_ids.begin(), context.position_ids.end());
    begins.emplace_back(context.cu_seqlens.begin(), context.cu_seqlens.end());
    return {};
  });
  Session session(model);
  const SequenceId first = session.create();
  const SequenceId second = session.create();
  session.forward(first, std::span(kIds).first(3));
  const SequenceInput batch[] = {{first, std::span(kIds).first(2)}, {second, std::span(kIds).first(1)}};
  session.forward(batch);
  const at::Tensor ids = testing::to_tensor({1, 2, 3, 4}).view({2, 2});
  const at::Tensor mask = testing::to_tensor({0, 1, 1, 1}).view({2, 2});
  model.forward(ids, mask);
  EXPECT_EQ(positions, (std::vector<std::vector<std::int64_t>>{{0, 1, 2}, {3, 4, 0}, {0, 0, 1}}));
  EXPECT_EQ(begins, (std::vector<std::vector<std::int64_t>>{{0, 3}, {0, 2, 3}, {0, 1, 3}}));
}

TEST(Hooks, RunInTheOrderOfAdding) {
  CausalLM model = load("tiny_gqa");
  std::string order;
  const HookHandle first = model.add_hook({HookPoint::mlp_output, 0}, [&](const at::Tensor& x, const HookContext&) {
    order += "a";
    return x.mul(0).add(2);
  });
  model.add_hook({HookPoint::mlp_output}, [&](const at::Tensor& x, const HookContext& context) -> at::Tensor {
    order += "b";
    EXPECT_EQ(x.max().item<float>() == 2.0f, context.layer == 0);
    return {};
  });
  model.forward(testing::to_tensor(kIds));
  EXPECT_EQ(order, "abb");
  model.remove_hook(first);
  expect_error(ErrorKind::not_found, "hook", [&] { model.remove_hook(first); });
}

TEST(Hooks, ReplaceAtEveryPoint) {
  CausalLM model = load("tiny_gqa");
  Session plain_session(model);
  const at::Tensor plain = plain_session.forward(plain_session.create(), kIds);
  for (int point = 0; point < kHookPointCount; ++point) {
    if (static_cast<HookPoint>(point) == HookPoint::router_logits) continue;  // Llama has no router
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
  CausalLM model = load("tiny_gqa");
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
  CausalLM model = load("tiny_gqa");
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
  CausalLM model = load("tiny_gqa");
  const Hook nothing = [](const at::Tensor&, const HookContext&) { return at::Tensor(); };
  expect_error(ErrorKind::range, "layer", [&] { model.add_hook({HookPoint::layer_output, 2}, nothing); });
  expect_error(ErrorKind::range, "layer", [&] { model.add_hook({HookPoint::logits, 0}, nothing); });
  expect_error(ErrorKind::usage, "callable", [&] { model.add_hook({HookPoint::logits}, Hook()); });
  expect_error(ErrorKind::not_found, "hook", [&] { model.remove_hook(77); });
  model.add_hook({HookPoint::mlp_output, 1}, [](const at::Tensor& x, const HookContext&) { return x.narrow(0, 0, 1); });
  expect_error(ErrorKind::usage, "mlp_output", [&] { model.forward(testing::to_tensor(kIds)); });
}

TEST(Hooks, NeedTheModelAlone) {
  CausalLM model = load("tiny_gqa");
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
  CausalLM model = load("tiny_gqa");
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
