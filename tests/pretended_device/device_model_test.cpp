// A whole model on a device: logits, losses, gradients, and sessions over the device's paged cache equal the CPU's.
#include <numeric>

#include "device_fixture.h"
#include "expect_error.h"
#include "model/fixture.h"
#include "powerhouse/adapter.h"
#include "powerhouse/sequence_classifier.h"
#include "powerhouse/session.h"
#include "powerhouse/token_batch.h"
#include "powerhouse/token_scores.h"
#include "temporary_folder.h"

namespace powerhouse::pretended_device {
namespace {

using testing::fixture;

class DeviceModel : public OnDevice {};

using Ids = std::vector<std::int64_t>;

CausalLM load_here(const std::string& name, Dtype dtype = Dtype::bf16) {
  return CausalLM::from_pretrained(fixture(name), {.dtype = dtype});
}
CausalLM load_there(const std::string& name, Dtype dtype = Dtype::automatic) {
  return CausalLM::from_pretrained(fixture(name), {.dtype = dtype, .device = parse_device("cuda")});
}

Ids some(std::int64_t count, std::int64_t seed) {
  Ids ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back((i * 31 + seed * 17 + 5) % 61);
  return ids;
}

struct Case {
  const char* name;
  Dtype dtype;
  double tolerance;
};
// bf16 weights, and blocks of a file, which stay blocks on the device and are bf16 numbers on the CPU.
constexpr Case kCases[] = {{"tiny_bf16", Dtype::automatic, 3e-2},
                           {"tiny_blocks_q4_0.gguf", Dtype::automatic, 3e-2},
                           {"tiny_blocks_q8_0.gguf", Dtype::automatic, 3e-2},
                           {"tiny_blocks", Dtype::f32, 1e-4}};

Dtype dtype_here(const Case& c) { return c.dtype == Dtype::automatic ? Dtype::bf16 : c.dtype; }

TEST_F(DeviceModel, ForwardGivesTheSameLogits) {
  for (const Case& c : kCases) {
    const CausalLM here = load_here(c.name, dtype_here(c)), far = load_there(c.name, c.dtype);
    const at::Tensor ids = index_tensor(some(14, 1)).view({2, 7});
    const int before = launches();
    const at::Tensor logits = far.forward(ids);
    EXPECT_GT(launches(), before + 8) << c.name;
    EXPECT_EQ(logits.device(), device());
    EXPECT_LT(error_of(logits, here.forward(ids)), c.tolerance) << c.name;
  }
}

TokenBatch batch_of_two() {
  TokenBatch batch;
  batch.add(some(9, 1));
  batch.add(some(5, 2));
  return batch;
}

void expect_same_gradients(const CausalLM& here, const CausalLM& far, const Case& c) {
  const TokenBatch batch = batch_of_two();
  const TokenLoss expected = here.loss(batch, 12), found = far.loss(batch, 12);
  EXPECT_EQ(found.loss.device(), device());
  EXPECT_NEAR(found.loss.item<double>(), expected.loss.item<double>(), c.tolerance) << c.name;
  expected.loss.backward();
  found.loss.backward();
  const auto of_here = here.trainable_parameters(), of_far = far.trainable_parameters();
  ASSERT_EQ(of_here.size(), of_far.size());
  ASSERT_FALSE(of_here.empty());
  for (std::size_t i = 0; i < of_here.size(); ++i) {
    const at::Tensor& gradient = of_far[i].second.grad();
    ASSERT_TRUE(gradient.defined()) << of_far[i].first;
    EXPECT_EQ(gradient.device(), device());
    EXPECT_LT(error_of(gradient, of_here[i].second.grad()), 2 * c.tolerance) << c.name << " " << of_here[i].first;
  }
}

TEST_F(DeviceModel, LossesHaveTheSameGradients) {
  for (const Case& c : {kCases[0], kCases[3]}) {
    CausalLM here = load_here(c.name, dtype_here(c)), far = load_there(c.name, c.dtype);
    here.set_requires_grad(true);
    far.set_requires_grad(true);
    expect_same_gradients(here, far, c);
  }
}

TEST_F(DeviceModel, AdaptersTrainOverFrozenBlocks) {
  for (const Case& c : {kCases[0], kCases[1]}) {
    CausalLM here = load_here(c.name, dtype_here(c)), far = load_there(c.name, c.dtype);
    for (CausalLM* const model : {&here, &far}) {
      model->add_adapter("a", LoraConfig{.rank = 4, .seed = 7});
      for (const auto& [name, tensor] : model->trainable_parameters()) {
        if (name.find("lora_B") == std::string::npos) continue;
        const c10::AutoGradMode off(false);
        at::Tensor(tensor).copy_(testing::random_tensor(tensor.sizes(), tensor.scalar_type(), 3).mul(0.1));
      }
    }
    expect_same_gradients(here, far, c);
  }
}

// A prompt in pieces, single tokens, a fork that both go on with, two sequences at once, a cut.
Tensors logits_of_a_session(const CausalLM& model, KvType type) {
  Session session(model, {.kv_type = type, .page_tokens = 4, .prefill_chunk = 16});
  Tensors all;
  const SequenceId first = session.create();
  all.push_back(session.forward(first, some(21, 1), LogitsOf::all));
  all.push_back(session.forward(first, some(1, 2)));
  const SequenceId second = session.fork(first);
  all.push_back(session.forward(first, some(3, 3), LogitsOf::all));
  all.push_back(session.forward(second, some(2, 4), LogitsOf::all));
  const Ids a = some(1, 5), b = some(1, 6);
  const SequenceInput both[] = {{first, a}, {second, b}};
  all.push_back(session.forward(both));
  session.truncate(first, 6);
  all.push_back(session.forward(first, some(12, 7)));
  return all;
}

TEST_F(DeviceModel, EveryKindOfAdapterIsTheSame) {
  const Case& c = kCases[3];
  const std::vector<std::function<void(CausalLM&)>> kinds{
      [](CausalLM& m) { m.add_adapter("a", LoraConfig{.rank = 4, .use_dora = true, .seed = 7}); },
      [](CausalLM& m) { m.add_adapter("a", LoraConfig{.rank = 4, .lora_bias = true, .seed = 7}); },
      [](CausalLM& m) { m.add_adapter("a", LoraConfig{.rank = 4, .init_lora_weights = "pissa", .seed = 7}); },
      [](CausalLM& m) {
        m.add_adapter(
            "a",
            LoraConfig{
                .rank = 4, .target_modules = {"embed_tokens", "q_proj"}, .modules_to_save = {"lm_head"}, .seed = 7});
      },
      [](CausalLM& m) {
        m.add_adapter("a", LoraConfig{.rank = 4, .trainable_token_indices = {5, 36}, .seed = 7});
      },
      [](CausalLM& m) { add_adapter(m, "a", Ia3Config{}); },
      [](CausalLM& m) { add_adapter(m, "a", PromptTuningConfig{.num_virtual_tokens = 3, .seed = 7}); },
      [](CausalLM& m) { add_adapter(m, "a", PrefixTuningConfig{.num_virtual_tokens = 3, .seed = 7}); }};
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    SCOPED_TRACE(kind);
    CausalLM here = load_here(c.name, c.dtype), far = load_there(c.name, c.dtype);
    kinds[kind](here);
    kinds[kind](far);
    expect_same_gradients(here, far, c);
    const Tensors expected = logits_of_a_session(here, KvType::f32), found = logits_of_a_session(far, KvType::f32);
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_LT(error_of(found[i], expected[i]), c.tolerance) << i;
  }
}

TEST_F(DeviceModel, HeadsOverSequencesAreTheSame) {
  TokenBatch batch = batch_of_two();
  const auto judge = [](const char* device) {
    return SequenceClassifier::from_causal_lm(fixture("tiny_blocks"), {.pad_token_id = 0, .seed = 3},
                                              {.dtype = Dtype::f32, .device = parse_device(device)});
  };
  EXPECT_LT(error_of(judge("cuda").logits(batch), judge("cpu").logits(batch)), 1e-4);
}

TEST_F(DeviceModel, ScoresAreTheSame) {
  const Case& c = kCases[0];
  const CausalLM here = load_here(c.name), far = load_there(c.name);
  const TokenScores expected = here.score(batch_of_two()), found = far.score(batch_of_two());
  EXPECT_LT(error_of(found.log_probs, expected.log_probs), c.tolerance);
  EXPECT_LT(error_of(found.entropy, expected.entropy), c.tolerance);
}

TEST_F(DeviceModel, SessionsRunOverThePagedCache) {
  for (const Case& c : kCases) {
    const CausalLM here = load_here(c.name, dtype_here(c)), far = load_there(c.name, c.dtype);
    for (const KvType type : {KvType::automatic, KvType::q8_0}) {
      const Tensors expected = logits_of_a_session(here, type), found = logits_of_a_session(far, type);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_TRUE(found[i].is_cpu());
        EXPECT_LT(error_of(found[i], expected[i]), 2 * c.tolerance) << c.name << " pass " << i;
      }
    }
  }
}

