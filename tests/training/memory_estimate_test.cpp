// What `inspect` says that training takes, held to what LibTorch's allocator hands out in steps of training.
#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "powerhouse/adapter.h"
#include "powerhouse/inspect.h"
#include "powerhouse/model_initialization.h"
#include "powerhouse/optimizer.h"

namespace powerhouse {
namespace {

constexpr const char* kConfig = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 2000,
  "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6, "num_attention_heads": 8,
  "num_key_value_heads": 4, "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "hidden_act": "silu",
  "tie_word_embeddings": true})";

struct Meter : c10::MemoryReportingInfoBase {
  std::int64_t live = 0, most = 0;
  void reportMemoryUsage(void*, std::int64_t bytes, std::size_t, std::size_t, c10::Device) override {
    most = std::max(most, live += bytes);
  }
  bool memoryProfilingEnabled() const override { return true; }
};

// The most that two steps hold beside weights. States lie in a mapping of their own, which LibTorch's allocator does
// not see: their bytes are the optimizer's.
double measured(const CausalLM& model, std::int64_t tokens) {
  TokenBatch batch;
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < tokens; ++i) ids.push_back(i * 7 % model.config().vocab_size);
  batch.add(ids);
  const auto meter = std::make_shared<Meter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
  Optimizer optimizer(make_parameter_groups(model.trainable_parameters()), AdamWOptions{});
  for (int step = 0; step < 2; ++step) {
    model.loss(batch, static_cast<double>(batch.target_count())).loss.backward();
    optimizer.step();
    optimizer.zero_grad();
  }
  return static_cast<double>(meter->most) + static_cast<double>(optimizer.state_bytes());
}

double beside_weights(const MemoryEstimate& estimate) {
  return static_cast<double>(estimate.total() - estimate.weights);
}

class MemoryOfTraining : public ::testing::TestWithParam<std::int64_t> {
 protected:
  CausalLM model_ = CausalLM::from_config(config_from_json(kConfig), {.dtype = Dtype::bf16});
  MemoryReport estimate_ = estimate_memory(ModelReport{.config = model_.config()}, GetParam());
};

TEST_P(MemoryOfTraining, AllWeights) {
  model_.set_requires_grad(true);
  const double found = measured(model_, GetParam()), said = beside_weights(estimate_.train_full);
  RecordProperty("found", std::to_string(found));
  RecordProperty("said", std::to_string(said));
  EXPECT_LE(found, 1.05 * said);
  EXPECT_GE(found, 0.7 * said);
}

TEST_P(MemoryOfTraining, Lora) {
  model_.add_adapter("a", {.rank = 16, .target_modules = {"all-linear"}});
  const double found = measured(model_, GetParam()), said = beside_weights(estimate_.train_lora);
  RecordProperty("found", std::to_string(found));
  RecordProperty("said", std::to_string(said));
  EXPECT_LE(found, 1.05 * said);
  EXPECT_GE(found, 0.7 * said);
}

INSTANTIATE_TEST_SUITE_P(Tokens, MemoryOfTraining, ::testing::Values(64, 256, 1024));

}  // namespace
}  // namespace powerhouse
