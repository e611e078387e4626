// Adapters in sessions: low-rank terms run in the plan, with PEFT's logits, in bits that neither the batch nor the
// threads change; what a plan has no steps for gives PEFT's logits through the decoder.
#include <algorithm>
#include <cmath>
#include <thread>

#include "adapter_fixture.h"
#include "expect_error.h"
#include "kernels/cpu/kernels.h"
#include "model/causal_lm_impl.h"
#include "powerhouse/session.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

using namespace testing;

using Ids = std::vector<std::int64_t>;

Ids some(std::int64_t count, std::int64_t first = 0) {
  Ids ids;
  for (std::int64_t i = first; i < first + count; ++i) ids.push_back((i * i * 31 + i * 7 + 22) % 43);
  return ids;
}

bool runs_in_plan(const CausalLM& model) {
  const CausalLM::Impl& impl = model.impl();
  return impl.model->plan != nullptr && impl.plan_adapters.of(impl.model->config, impl.adapters) != nullptr;
}

at::Tensor logits_of(const CausalLM& model, const Ids& ids) {
  Session session(model, {.kv_type = KvType::f32});
  return session.forward(session.create(), ids, LogitsOf::all);
}

// A plan of weights in float32, whatever the file has.
CausalLM planned(const AdapterCase& one) {
  CausalLM model = one.base(Dtype::f32);
  Model& of = *model.impl().model;
  of.plan = Plan::compile(of.config, of.weights);
  return model;
}

class InPlan : public ::testing::TestWithParam<AdapterCase> {};

std::vector<AdapterCase> low_rank_cases() {
  const std::vector<std::string> names = {"lora",     "all_linear", "pattern", "layers", "gpt2",
                                          "gpt_neox", "falcon",     "phi3",    "pissa",  "olora"};
  std::vector<AdapterCase> cases = adapter_cases();
  std::erase_if(cases,
                [&](const AdapterCase& one) { return std::find(names.begin(), names.end(), one.name) == names.end(); });
  return cases;
}

TEST_P(InPlan, HasPeftsLogits) {
  CausalLM model = planned(GetParam());
  const Tensors expected = GetParam().expected();
  const Ids ids = to_vector(expected["input_ids"]);
  const at::Tensor plain = logits_of(model, ids);
  model.load_adapter(GetParam().folder(), "a");
  ASSERT_TRUE(runs_in_plan(model));
  const at::Tensor whole = logits_of(model, ids);
  EXPECT_TRUE(close(whole, expected["logits"][0], kLogitsTolerance));
  Session session(model, {.kv_type = KvType::f32});
  const SequenceId sequence = session.create();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const at::Tensor one = session.forward(sequence, std::span(ids).subspan(i, 1));
    EXPECT_TRUE(close(one, whole.narrow(0, static_cast<std::int64_t>(i), 1), kSameF32)) << i;
  }
  disable_adapters(model);
  EXPECT_TRUE(logits_of(model, ids).equal(plain));
}

