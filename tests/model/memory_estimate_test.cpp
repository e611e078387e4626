// Memory as counted by hand for a small Llama.
#include <gtest/gtest.h>

#include "fixture.h"
#include "powerhouse/inspect.h"
#include "powerhouse/token_scores.h"

namespace powerhouse {
namespace {

using namespace testing;

TEST(MemoryEstimate, IsTheSumOfItsParts) {
  // Llama: vocabulary 44, hidden 24, 2 layers, 4 heads of 8, 2 of keys and values, MLP 40, head not tied, all bf16.
  const ModelReport report = inspect(fixture("families/llama_llama3"));
  const std::size_t linear = 2 * (24 * 32 + 2 * 24 * 16 + 32 * 24 + 3 * 24 * 40);
  const std::size_t all = linear + 2 * 44 * 24 + (2 * 2 + 1) * 24;
  const std::size_t adapters = 2 * 16 * ((24 + 32) + 2 * (24 + 16) + (32 + 24) + 3 * (24 + 40));
  const std::size_t tokens = 10;
  const std::size_t logits = tokens * 4 * 44;
  const std::size_t kept = activation_bytes(report.config, 10, Dtype::bf16) + logits;
  const std::size_t low_rank = tokens * 2 * 2 * 7 * 16;  // two layers of seven matrices
  ASSERT_EQ(static_cast<std::size_t>(report.parameters), all);

  const MemoryReport memory = estimate_memory(report, 10);
  EXPECT_EQ(memory.run.weights, 2 * all + 2 * (2 * 2 + 1) * 24);  // norms are float32 there
  EXPECT_EQ(memory.run.kv_cache, tokens * 2 * 2 * 16 * 2);
  EXPECT_EQ(memory.run.activations, tokens * 2 * (3 * 24 + 3 * 40) + 4 * 44);
  EXPECT_EQ(memory.train_full.total(), 8 * all + kept);
  EXPECT_EQ(memory.train_lora.total(), 2 * all + 16 * adapters + kept + low_rank);
  const double nf4 = 4.0 + 8.0 / 64 + 32.0 / (64 * 256);
  const auto quantized =
      static_cast<std::size_t>(2.0 * static_cast<double>(all - linear) + nf4 / 8 * static_cast<double>(linear) +
                               4.0 * static_cast<double>(adapters));
  EXPECT_EQ(memory.train_qlora.weights, quantized);
  EXPECT_EQ(memory.train_qlora.activations, kept + low_rank + 2 * 24 * 40);
}

TEST(MemoryEstimate, WeightsAreThoseThatALoadedModelHolds) {
  for (const char* name : {"tiny_gqa", "tiny_bf16", "tiny_blocks_q4_0.gguf", "families/qwen2_tied",
                           "families/mixtral_fused", "families/llama_llama3"}) {
    const MemoryAccount account = load(name, Dtype::automatic).memory();
    EXPECT_EQ(estimate_memory(inspect(fixture(name))).run.weights, account.weights + account.mapped) << name;
  }
}

TEST(MemoryEstimate, TakesTheModelsOwnLength) {
  EXPECT_EQ(estimate_memory(inspect(fixture("families/llama_llama3"))).tokens, 64);
}

// Sizes and factors that no machine holds are counted too, without an overflow.
TEST(MemoryEstimate, HugeModels) {
  ModelReport report = inspect(fixture("families/llama_llama3"));
  report.config.vocab_size = report.config.hidden_size = (std::int64_t{1} << 31) - 1;
  for (Block& block : report.config.layers) {
    block.attention.num_heads = block.attention.num_key_value_heads = block.attention.head_dim = 1 << 20;
    block.mlp.intermediate_size = (std::int64_t{1} << 31) - 1;
    block.rope.scaling = RopeScaling::linear;
    block.rope.factor = 1e300;
  }
  EXPECT_GE(longest_sequence(report.config), std::int64_t{1} << 40);
  const MemoryReport memory = estimate_memory(report, std::int64_t{1} << 40);
  EXPECT_GT(memory.train_full.weights, std::size_t{1} << 61);
  EXPECT_GT(memory.train_full.activations, std::size_t{1} << 40);
}

}  // namespace
}  // namespace powerhouse
