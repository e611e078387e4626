// Decoding by graphs gives the bits of plain decoding, whatever changes between steps.
#include <cstdlib>

#include "device_fixture.h"
#include "model/fixture.h"
#include "powerhouse/adapter.h"
#include "powerhouse/error.h"
#include "powerhouse/session.h"

namespace powerhouse::pretended_device {
namespace {

using testing::fixture;
using testing::random_tensor;

class DeviceDecode : public WithGraphs {};

using Ids = std::vector<std::int64_t>;

CausalLM load(const std::string& name, const char* where, Dtype dtype) {
  return CausalLM::from_pretrained(fixture(name), {.dtype = dtype, .device = parse_device(where)});
}

// Sequences that come, fork, grow over the room of a table and go, decoded side by side.
class Script {
 public:
  Script(const CausalLM& model, KvType type, bool graphs)
      : session_(model, {.kv_type = type, .page_tokens = 4, .cuda_graphs = graphs}) {}

  void begin(std::int64_t count) {
    sequences_.push_back(session_.create());
    Ids ids;
    for (std::int64_t i = 0; i < count; ++i) ids.push_back((i * 31 + 5 * count) % 37);
    logits.push_back(session_.forward(sequences_.back(), ids));
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i, ++step_) {
      Ids ids;
      for (std::size_t s = 0; s < sequences_.size(); ++s) {
        ids.push_back((7 * step_ + 13 * static_cast<std::int64_t>(s)) % 37);
      }
      std::vector<SequenceInput> batch;
      for (std::size_t s = 0; s < sequences_.size(); ++s) batch.push_back({sequences_[s], {&ids[s], 1}});
      logits.push_back(session_.forward(batch));
    }
  }
  void end(std::size_t sequence) {
    session_.remove(sequences_[sequence]);
    sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(sequence));
  }
  void fork() { sequences_.push_back(session_.fork(sequences_.front())); }
  void truncate(std::int64_t length) { session_.truncate(sequences_.front(), length); }

  void run() {
    begin(27);
    steps(8);  // past 32 tokens, the first room
    begin(5);
    begin(2);
    steps(4);
    end(1);
    steps(3);
    fork();
    steps(3);
    truncate(6);
    steps(3);
  }

  Tensors logits{};

 private:
  Session session_;
  std::vector<SequenceId> sequences_{};
  std::int64_t step_ = 0;
};

struct Outcome {
  Tensors logits;
  int captures, replays;
};
Outcome run(const CausalLM& model, KvType type, bool graphs) {
  const int recorded = captures(), replayed = replays();
  Script script(model, type, graphs);
  script.run();
  return {script.logits, captures() - recorded, replays() - replayed};
}

void expect_same_bits(const Outcome& found, const Outcome& expected, const std::string& name) {
  ASSERT_EQ(found.logits.size(), expected.logits.size());
  for (std::size_t i = 0; i < found.logits.size(); ++i) {
    EXPECT_TRUE(found.logits[i].equal(expected.logits[i]))
        << name << ", pass " << i << ": " << error_of(found.logits[i], expected.logits[i]);
  }
}

TEST_F(DeviceDecode, DecodeAsPlainStepsDo) {
  struct Case {
    const char* name;
    Dtype dtype, on_cpu;
    KvType type;
    double tolerance;
  };
  const Case cases[] = {{"tiny_bf16", Dtype::automatic, Dtype::bf16, KvType::automatic, 3e-2},
                        {"tiny_blocks", Dtype::f32, Dtype::f32, KvType::q8_0, 1e-3},
                        {"tiny_blocks", Dtype::f32, Dtype::f32, KvType::q4_0, 2e-2},
                        {"tiny_blocks_q4_0.gguf", Dtype::automatic, Dtype::bf16, KvType::q8_0, 6e-2}};
  for (const Case& c : cases) {
    const CausalLM far = load(c.name, "cuda", c.dtype);
    const Outcome by_graphs = run(far, c.type, true), plain = run(far, c.type, false),
                  on_cpu = run(load(c.name, "cpu", c.on_cpu), c.type, true);
    EXPECT_EQ(plain.replays + on_cpu.replays, 0);
    // Of one sequence with two rooms, of three, and of two; those of three serve again behind the fork.
    EXPECT_EQ(by_graphs.captures, 4) << c.name;
    EXPECT_EQ(by_graphs.replays, 21 - 4) << c.name;
    expect_same_bits(by_graphs, plain, c.name);
    for (std::size_t i = 0; i < on_cpu.logits.size(); ++i) {
      EXPECT_LT(error_of(by_graphs.logits[i], on_cpu.logits[i]), c.tolerance) << c.name << ", pass " << i;
    }
  }
}

