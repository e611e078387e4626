// Plans on many rows: bits that neither the batch nor the threads change, positions behind which attention is cut into
// parts and multiplied in bf16, and several sessions of one plan at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "fixture.h"
#include "kernels/cpu/kernels.h"
#include "model/causal_lm_impl.h"
#include "model/plan_buffers.h"
#include "powerhouse/session.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

using namespace testing;

using Ids = std::vector<std::int64_t>;

Ids quadratic_ids(std::int64_t count, std::int64_t first = 0) {
  Ids ids;
  for (std::int64_t i = first; i < first + count; ++i) ids.push_back((i * i * 31 + i * 7 + 22) % 61);
  return ids;
}

// A tiny model that takes more tokens than it was made for.
CausalLM load_long(const std::string& name, Dtype dtype) {
  CausalLM model = load(name, dtype);
  model.impl().model->config.max_position_embeddings = 2048;
  return model;
}

// Root mean square of the difference of each row, in standard deviations of the logits.
std::vector<double> errors_of(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor errors = found.sub(expected).square().mean(1).sqrt().div(expected.std()).contiguous();
  const auto* data = errors.const_data_ptr<float>();
  std::vector<double> sorted(data, data + errors.numel());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

// Whether many rows of packed weights are multiplied so, and attention of many rows over more than 256 positions.
bool in_bf16() { return cpu::kernels().gemm_type == Element::bf16; }

class ManyRows : public ::testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { set_team_threads(threads_); }
  int threads_ = team_threads();
};

// More rows than are multiplied by codes beside fewer, in every order.
TEST_P(ManyRows, BitsDependNeitherOnTheBatchNorOnTheThreads) {
  const CausalLM model = load_long(GetParam(), Dtype::automatic);
  ASSERT_NE(model.impl().model->plan, nullptr);
  const std::int64_t counts[] = {40, 3, 1, 70};
  std::vector<Ids> inputs;
  std::vector<at::Tensor> alone;
  for (std::int64_t i = 0; i < 4; ++i) {
    inputs.push_back(quadratic_ids(counts[i], 100 * i));
    Session session(model);
    set_team_threads(1);
    alone.push_back(session.forward(session.create(), inputs.back(), LogitsOf::all));
  }
  for (const int threads : {1, 2, 3}) {
    set_team_threads(threads);
    for (const std::vector<std::size_t>& order : std::vector<std::vector<std::size_t>>{{0, 1, 2, 3}, {2, 3, 1, 0}}) {
      Session session(model);
      std::vector<SequenceInput> batch;
      for (const std::size_t i : order) batch.push_back({session.create(), inputs[i], LogitsOf::all});
      const at::Tensor together = session.forward(batch);
      std::int64_t row = 0;
      for (const std::size_t i : order) {
        EXPECT_TRUE(together.narrow(0, row, counts[i]).equal(alone[i])) << threads << " threads, rows " << counts[i];
        row += counts[i];
      }
    }
  }
}

// Few rows are multiplied in codes of 15 bits; many are rounded to bf16 where the processor multiplies it, by 2^-9 of
// each number, and one whose router was in two minds may go to another expert for it.
TEST_P(ManyRows, StayNearTheDecoder) {
  const CausalLM model = load_long(GetParam(), Dtype::automatic);
  const CausalLM reference = load_long(GetParam(), Dtype::f32);
  ASSERT_EQ(reference.impl().model->plan, nullptr);
  for (const std::int64_t count : {3, 40, 70}) {
    const Ids ids = quadratic_ids(count);
    Session session(model, {.kv_type = KvType::f32});
    const at::Tensor found = session.forward(session.create(), ids, LogitsOf::all);
    const std::vector<double> errors = errors_of(found, reference.forward(to_tensor(ids))[0]);
    EXPECT_LT(errors[errors.size() / 2], count > 32 && in_bf16() ? 2e-2 : 2e-4) << count;
  }
}

