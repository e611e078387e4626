// Every family gives transformers' logits and gradients, cached and not, and is written as it was read. The checkpoints
// are those of tests/oracles/families.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "fixture.h"
#include "model/architecture.h"
#include "model/causal_lm_impl.h"
#include "powerhouse/session.h"
#include "support/json.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

class Family : public ::testing::TestWithParam<std::string> {
 protected:
  std::string folder() const { return "families/" + GetParam(); }
  CausalLM model_ = load(folder());
  Tensors expected_{fixture(folder() + "/expected.safetensors")};
  at::Tensor first_ = expected_["input_ids"].narrow(0, 0, 1);

  void check_sessions() const;
};

TEST_P(Family, GivesTheLogitsOfTransformers) {
  EXPECT_TRUE(close(model_.forward(first_)[0], expected_["single_logits"], kLogitsTolerance));
  const at::Tensor mask = expected_["attention_mask"];
  const at::Tensor logits = model_.forward(expected_["input_ids"], mask);
  for (std::int64_t row = 0; row < 2; ++row) {
    const at::Tensor kept = mask[row].nonzero().squeeze(1);
    EXPECT_TRUE(
        close(logits[row].index_select(0, kept), expected_["logits"][row].index_select(0, kept), kLogitsTolerance));
  }
}

// In one pass, in unequal pieces, and token by token behind a prompt; two sequences in one batch.
void Family::check_sessions() const {
  const std::vector<std::int64_t> ids = to_vector(first_);
  const std::vector<std::int64_t> other(ids.rbegin(), ids.rbegin() + 11);
  const at::Tensor wanted = expected_["single_logits"];
  Session session(model_, {.kv_type = KvType::f32, .page_tokens = 4});
  const SequenceId whole = session.create();
  EXPECT_TRUE(close(session.forward(whole, ids, LogitsOf::all), wanted, kLogitsTolerance));

  const at::Tensor alone = session.forward(session.create(), other);
  const SequenceId pieces = session.create();
  const SequenceId beside = session.create();
  const std::span<const std::int64_t> all(ids);
  at::Tensor last;
  for (std::size_t at = 0; at < ids.size();) {
    const std::size_t count = std::min(at == 0 ? std::size_t{21} : at < 30 ? std::size_t{5} : 1, ids.size() - at);
    if (at == 0) {
      const SequenceInput batch[] = {{.sequence = beside, .ids = other}, {.sequence = pieces, .ids = all.first(count)}};
      last = session.forward(batch);
      EXPECT_TRUE(close(last.narrow(0, 0, 1), alone, kLogitsTolerance));
      last = last.narrow(0, 1, 1);
    } else {
      last = session.forward(pieces, all.subspan(at, count));
    }
    at += count;
    // RoPE that goes on changing with the length fixes it when it is first exceeded: see dynamic_rope below.
    if (GetParam().find("dynamic") != std::string::npos) continue;
    const std::vector<std::int64_t> seen(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(at));
    EXPECT_TRUE(close(last, model_.forward(to_tensor(seen))[0].narrow(0, static_cast<std::int64_t>(at) - 1, 1),
                      kLogitsTolerance))
        << at;
  }
}

TEST_P(Family, GivesTheSameWithACache) { check_sessions(); }

TEST_P(Family, GivesTheSameByAPlan) {
  Model& model = *model_.impl().model;
  model.plan = Plan::compile(model.config, model.weights);
  ASSERT_NE(model.plan, nullptr);
  check_sessions();
}

TEST_P(Family, GivesTheGradientsOfTransformers) {
  model_.set_requires_grad(true);
  const std::int64_t length = first_.size(1);
  const at::Tensor loss = model_.forward(first_)
                              .narrow(1, 0, length - 1)
                              .log_softmax(-1)
                              .gather(-1, first_.narrow(1, 1, length - 1).unsqueeze(-1))
                              .mean()
                              .neg();
  EXPECT_NEAR(loss.item<double>(), expected_["loss"].item<double>(), 1e-4 * std::abs(loss.item<double>()));
  loss.backward();
  int compared = 0;
  for (const auto& [name, tensor] : expected_.all()) {
    if (!name.starts_with("grad.")) continue;
    const at::Tensor parameter = model_.parameter(name.substr(5));
    ASSERT_EQ(parameter.sizes(), tensor.sizes()) << name;
    ASSERT_TRUE(parameter.grad().defined()) << name;
    EXPECT_TRUE(close(parameter.grad().flatten(), tensor.flatten(), kLogitsTolerance)) << name;
    ++compared;
  }
  EXPECT_GE(compared, 2);
}

// To the bit, whatever spelling it was read in.
TEST_P(Family, IsWrittenAsItWasRead) {
  const CausalLM model = load(folder(), Dtype::automatic);
  const TemporaryFolder temporary;
  model.save_pretrained(temporary.file("saved"));
  std::map<std::string, at::Tensor> read;
  for (const auto& [name, tensor] : load_safetensors(fixture(folder() + "/model.safetensors")))
    read.emplace(name, tensor);
  for (const auto& [name, tensor] : load_safetensors(temporary.file("saved") + "/model.safetensors")) {
    EXPECT_TRUE(!read.contains(name) || read.at(name).to(tensor.scalar_type()).equal(tensor)) << name;
  }
  const CausalLM back = CausalLM::from_pretrained(temporary.file("saved"), {.dtype = Dtype::f32});
  EXPECT_EQ(back.config(), model_.config());
  for (const auto& [name, tensor] : model_.named_parameters()) EXPECT_TRUE(back.parameter(name).equal(tensor)) << name;
  EXPECT_TRUE(back.forward(first_).equal(model_.forward(first_)));
}

