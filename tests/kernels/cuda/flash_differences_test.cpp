// Gradients of flash attention against differences of its own results, both of the kernels' source built for float32.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "cuda_on_host/named_float.h"
#include "kernels/cuda/flash_differences_kernels.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Contents;
using cuda_on_host::DeviceArray;
using cuda_on_host::GlobalMemory;
using cuda_on_host::NamedFloat;

constexpr int kHeads = 4, kKvHeads = 2, kHeadDim = 16, kQueries = 9, kKeys = 13;

struct Tensor {
  std::vector<float> values;
  DeviceArray<NamedFloat> named;
  int heads;

  Tensor(int rows, int heads_, std::mt19937& engine, float scale)
      : values(static_cast<std::size_t>(rows * heads_ * kHeadDim)), named(values.size()), heads(heads_) {
    for (float& value : values) value = scale * (static_cast<float>(engine() >> 8) * 0x1p-23f - 1.0f);
  }
  void name() {
    for (std::size_t i = 0; i < values.size(); ++i) from_float(values[i], named[i]);
  }
  cuda::VectorStrides strides() const { return {0, heads * kHeadDim, kHeadDim}; }
};

class Problem {
 public:
  explicit Problem(bool modified) : engine_(11), modified_(modified) {}

  /// sum(out * dout) in float64.
  double value() {
    name_inputs();
    GlobalMemory memory;
    add(memory, Contents::output);
    HostLauncher launcher(memory, cuda_on_host::Order::random, 1);
    cuda::float_flash_forward(launcher, forward());
    EXPECT_EQ(launcher.text(), "clean");
    double sum = 0;
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      sum += static_cast<double>(to_float(out.named[i])) * static_cast<double>(dout.values[i]);
    }
    return sum;
  }

  void backward() {
    value();
    cuda::FlashBackwardParams p{.forward = forward()};
    p.dout = dout.named.data(), p.dq = dq.named.data(), p.dk = dk.named.data(), p.dv = dv.named.data();
    p.dsinks = dsinks.data();
    p.dout_strides = p.dq_strides = q.strides(), p.dk_strides = p.dv_strides = k.strides();
    DeviceArray<float> workspace(static_cast<std::size_t>(cuda::flash_backward_floats(p)));
    p.workspace = workspace.data();
    GlobalMemory memory;
    add(memory, Contents::input);
    memory.add(dout.named.data(), dout.named.bytes(), "dout", Contents::input);
    memory.add(workspace.data(), workspace.bytes(), "workspace", Contents::output);
    memory.add(dsinks.data(), dsinks.bytes(), "dsinks", Contents::output);
    for (Tensor* tensor : {&dq, &dk, &dv}) {
      memory.add(tensor->named.data(), tensor->named.bytes(), "gradient", Contents::output);
    }
    HostLauncher launcher(memory, cuda_on_host::Order::random, 1);
    cuda::float_flash_backward(launcher, p);
    ASSERT_EQ(launcher.text(), "clean");
    for (Tensor* tensor : {&dq, &dk, &dv}) {
      for (std::size_t i = 0; i < tensor->values.size(); ++i) tensor->values[i] = to_float(tensor->named[i]);
    }
  }

 private:
  void name_inputs() {
    cuda_on_host::forget_named_floats();
    for (Tensor* tensor : {&q, &k, &v, &dout}) tensor->name();
  }
  void add(GlobalMemory& memory, Contents results) {
    memory.add(q.named.data(), q.named.bytes(), "q", Contents::input);
    memory.add(k.named.data(), k.named.bytes(), "k", Contents::input);
    memory.add(v.named.data(), v.named.bytes(), "v", Contents::input);
    memory.add(out.named.data(), out.named.bytes(), "out", results);
    memory.add(lse.data(), lse.bytes(), "lse", results);
    memory.add(slopes, sizeof slopes, "slopes", Contents::input);
    memory.add(sinks, sizeof sinks, "sinks", Contents::input);
  }
  cuda::FlashForwardParams forward() {
    cuda::FlashForwardParams p;
    p.q = q.named.data(), p.k = k.named.data(), p.v = v.named.data(), p.out = out.named.data(), p.lse = lse.data();
    p.q_strides = p.out_strides = q.strides(), p.k_strides = p.v_strides = k.strides();
    p.lse_head_stride = kQueries;
    p.heads = kHeads, p.kv_heads = kKvHeads, p.head_dim = kHeadDim, p.queries = kQueries, p.keys = kKeys;
    p.scale = 0.3f, p.window_left = 7, p.window_right = 0, p.sinks = sinks;
    if (modified_) {
      p.softcap = 2.0f, p.alibi_slopes = slopes;
      p.dropout = {.threshold = 13107, .kept = 65536.0f / (65536 - 13107), .key = {1, 2}, .stream = 2};
    }
    return p;
  }

  std::mt19937 engine_;
  bool modified_;

 public:
  Tensor q{kQueries, kHeads, engine_, 2.0f}, k{kKeys, kKvHeads, engine_, 2.0f}, v{kKeys, kKvHeads, engine_, 1.0f},
      out{kQueries, kHeads, engine_, 0.0f}, dout{kQueries, kHeads, engine_, 1.0f}, dq{kQueries, kHeads, engine_, 0.0f},
      dk{kKeys, kKvHeads, engine_, 0.0f}, dv{kKeys, kKvHeads, engine_, 0.0f};
  DeviceArray<float> lse{kHeads * kQueries}, dsinks{kHeads};
  alignas(256) float slopes[kHeads] = {0.5f, 0.25f, 0.125f, 0.0625f};
  alignas(256) float sinks[kHeads] = {0.5f, -1.0f, 1.0f, 0.0f};
};

class FlashDifferencesTest : public ::testing::TestWithParam<bool> {};

TEST_P(FlashDifferencesTest, GradientsAreThoseOfForward) {
  Problem problem(GetParam());
  problem.backward();
  const auto check = [&](const char* name, float& input, float gradient) {
    constexpr float kStep = 1e-2f;
    const float before = input;
    input = before + kStep;
    const double above = problem.value();
    input = before - kStep;
    const double below = problem.value();
    input = before;
    const double difference = (above - below) / (2 * static_cast<double>(kStep));
    EXPECT_NEAR(static_cast<double>(gradient), difference, 2e-3 * (0.1 + std::abs(difference))) << name;
  };
  for (std::size_t i = 0; i < problem.q.values.size(); i += 17) check("dq", problem.q.values[i], problem.dq.values[i]);
  for (std::size_t i = 0; i < problem.k.values.size(); i += 17) check("dk", problem.k.values[i], problem.dk.values[i]);
  for (std::size_t i = 0; i < problem.v.values.size(); i += 17) check("dv", problem.v.values[i], problem.dv.values[i]);
  for (std::size_t i = 0; i < kHeads; ++i) check("dsinks", problem.sinks[i], problem.dsinks[i]);
}

INSTANTIATE_TEST_SUITE_P(Scores, FlashDifferencesTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Modified" : "Plain"; });

}  // namespace
}  // namespace powerhouse::testing