// Also while someone sets the number of threads.
TEST_P(ManyRows, SessionsOfOnePlanRunAtOnce) {
  const CausalLM model = load_long(GetParam(), Dtype::automatic);
  const Ids prompt = quadratic_ids(45);
  const auto run = [&] {
    Session session(model);
    const SequenceId sequence = session.create();
    std::vector<at::Tensor> rows = {session.forward(sequence, prompt, LogitsOf::all)};
    for (const std::int64_t id : quadratic_ids(20, 45)) rows.push_back(session.forward(sequence, std::span(&id, 1)));
    return concatenate(rows, 0);
  };
  const at::Tensor expected = run();
  std::atomic<int> running{4};
  std::vector<char> same(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < same.size(); ++i) {
    threads.emplace_back([&, i] {
      bool all = true;
      for (int round = 0; round < 3; ++round) all = run().equal(expected) && all;
      same[i] = all ? 1 : 0;
      --running;
    });
  }
  for (int count = 1; running > 0; count = count % 5 + 1) set_team_threads(count);
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < same.size(); ++i) EXPECT_EQ(same[i], 1) << i;
}

INSTANTIATE_TEST_SUITE_P(Tiny, ManyRows,
                         ::testing::Values("tiny_blocks_q4_0.gguf", "tiny_blocks_q8_0.gguf", "tiny_bf16",
                                           "tiny_experts_q4_0.gguf", "tiny_shared_expert_q8_0.gguf"),
                         [](const auto& info) {
                           const std::string name(info.param);
                           return name.substr(0, name.find('.'));
                         });

// What a long prompt needed is let go; what fewer rows needed waits for the next pass.
TEST(PlanBuffers, AreKeptUpToABound) {
  const CausalLM model = load_long("tiny_blocks_q4_0.gguf", Dtype::automatic);
  model.impl().model->config.max_position_embeddings = 1 << 20;
  const Plan& plan = *model.impl().model->plan;
  Session session(model, {.prefill_chunk = 1 << 20});
  session.forward(session.create(), quadratic_ids(200), LogitsOf::last);
  const std::size_t of_200 = plan.waiting_bytes();
  EXPECT_GT(of_200, 200 * 64 * sizeof(float));
  const auto too_many = static_cast<std::int64_t>(kKeptBytes / (of_200 / 200) + 100);
  session.forward(session.create(), quadratic_ids(too_many), LogitsOf::last);
  EXPECT_EQ(plan.waiting_bytes(), 0u);
  session.forward(session.create(), quadratic_ids(1), LogitsOf::last);
  EXPECT_GT(plan.waiting_bytes(), 0u);
  EXPECT_LT(plan.waiting_bytes(), of_200);
}

struct Change {
  const char* name;
  void (*apply)(Block& block);

  friend void PrintTo(const Change& change, std::ostream* out) { *out << change.name; }
};

constexpr Change kChanges[] = {
    {"plain", [](Block&) {}},
    // Neither a multiple of a page nor of a part.
    {"window", [](Block& block) { block.attention.sliding_window = 301; }},
    {"narrow_window", [](Block& block) { block.attention.sliding_window = 37; }},
    {"alibi", [](Block& block) { block.position = PositionKind::alibi; }},
    {"softcap", [](Block& block) { block.attention.softcap = 2.0f; }},
    {"sinks", [](Block& block) { block.attention.sinks = true; }},
    {"window_alibi_softcap",
     [](Block& block) {
       block.position = PositionKind::alibi;
       block.attention.sliding_window = 301;
       block.attention.softcap = 2.0f;
     }},
    {"window_softcap_sinks",
     [](Block& block) {
       block.attention.sliding_window = 301;
       block.attention.softcap = 2.0f;
       block.attention.sinks = true;
     }},
};

class LongPlan : public ::testing::TestWithParam<std::tuple<Change, KvType>> {
 protected:
  static constexpr std::int64_t kLength = 600;

  static CausalLM changed(const char* name, Dtype dtype) {
    CausalLM model = load_long(name, dtype);
    Model& inside = *model.impl().model;
    for (std::size_t i = 0; i < inside.config.layers.size(); ++i) {
      Block& block = inside.config.layers[i];
      std::get<0>(GetParam()).apply(block);
      if (!block.attention.sinks) continue;
      at::Tensor sinks = empty_tensor({block.attention.num_heads}, at::kFloat);
      for (std::int64_t head = 0; head < sinks.numel(); ++head) {
        sinks.data_ptr<float>()[head] = 3.0f * static_cast<float>(head) - 2.0f;
      }
      const ParameterSpec spec{.role = Role::sinks, .layer = static_cast<std::int64_t>(i), .name = "sinks"};
      inside.weights.weight(spec) = Weight::dense("sinks", sinks);
    }
    return model;
  }