// In one piece, in pieces and token by token, two at once.
Tensors logits_of_pieces(const CausalLM& model, const Ids& ids) {
  Session session(model, {.kv_type = KvType::f32, .page_tokens = 4});
  const std::span<const std::int64_t> all(ids);
  const SequenceId whole = session.create(), pieces = session.create();
  Tensors logits{session.forward(whole, all.first(11), LogitsOf::all), session.forward(pieces, all.first(9))};
  const SequenceInput both[] = {{.sequence = whole, .ids = all.subspan(11, 1)},
                                {.sequence = pieces, .ids = all.subspan(9, 4)}};
  logits.push_back(session.forward(both));
  logits.push_back(session.forward(pieces, all.subspan(13, 1)));
  return logits;
}

TEST_F(DeviceModel, EveryFamilyIsTheSame) {
  int sessions = 0;
  for (const std::string& name : testing::family_names()) {
    const CausalLM here = load_here("families/" + name, Dtype::f32), far = load_there("families/" + name, Dtype::f32);
    const testing::Tensors expected(fixture("families/" + name + "/expected.safetensors"));
    const at::Tensor ids = expected["input_ids"].narrow(0, 0, 1).narrow(1, 0, 14);
    EXPECT_LT(error_of(far.forward(ids), here.forward(ids)), 1e-4) << name;
    try {
      const Ids list(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + 14);
      const Tensors found = logits_of_pieces(far, list), wanted = logits_of_pieces(here, list);
      for (std::size_t i = 0; i < found.size(); ++i) EXPECT_LT(error_of(found[i], wanted[i]), 1e-4) << name << " " << i;
      ++sessions;
    } catch (const Error& error) {  // heads that no kernel takes
      EXPECT_NE(std::string(error.what()).find("head_dim"), std::string::npos) << name << ": " << error.what();
    }
  }
  EXPECT_GT(sessions, 30);
}