INSTANTIATE_TEST_SUITE_P(Tiny, Family, ::testing::ValuesIn(family_names()),
                         [](const auto& info) { return info.param; });

// Layers of one kind alone: config.json's RoPE by kind says the same of the other.
TEST(FamilyConfig, LayersOfOneKindAreWritten) {
  for (const char* folder : {"families/gemma3_hub", "families/olmo3_window"}) {
    JsonObject config = Json::parse_file(fixture(std::string(folder) + "/config.json")).as_object();
    for (const char* kind : {"sliding_attention", "full_attention"}) {
      config["layer_types"] = Json::Array{kind, kind};
      config["num_hidden_layers"] = 2;
      const Architecture& architecture = find_architecture(Json(config));
      const ModelConfig read = read_hf_config(architecture, Json(config));
      const Json written = write_hf_config(architecture, read);
      const Json& ropes = written.at("rope_parameters");
      EXPECT_EQ(ropes.at("full_attention").dump(), ropes.at("sliding_attention").dump()) << folder << kind;
      EXPECT_EQ(read_hf_config(architecture, written).layers, read.layers) << folder << kind;
    }
  }
}

// transformers 5 refuses these keys with a point.
TEST(FamilyConfig, WholeNumbersAreWrittenAsThose) {
  for (const auto& [folder, key] :
       {std::pair("gemma2_caps", "query_pre_attn_scalar"), std::pair("gemma3_hub", "query_pre_attn_scalar"),
        std::pair("mpt_clip", "alibi_bias_max")}) {
    const Json config = Json::parse_file(fixture("families/" + std::string(folder) + "/config.json"));
    const Architecture& architecture = find_architecture(config);
    const Json written = write_hf_config(architecture, read_hf_config(architecture, config));
    const Json* inner = written.get("attn_config");
    EXPECT_TRUE((inner != nullptr ? *inner : written).at(key).is_integer()) << folder;
  }
}

// transformers' own pad_token_id of GLM-4 and SmolLM3 lies beyond a small vocabulary, and such a folder does not load.
TEST(FamilyConfig, PaddingIsWritten) {
  const TemporaryFolder temporary;
  for (const char* name : {"glm4_biases", "smollm3_nope", "llama_dynamic"}) {
    const std::string folder = temporary.file(name), saved = temporary.file("saved");
    std::filesystem::copy(fixture(std::string("families/") + name), folder);
    for (const auto& [pad, expected] : {std::pair("3", "3"), std::pair("null", "null"), std::pair("151329", "null")}) {
      JsonObject config = Json::parse_file(folder + "/config.json").as_object();
      config["pad_token_id"] = Json::parse(pad, "pad");
      temporary.write(std::string(name) + "/config.json", Json(config).dump());
      CausalLM::from_pretrained(folder).save_pretrained(saved);
      const JsonObject written = Json::parse_file(saved + "/config.json").as_object();
      ASSERT_NE(written.find("pad_token_id"), nullptr);
      EXPECT_EQ(written.find("pad_token_id")->dump(), expected) << name;
    }
  }
}

// Crossing the original length computes the sequence again with the frequencies of that moment, which then stay.
TEST(DynamicRope, IsFixedWhenTheOriginalLengthIsCrossed) {
  const CausalLM model = load("families/llama_dynamic");
  const Tensors expected(fixture("families/llama_dynamic/expected.safetensors"));
  const std::vector<std::int64_t> ids = to_vector(expected["input_ids"][0]);
  const std::span<const std::int64_t> all(ids);
  const auto original = static_cast<std::size_t>(model.config().layers[0].rope.original_max_position_embeddings);
  ASSERT_LT(original + 5, ids.size());
  Session session(model);
  const SequenceId sequence = session.create();
  session.forward(sequence, all.first(original - 4));
  const auto fresh = [&](std::size_t count) {
    return model.forward(to_tensor({ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count)}))[0].narrow(
        0, static_cast<std::int64_t>(count) - 1, 1);
  };
  EXPECT_TRUE(close(session.forward(sequence, all.subspan(original - 4, 4)), fresh(original), kLogitsTolerance));
  EXPECT_TRUE(close(session.forward(sequence, all.subspan(original, 4)), fresh(original + 4), kLogitsTolerance))
      << "computed again";
  const at::Tensor next = session.forward(sequence, all.subspan(original + 4, 1));
  EXPECT_FALSE(close(next, fresh(original + 5), 1e-3)) << "the frequencies of that moment stay";
  // Cut back and grown again, it is as new.
  session.truncate(sequence, static_cast<std::int64_t>(original) / 2);
  EXPECT_TRUE(
      close(session.forward(sequence, all.subspan(original / 2, 3)), fresh(original / 2 + 3), kLogitsTolerance));
}

}  // namespace
}  // namespace powerhouse