// More rows than are multiplied one by one.
TEST_P(InPlan, HasTheDecodersLogitsOfALongPrompt) {
  CausalLM model = planned(GetParam());
  CausalLM decoder = GetParam().base(Dtype::f32);
  ASSERT_EQ(decoder.impl().model->plan, nullptr);
  for (CausalLM* one : {&model, &decoder}) {
    one->impl().model->config.max_position_embeddings = 2048;
    one->load_adapter(GetParam().folder(), "a");
  }
  const std::int64_t learned = model.config().learned_positions;
  const Ids ids = some(learned > 0 ? std::min<std::int64_t>(learned, 48) : 150);
  ASSERT_GT(ids.size(), 32u);
  const at::Tensor found = logits_of(model, ids);
  const at::Tensor expected = decoder.forward(to_tensor(ids))[0];
  // The plan multiplies by bf16 where the file has it, with a relative error of 2^-9 of many rows.
  const Plan& plan = *model.impl().model->plan;
  if (!plan.matrix(0, Role::o_proj)->takes_bf16() && !plan.matrix(-1, Role::lm_head)->takes_bf16()) {
    EXPECT_TRUE(close(found, expected, kLogitsTolerance));
  } else {
    EXPECT_LT(found.sub(expected).square().mean().sqrt().div(expected.std()).item<double>(), 1e-2);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, InPlan, ::testing::ValuesIn(low_rank_cases()), case_name);

class NotInPlan : public ::testing::TestWithParam<AdapterCase> {};

std::vector<AdapterCase> other_cases() {
  const std::vector<std::string> names = {"dora",    "head",    "saved",     "bias_all", "tokens",  "embeddings",
                                          "mixtral", "gpt_oss", "qwen2_moe", "ia3",      "ia3_gpt2"};
  std::vector<AdapterCase> cases = adapter_cases();
  std::erase_if(cases,
                [&](const AdapterCase& one) { return std::find(names.begin(), names.end(), one.name) == names.end(); });
  return cases;
}

TEST_P(NotInPlan, HasPeftsLogits) {
  CausalLM model = planned(GetParam());
  const Tensors expected = GetParam().expected();
  model.load_adapter(GetParam().folder(), "a");
  EXPECT_FALSE(runs_in_plan(model));
  EXPECT_TRUE(close(logits_of(model, to_vector(expected["input_ids"])), expected["logits"][0], kLogitsTolerance));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, NotInPlan, ::testing::ValuesIn(other_cases()), case_name);

// Every element another, of both matrices.
void fill(CausalLM& model, const std::string& name, double size) {
  for (auto& [key, tensor] : adapter_tensors(model, name)) {
    const auto type = tensor.scalar_type();
    at::Tensor values = empty_tensor({tensor.numel()}, at::kFloat);
    for (std::int64_t i = 0; i < values.numel(); ++i) {
      values.data_ptr<float>()[i] = static_cast<float>(size * std::sin(static_cast<double>(i * i % 977 + 1)));
    }
    tensor.detach().copy_(values.view(tensor.sizes()).to(type));
  }
}

// Two adapters of odd ranks, one upon the other; the head among their targets.
void add_two(CausalLM& model, Dtype first = Dtype::f32) {
  const std::vector<std::string> all = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  model.add_adapter("a", {.rank = 5, .alpha = 3, .target_modules = all, .dtype = first});
  model.add_adapter("b", {.rank = 37, .alpha = 20, .target_modules = {"k_proj", "up_proj", "down_proj", "lm_head"}});
  fill(model, "a", 0.2);
  fill(model, "b", 0.1);
  const AdapterWeight both[] = {{.name = "a", .weight = 0.7}, {.name = "b"}};
  set_adapters(model, both);
}

struct Base {
  const char* name;
  const char* path;

  friend void PrintTo(const Base& base, std::ostream* out) { *out << base.path; }
};

class Stacked : public ::testing::TestWithParam<Base> {
 protected:
  void TearDown() override { set_team_threads(threads_); }
  static CausalLM load_long(Dtype dtype) {
    CausalLM model = load(GetParam().path, dtype);
    model.impl().model->config.max_position_embeddings = 2048;
    return model;
  }
  int threads_ = team_threads();
};

TEST_P(Stacked, StayCloseToFloat32) {
  for (const Dtype type : {Dtype::f32, Dtype::bf16}) {
    CausalLM model = load_long(Dtype::automatic);
    CausalLM exact = load_long(Dtype::f32);
    const Ids ids = some(70);
    const at::Tensor plain = exact.forward(to_tensor(ids))[0];
    const std::size_t weights = model.memory().weights;
    for (CausalLM* one : {&model, &exact}) add_two(*one, type);
    ASSERT_TRUE(runs_in_plan(model));
    const at::Tensor expected = exact.forward(to_tensor(ids))[0];
    const double spread = expected.std().item<double>();
    const auto error = [&](const at::Tensor& found, const at::Tensor& wanted) {
      return found.sub(wanted).square().mean().sqrt().item<double>() / spread;
    };
    ASSERT_GT(error(plain, expected), 0.1);  // the adapters matter
    // Rows in codes of 15 bits; as rows of many, bf16's with a relative error of 2^-9 where the processor has it.
    const Ids start(ids.begin(), ids.begin() + 32);
    EXPECT_LT(error(logits_of(model, start), expected.narrow(0, 0, 32)), 1e-3);
    EXPECT_LT(error(logits_of(model, ids), expected), cpu::kernels().gemm_type == Element::bf16 ? 2e-2 : 1e-3);
    EXPECT_EQ(model.memory().weights, weights);  // no weight became dense
  }
}

TEST_P(Stacked, BitsDependNeitherOnTheBatchNorOnTheThreads) {
  CausalLM model = load_long(Dtype::automatic);
  add_two(model);
  const std::int64_t counts[] = {40, 3, 1, 70, 1, 1};
  std::vector<Ids> inputs;
  std::vector<at::Tensor> alone;
  set_team_threads(1);
  for (std::int64_t i = 0; i < 6; ++i) {
    inputs.push_back(some(counts[i], 100 * i));
    alone.push_back(logits_of(model, inputs.back()));
  }
  for (const int threads : {1, 2, 3, 5}) {
    set_team_threads(threads);
    for (const std::vector<std::size_t>& order : {std::vector<std::size_t>{0, 1, 2, 3}, {2, 3, 1, 4, 0, 5}, {2}}) {
      Session session(model, {.kv_type = KvType::f32});
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

// What an optimizer does between two passes.
TEST_P(Stacked, AreReadAsTheyAreNow) {
  CausalLM model = load_long(Dtype::automatic);
  add_two(model);
  const Ids ids = some(50);
  logits_of(model, ids);
  fill(model, "a", 0.05);
  const at::Tensor found = logits_of(model, ids);
  CausalLM fresh = load_long(Dtype::automatic);
  add_two(fresh);
  fill(fresh, "a", 0.05);
  EXPECT_TRUE(found.equal(logits_of(fresh, ids)));
  // The same tensor in another place.
  for (CausalLM* one : {&model, &fresh}) {
    at::Tensor tensor = adapter_tensors(*one, "b").front().second;
    if (one == &model) tensor.set_data(tensor.detach().mul(2));
    if (one == &fresh) tensor.detach().mul_(2);
  }
  EXPECT_TRUE(logits_of(model, ids).equal(logits_of(fresh, ids)));
}

TEST_P(Stacked, FollowWhatIsActive) {
  CausalLM model = load_long(Dtype::automatic);
  const Ids ids = some(40);
  const at::Tensor plain = logits_of(model, ids);
  add_two(model);
  const at::Tensor both = logits_of(model, ids);
  const CausalLM base = model.share();
  EXPECT_TRUE(logits_of(base, ids).equal(plain));
  set_adapter(model, "b");
  EXPECT_FALSE(logits_of(model, ids).equal(both));
  disable_adapters(model);
  EXPECT_TRUE(logits_of(model, ids).equal(plain));
}

TEST_P(Stacked, ServeSeveralThreads) {
  CausalLM model = load_long(Dtype::automatic);
  add_two(model);
  const Ids ids = some(20);
  CausalLM other = load_long(Dtype::automatic);
  add_two(other);
  const at::Tensor expected = logits_of(other, ids);
  std::vector<at::Tensor> found(4);
  std::vector<std::thread> threads;
  for (at::Tensor& one : found) threads.emplace_back([&] { one = logits_of(model, ids); });
  for (std::thread& thread : threads) thread.join();
  for (const at::Tensor& one : found) EXPECT_TRUE(one.equal(expected));
}

TEST_P(Stacked, AreNamedWhereTheyAreNotFinite) {
  CausalLM model = load_long(Dtype::automatic);
  add_two(model);
  const std::size_t weights = model.memory().weights;
  for (auto& [name, tensor] : adapter_tensors(model, "a")) {
    if (name.find("layers.1.mlp.up_proj.lora_B") != std::string::npos) tensor.detach().fill_(NAN);
  }
  for (const std::int64_t count : {3, 40}) {
    expect_error(ErrorKind::numeric, "layer 1 mlp_activation", [&] { logits_of(model, some(count)); });
  }
  EXPECT_EQ(model.memory().weights, weights);
}

INSTANTIATE_TEST_SUITE_P(Bases, Stacked,
                         ::testing::Values(Base{"q8_0", "tiny_blocks_q8_0.gguf"}, Base{"q4_0", "tiny_blocks_q4_0.gguf"},
                                           Base{"bf16", "tiny_bf16"}, Base{"f32", "tiny_blocks"}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace powerhouse