TEST_F(DeviceModel, BlocksStayBlocks) {
  CausalLM far = load_there("tiny_blocks_q4_0.gguf");
  const std::size_t loaded = far.memory().weights;
  far.forward(index_tensor(some(5, 1)).view({1, 5}));
  const std::size_t dense = load_there("tiny_blocks_q4_0.gguf", Dtype::bf16).memory().weights;
  EXPECT_LT(far.memory().weights, dense);
  far.add_adapter("a", LoraConfig{.rank = 4, .seed = 7});
  Session session(far);
  const SequenceId sequence = session.create();
  for (const std::int64_t rows : {20, 1, 1, 1}) session.forward(sequence, some(rows, 2));
  EXPECT_EQ(far.memory().weights, loaded) << "with adapters too";
}

TEST_F(DeviceModel, AdaptersOverBlocksAreTheSame) {
  const Case& c = kCases[2];
  CausalLM here = load_here(c.name, dtype_here(c)), far = load_there(c.name, c.dtype);
  for (CausalLM* const model : {&here, &far}) {
    for (const char* name : {"a", "b"}) {
      model->add_adapter(name, LoraConfig{.rank = name[0] == 'a' ? 4 : 3, .alpha = 8, .seed = 7});
      const c10::AutoGradMode off(false);
      for (const auto& [parameter, tensor] : model->trainable_parameters()) {
        at::Tensor(tensor).copy_(testing::random_tensor(tensor.sizes(), tensor.scalar_type(), 3).mul(0.1));
      }
    }
    const AdapterWeight both[] = {{.name = "a"}, {.name = "b", .weight = 0.5}};
    set_adapters(*model, both);
  }
  const Tensors expected = logits_of_a_session(here, KvType::automatic),
                found = logits_of_a_session(far, KvType::automatic);
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_LT(error_of(found[i], expected[i]), 2 * c.tolerance) << i;
}