TEST_F(DeviceDecode, EveryFamilyDecodes) {
  int recorded = 0;
  for (const std::string& name : testing::family_names()) {
    const CausalLM far = load("families/" + name, "cuda", Dtype::f32);
    try {
      Tensors found[2];
      const int before = captures();
      for (const bool graphs : {false, true}) {
        Script script(far, KvType::f32, graphs);
        script.begin(3);
        script.steps(3);
        found[graphs] = script.logits;
      }
      for (std::size_t i = 0; i < found[0].size(); ++i) EXPECT_TRUE(found[1][i].equal(found[0][i])) << name << " " << i;
      recorded += captures() - before;
    } catch (const Error& error) {  // heads that no kernel takes
      EXPECT_NE(std::string(error.what()).find("head_dim"), std::string::npos) << name << ": " << error.what();
    }
  }
  EXPECT_GT(recorded, 25);  // but mixtures of experts
}

TEST_F(DeviceDecode, FollowAdaptersHooksAndWeights) {
  CausalLM model = load("tiny_blocks", "cuda", Dtype::f32);
  const auto learn = [&](const char* name, std::int64_t seed) {
    model.add_adapter(name, LoraConfig{.rank = 4, .seed = static_cast<std::uint64_t>(seed)});
    for (const auto& [parameter, tensor] : model.trainable_parameters()) {
      const c10::AutoGradMode off(false);
      at::Tensor(tensor).copy_(random_tensor(tensor.sizes(), tensor.scalar_type(), seed).mul(0.1));
    }
  };
  learn("a", 3);
  learn("b", 4);
  const std::vector<std::function<void()>> changes{
      [&] { set_adapter(model, "a"); },
      [&] { set_adapter(model, "b"); },
      [&] {
        const c10::AutoGradMode off(false);  // as a step of training writes
        for (const auto& [parameter, tensor] : model.trainable_parameters()) at::Tensor(tensor).mul_(1.5);
      },
      [&] {
        const c10::AutoGradMode off(false);
        model.parameter("model.layers.0.mlp.up_proj.weight").mul_(-1);
      },
      [&] {  // to other places
        for (const auto& [parameter, tensor] : model.trainable_parameters()) tensor.set_data(tensor.detach().mul(0.5));
      },
      [&] { disable_adapters(model); },
      [&] {
        at::Tensor weight = model.parameter("model.layers.1.mlp.down_proj.weight");
        weight.set_data(weight.detach().mul(0.5));
      },
  };
  Script by_graphs(model, KvType::f32, true), plain(model, KvType::f32, false);
  for (Script* const script : {&by_graphs, &plain}) script->begin(6);
  for (std::size_t change = 0; change < changes.size(); ++change) {
    changes[change]();
    const int before = replays();
    for (Script* const script : {&by_graphs, &plain}) script->steps(3);
    EXPECT_GE(replays() - before, 2) << change;
    for (std::size_t i = 0; i < plain.logits.size(); ++i) {
      EXPECT_TRUE(by_graphs.logits[i].equal(plain.logits[i])) << "change " << change << ", pass " << i;
    }
  }
  const int before = replays();
  int seen = 0;
  const HookHandle hook = model.add_hook({HookPoint::layer_output, 0}, [&](const at::Tensor&, const HookContext&) {
    ++seen;
    return at::Tensor();
  });
  by_graphs.steps(2);
  EXPECT_EQ(seen, 2);
  EXPECT_EQ(replays(), before);
  model.remove_hook(hook);
  by_graphs.steps(1);
  EXPECT_EQ(replays(), before + 1) << "the graph is still there";
}

TEST_F(DeviceDecode, LeaveAdaptersThatAskTheHost) {
  for (const LoraConfig& config : {LoraConfig{.rank = 4, .use_dora = true, .seed = 7},
                                   LoraConfig{.rank = 4, .trainable_token_indices = {5, 36}, .seed = 7}}) {
    CausalLM model = load("tiny_blocks", "cuda", Dtype::f32);
    model.add_adapter("a", config);
    const int before = replays();
    Script script(model, KvType::f32, true);
    script.begin(3);
    script.steps(3);
    EXPECT_EQ(replays(), before);
  }
}

TEST_F(DeviceDecode, CanBeTurnedOff) {
  const CausalLM model = load("tiny_blocks", "cuda", Dtype::f32);
  ASSERT_EQ(setenv("POWERHOUSE_CUDA_GRAPHS", "0", 1), 0);
  const Outcome off = run(model, KvType::f32, true);
  ASSERT_EQ(unsetenv("POWERHOUSE_CUDA_GRAPHS"), 0);
  EXPECT_EQ(off.captures + off.replays, 0);
}

}  // namespace
}  // namespace powerhouse::pretended_device
