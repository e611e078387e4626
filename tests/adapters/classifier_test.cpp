// LoRA of a model with a head over sequences, as PEFT's task type SEQ_CLS: its logits, its gradients, its files. The
// adapters were written by tests/oracles/classifier_adapters.py.
#include <gtest/gtest.h>

#include "adapter_fixture.h"
#include "expect_error.h"
#include "powerhouse/sequence_classifier.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

struct Case {
  const char *name, *model;
  friend void PrintTo(const Case& of, std::ostream* out) { *out << of.name; }
};

class ClassifierAdapter : public ::testing::TestWithParam<Case> {
 protected:
  std::string folder_ = adapter_fixture(std::string("classifiers/") + GetParam().name);
  Tensors expected_{folder_ + "/expected.safetensors"};

  static SequenceClassifier base(std::uint64_t seed) {
    return SequenceClassifier::from_causal_lm(fixture(std::string("families/") + GetParam().model),
                                              {.num_labels = 3, .pad_token_id = 0, .seed = seed},
                                              {.dtype = Dtype::f32});
  }
  TokenBatch batch() const {
    TokenBatch batch;
    for (int i = 0; i < 3; ++i) batch.add(to_vector(expected_["input_ids." + std::to_string(i)]));
    return batch;
  }
};

// The head is the adapter's, whatever the base's is.
TEST_P(ClassifierAdapter, HasTheLogitsAndGradientsOfPeft) {
  SequenceClassifier classifier = base(1);
  classifier.model().load_adapter(folder_, "a", /*trainable=*/true);
  const at::Tensor logits = classifier.logits(batch());
  EXPECT_TRUE(close(logits, expected_["logits"], kLogitsTolerance));
  const at::Tensor loss = sequence_classification_loss(logits, expected_["labels"]);
  EXPECT_NEAR(loss.item<double>(), expected_["loss"].item<double>(), 1e-5);
  loss.backward();
  std::size_t compared = 0, gradients = 0;
  for (const auto& [name, tensor] : adapter_tensors(classifier.model(), "a")) {
    ASSERT_TRUE(expected_.has("grad." + name)) << name;
    ASSERT_TRUE(tensor.grad().defined()) << name;
    EXPECT_TRUE(close(tensor.grad().flatten(), expected_["grad." + name].flatten(), 2e-4)) << name;
    ++compared;
  }
  for (const auto& [name, tensor] : expected_.all()) gradients += name.starts_with("grad.") ? 1 : 0;
  EXPECT_EQ(compared, gradients);
}

TEST_P(ClassifierAdapter, IsWrittenAsItWasRead) {
  SequenceClassifier classifier = base(1);
  classifier.model().load_adapter(folder_, "a");
  const TemporaryFolder temporary;
  classifier.model().save_adapter("a", temporary.file("out"));
  const Tensors read(folder_ + "/adapter_model.safetensors"), written(temporary.file("out/adapter_model.safetensors"));
  ASSERT_EQ(written.all().size(), read.all().size());
  for (const auto& [name, tensor] : read.all()) EXPECT_TRUE(written[name].equal(tensor)) << name;
  const Json was = Json::parse_file(folder_ + "/adapter_config.json");
  const Json is = Json::parse_file(temporary.file("out/adapter_config.json"));
  for (const auto& [key, value] : was.as_object()) {
    if (key == "base_model_name_or_path") continue;
    EXPECT_EQ(is.as_object().find(key)->dump(), value.dump()) << key;
  }
  SequenceClassifier again = base(2);
  again.model().load_adapter(temporary.file("out"), "b");
  EXPECT_TRUE(again.logits(batch()).equal(classifier.logits(batch())));
}

// A fresh one trains the head along, and says so in its file as PEFT does.
TEST_P(ClassifierAdapter, TrainsTheHeadAlong) {
  SequenceClassifier classifier = base(1);
  const at::Tensor plain = classifier.logits(batch());
  classifier.model().add_adapter("a", {.rank = 2, .target_modules = {"all-linear"}});
  EXPECT_TRUE(close(classifier.logits(batch()), plain, 1e-5));
  sequence_classification_loss(classifier.logits(batch()), expected_["labels"]).backward();
  bool head = false;
  for (const auto& [name, tensor] : adapter_tensors(classifier.model(), "a")) {
    EXPECT_EQ(name.find("score") != std::string::npos, name == "base_model.model.score.weight") << name;
    if (name == "base_model.model.score.weight") head = tensor.grad().abs().max().item<float>() > 0;
  }
  EXPECT_TRUE(head);
  EXPECT_FALSE(classifier.model().parameter("score.weight").requires_grad());
  const TemporaryFolder temporary;
  classifier.model().save_adapter("a", temporary.file("out"));
  const Json config = Json::parse_file(temporary.file("out/adapter_config.json"));
  EXPECT_EQ(config.at("task_type").as_string(), "SEQ_CLS");
  EXPECT_EQ(config.at("modules_to_save").dump(), R"(["classifier","score"])");
  disable_adapters(classifier.model());
  EXPECT_TRUE(classifier.logits(batch()).equal(plain));
}

TEST_P(ClassifierAdapter, MergesItsHead) {
  SequenceClassifier classifier = base(1);
  classifier.model().load_adapter(folder_, "a");
  const at::Tensor before = classifier.logits(batch());
  merge_adapter(classifier.model());
  EXPECT_TRUE(close(classifier.logits(batch()), before, kLogitsTolerance));
  const TemporaryFolder temporary;
  classifier.save_pretrained(temporary.file("merged"));
  const SequenceClassifier back = SequenceClassifier::from_pretrained(temporary.file("merged"), {.dtype = Dtype::f32});
  EXPECT_TRUE(close(back.logits(batch()), before, kLogitsTolerance));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ClassifierAdapter,
                         ::testing::Values(Case{"llama", "llama_biases"}, Case{"gpt2", "gpt2_unscaled"}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(ClassifierAdapters, BadInputIsAnError) {
  const std::string llama = fixture("families/llama_biases");
  const std::string adapter = adapter_fixture("classifiers/llama");
  // Of three labels onto a head of two, and onto a model without such a head.
  SequenceClassifier two = SequenceClassifier::from_causal_lm(llama, {.num_labels = 2}, {.dtype = Dtype::f32});
  expect_error(ErrorKind::format, "score", [&] { two.model().load_adapter(adapter, "a"); });
  CausalLM causal = load("families/llama_biases");
  expect_error(ErrorKind::format, "score", [&] { causal.load_adapter(adapter, "a"); });
  expect_error(ErrorKind::unsupported, "IA3", [&] { add_adapter(two.model(), "a", Ia3Config{}); });
  expect_error(ErrorKind::unsupported, "PROMPT_TUNING", [&] { add_adapter(two.model(), "a", PromptTuningConfig{}); });
  expect_error(ErrorKind::unsupported, "PREFIX_TUNING", [&] { add_adapter(two.model(), "a", PrefixTuningConfig{}); });
}

}  // namespace
}  // namespace powerhouse