TEST_F(DeviceModel, SavesAndRestoresSequences) {
  const testing::TemporaryFolder folder;
  for (const Case& c : {kCases[0], kCases[1], kCases[3]}) {
    for (const KvType type : {KvType::automatic, KvType::q8_0}) {
      SCOPED_TRACE(std::string(c.name) + " " + std::string(to_string(type)));
      const CausalLM far = load_there(c.name, c.dtype);
      const std::string path = folder.file("sequence");
      Session session(far, {.kv_type = type, .page_tokens = 4});
      session.forward(session.create(), some(5, 8));  // whose pages lie before
      const SequenceId sequence = session.create();
      session.forward(sequence, some(21, 1));
      session.save(sequence, path);
      Session other(far, {.kv_type = type, .page_tokens = 8});
      const SequenceId restored = other.restore(path), again = session.restore(path);
      EXPECT_EQ(other.length(restored), 21);
      const at::Tensor expected = session.forward(sequence, some(3, 2), LogitsOf::all);
      EXPECT_TRUE(other.forward(restored, some(3, 2), LogitsOf::all).equal(expected));
      EXPECT_TRUE(session.forward(again, some(3, 2), LogitsOf::all).equal(expected));
      const CausalLM changed = load_there(c.name == kCases[1].name ? kCases[2].name : c.name, c.dtype);
      if (c.name != kCases[1].name) changed.parameter("model.layers.1.mlp.down_proj.weight").mul_(2);
      Session stranger(changed, {.kv_type = type});
      testing::expect_error(ErrorKind::usage, "another model", [&] { stranger.restore(path); });
    }
  }
}

TEST_F(DeviceModel, SequencesCrossFromTheCpuAndBack) {
  const testing::TemporaryFolder folder;
  const CausalLM here = load_here("tiny_bf16"), far = load_there("tiny_bf16");
  for (const bool to_device : {false, true}) {
    Session from(to_device ? here : far, {.kv_type = KvType::bf16}),
        to(to_device ? far : here, {.kv_type = KvType::bf16});
    const SequenceId sequence = from.create();
    from.forward(sequence, some(19, 1));
    from.save(sequence, folder.file("crossing"));
    const SequenceId restored = to.restore(folder.file("crossing"));
    EXPECT_LT(error_of(to.forward(restored, some(2, 2)), from.forward(sequence, some(2, 2))), 3e-2);
  }
}

TEST_F(DeviceModel, SaysWhatDevicesDoNot) {
  testing::expect_error(ErrorKind::unsupported, "numerics", [] {
    CausalLM::from_pretrained(fixture("tiny_bf16"), {.device = parse_device("cuda"), .numerics = Numerics::exact});
  });
}

}  // namespace
}  // namespace powerhouse::pretended_device