  // By LibTorch's operations in float32, over what the cache has made of keys and values.
  static at::Tensor by_library(const char* name, const Ids& ids) {
    CausalLM model = changed(name, Dtype::f32);
    model.set_requires_grad(true);
    const Model& inside = *model.impl().model;
    std::vector<KvCache::LayerShape> layers;
    for (const Block& block : inside.config.layers) {
      layers.push_back({block.attention.num_key_value_heads, block.attention.head_dim});
    }
    KvCache cache(layers, format_of(std::get<1>(GetParam())), 16);
    PackedBatch batch;
    batch.add(ids, 0);
    batch.sequences.push_back(cache.create());
    cache.reserve(batch.sequences[0], kLength);
    for (std::int64_t row = 0; row < kLength; ++row) batch.logits_rows.push_back(row);
    return inside.decoder.forward(batch, &cache, {}).detach();
  }

  static BlockFormat format_of(KvType type) {
    switch (type) {
      case KvType::bf16: return BlockFormat::bf16;
      case KvType::f16: return BlockFormat::f16;
      case KvType::q8_0: return BlockFormat::q8_0;
      case KvType::q4_0: return BlockFormat::q4_0;
      default: return BlockFormat::f32;
    }
  }

  // All logits of a plan of the changed model, in pieces of `sizes`, repeated as often as needed.
  static at::Tensor by_plan(const char* name, Dtype dtype, const Ids& ids, const std::vector<std::size_t>& sizes) {
    const CausalLM model = changed(name, dtype);
    Model& inside = *model.impl().model;
    inside.plan = Plan::compile(inside.config, inside.weights);
    Session session(model, {.kv_type = std::get<1>(GetParam()), .prefill_chunk = 1024});
    const SequenceId sequence = session.create();
    std::vector<at::Tensor> rows;
    std::size_t done = 0;
    for (std::size_t i = 0; done < ids.size(); ++i) {
      const std::size_t count = std::min(sizes[i % sizes.size()], ids.size() - done);
      rows.push_back(session.forward(sequence, std::span(ids).subspan(done, count), LogitsOf::all));
      done += count;
    }
    return concatenate(rows, 0);
  }
};

// What the median row may be off. Float32 adds up in another order, codes of 15 bits are wrong by 1e-5 of a row, bf16
// by 2^-9 of each number; and what either does to a key or a value can push it into the next step of the cache's type,
// which are 2^-8, 1/127 and 1/8 of the largest of them.
double bound(bool packed, KvType type) {
  if (packed && in_bf16()) return type == KvType::q4_0 ? 0.15 : type == KvType::q8_0 ? 0.04 : 0.025;
  if (type == KvType::f32) return packed ? 3e-4 : 5e-6;
  return packed ? 1e-2 : 1e-3;
}

TEST_P(LongPlan, StaysNearTheDecoder) {
  const KvType type = std::get<1>(GetParam());
  const Ids ids = quadratic_ids(kLength);
  for (const bool packed : {false, true}) {
    const char* const name = packed ? "tiny_blocks_q8_0.gguf" : "tiny_blocks";
    const at::Tensor expected = by_library(name, ids);
    // All at once; few rows at a time; and single rows whose parts are cut between rows of many.
    for (const std::vector<std::size_t>& sizes :
         std::vector<std::vector<std::size_t>>{{1024}, {31}, {290, 1, 1, 3, 2, 270, 1}}) {
      const std::vector<double> errors = errors_of(by_plan(name, Dtype::automatic, ids, sizes), expected);
      EXPECT_LT(errors[errors.size() / 2], bound(packed, type)) << name << " by " << sizes[0];
      if (type == KvType::f32) {
        EXPECT_LT(errors.back(), packed ? (in_bf16() ? 0.1 : 1e-3) : 5e-5) << name << " by " << sizes[0];
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, LongPlan,
                         ::testing::Combine(::testing::ValuesIn(kChanges),
                                            ::testing::Values(KvType::f32, KvType::bf16, KvType::q8_0, KvType::q4_0)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param).name) + "_" +
                                  std::string(to_string(std::get<1>(info.param)));
                         });

}  // namespace
}  // namespace powerhouse
