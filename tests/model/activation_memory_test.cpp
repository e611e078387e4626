// The bytes that a training pass keeps: as counted, and as LibTorch's allocator reports them.
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include "../expect_error.h"
#include "fixture.h"

namespace powerhouse {
namespace {

using namespace testing;

struct Meter : c10::MemoryReportingInfoBase {
  std::int64_t live = 0;
  void reportMemoryUsage(void*, std::int64_t bytes, std::size_t, std::size_t, c10::Device) override { live += bytes; }
  bool memoryProfilingEnabled() const override { return true; }
};

// What lives when the forward pass is over.
std::int64_t measured(const CausalLM& model, std::int64_t documents, std::int64_t length, std::int64_t checkpointed) {
  TokenBatch batch;
  for (std::int64_t document = 0; document < documents; ++document) {
    std::vector<std::int64_t> ids;
    for (std::int64_t i = 0; i < length; ++i) ids.push_back((i * 7 + document * 5) % model.config().vocab_size);
    batch.add(ids);
  }
  const auto meter = std::make_shared<Meter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
  const TokenLoss loss = model.loss(batch, 1, {.checkpointed_layers = checkpointed});
  return meter->live;
}

class ActivationMemory : public ::testing::TestWithParam<std::string> {};

// The difference of two batches: what does not grow with the rows drops out.
TEST_P(ActivationMemory, IsWhatLives) {
  CausalLM model = load("families/" + GetParam());
  model.set_requires_grad(true);
  const ModelConfig& config = model.config();
  double rope_tables = 0;  // of each distinct one; at most
  for (const Block& block : config.layers) rope_tables += 4 * static_cast<double>(block.rope.rotary_dim);
  bool experts = false;
  for (const Block& block : config.layers) experts = experts || block.mlp.moe;
  for (const std::int64_t checkpointed : {0, 1}) {
    const std::int64_t rows = 40 * 12;
    const double found =
        static_cast<double>(measured(model, 41, 12, checkpointed) - measured(model, 1, 12, checkpointed));
    const auto counted = static_cast<double>(activation_bytes(config, rows, Dtype::f32, checkpointed));
    EXPECT_GE(found, 0.9 * counted);
    EXPECT_LE(found, counted * (experts ? 1.3 : 1.02) + static_cast<double>(rows) * (rope_tables + 64));
  }
}

INSTANTIATE_TEST_SUITE_P(Family, ActivationMemory, ::testing::ValuesIn(family_names()),
                         [](const auto& info) { return info.param; });

TEST(CheckpointedLayers, AreTheFewestThatFit) {
  // Llama: hidden 24, 2 layers, 4 heads of 8, 2 of keys and values, MLP 40.
  const ModelConfig config = load("families/llama_llama3").config();
  const std::size_t state = 2 * 24;
  const std::size_t layer = 2 * (2 * 24 + 2 * 32 + 2 * 16 + 2 * 40) + 4 * 4;
  const std::size_t rows = 10;
  EXPECT_EQ(activation_bytes(config, 10, Dtype::bf16), rows * (2 * layer + 2 * state));
  EXPECT_EQ(activation_bytes(config, 10, Dtype::bf16, 1), rows * (state + layer + 2 * state));
  EXPECT_EQ(activation_bytes(config, 10, Dtype::bf16, -1), rows * (2 * state + layer));
  const auto chosen = [&](std::size_t budget) { return checkpointed_layers_for(config, 10, Dtype::bf16, budget); };
  EXPECT_EQ(chosen(activation_bytes(config, 10, Dtype::bf16)), 0);
  EXPECT_EQ(chosen(activation_bytes(config, 10, Dtype::bf16) - 10), 1);
  EXPECT_EQ(chosen(activation_bytes(config, 10, Dtype::bf16, 1)), 1);
  EXPECT_EQ(chosen(activation_bytes(config, 10, Dtype::bf16, 1) - 10), 2);
  EXPECT_EQ(chosen(0), 2);
}

TEST(CheckpointedLayers, BadArguments) {
  const ModelConfig config = load("families/llama_llama3").config();
  expect_error(ErrorKind::range, "rows", [&] { checkpointed_layers_for(config, 0, Dtype::bf16, 1); });
  expect_error(ErrorKind::range, "layers", [&] { activation_bytes(config, 1, Dtype::bf16, 3); });
  expect_error(ErrorKind::usage, "dtype", [&] { activation_bytes(config, 1, Dtype::automatic); });
}

}  // namespace
}  // namespace powerhouse
