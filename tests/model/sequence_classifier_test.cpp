// Heads over sequences give transformers' logits, losses and gradients for every family that has such a class there,
// and are read and written as there. What is expected is written by tests/oracles/classifiers.py.
#include "powerhouse/sequence_classifier.h"
#include "json_numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "../expect_error.h"
#include "../temporary_folder.h"
#include "fixture.h"
#include "powerhouse/session.h"

namespace powerhouse {
namespace {

using namespace testing;

constexpr std::int64_t kDocuments = 6;
constexpr LoadOptions kF32{.dtype = Dtype::f32};

const Tensors& expected() {
  static const Tensors kExpected(fixture("classifiers/expected.safetensors"));
  return kExpected;
}

std::vector<std::int64_t> document(std::int64_t index) {
  return to_vector(expected()["document." + std::to_string(index)]);
}

TokenBatch documents(std::int64_t count = kDocuments) {
  TokenBatch batch;
  for (std::int64_t i = 0; i < count; ++i) batch.add(document(i));
  return batch;
}

// The families whose class transformers has.
std::vector<std::string> names() {
  std::vector<std::string> found;
  for (const std::string& name : family_names()) {
    if (expected().has(name + ".score")) found.push_back(name);
  }
  return found;
}

SequenceClassifier with_head(const std::string& name, const LoadOptions& options = kF32) {
  SequenceClassifier classifier =
      SequenceClassifier::from_causal_lm(fixture("families/" + name), {.num_labels = 3, .pad_token_id = 0}, options);
  classifier.model().parameter("score.weight").copy_(expected()[name + ".score"]);
  return classifier;
}

class Classifier : public ::testing::TestWithParam<std::string> {
 protected:
  const at::Tensor& expected_of(const std::string& what) const { return expected()[GetParam() + "." + what]; }
};

TEST_P(Classifier, GivesTheLogitsOfTransformers) {
  const SequenceClassifier classifier = with_head(GetParam());
  const at::Tensor logits = classifier.logits(documents());
  EXPECT_EQ(logits.scalar_type(), at::kFloat);
  EXPECT_TRUE(close(logits, expected_of("logits"), kLogitsTolerance));
}

TEST_P(Classifier, IsWrittenAndReadAgain) {
  const SequenceClassifier classifier = with_head(GetParam());
  const TemporaryFolder temporary;
  classifier.save_pretrained(temporary.file("saved"));
  const SequenceClassifier back = SequenceClassifier::from_pretrained(temporary.file("saved"), kF32);
  EXPECT_EQ(back.model().config(), classifier.model().config());
  EXPECT_TRUE(back.logits(documents()).equal(classifier.logits(documents())));
}

INSTANTIATE_TEST_SUITE_P(Tiny, Classifier, ::testing::ValuesIn(names()), [](const auto& info) { return info.param; });

TEST(SequenceClassifierTest, CoversTheFamilies) { EXPECT_GE(names().size(), 80U); }

class ClassifierGradients : public ::testing::TestWithParam<std::string> {};

TEST_P(ClassifierGradients, AreThoseOfTransformers) {
  SequenceClassifier classifier = with_head(GetParam());
  classifier.model().set_requires_grad(true);
  const at::Tensor loss = sequence_classification_loss(classifier.logits(documents(4)), expected()["labels"]);
  EXPECT_NEAR(loss.item<double>(), expected()[GetParam() + ".loss"].item<double>(), 1e-4);
  loss.backward();
  int compared = 0;
  for (const auto& [name, tensor] : expected().all()) {
    const std::string prefix = GetParam() + ".grad.";
    if (!name.starts_with(prefix)) continue;
    const at::Tensor gradient = classifier.model().parameter(name.substr(prefix.size())).grad();
    ASSERT_TRUE(gradient.defined()) << name;
    EXPECT_TRUE(close(gradient.flatten(), tensor.flatten(), kLogitsTolerance)) << name;
    ++compared;
  }
  EXPECT_GE(compared, 3);
}

INSTANTIATE_TEST_SUITE_P(Tiny, ClassifierGradients,
                         ::testing::Values("llama_biases", "gpt2_unscaled", "opt_post_norm", "gemma2_caps",
                                           "qwen3_moe_norm", "bloom_pre"),
                         [](const auto& info) { return info.param; });

TEST(SequenceClassificationLoss, IsThatOfTransformers) {
  for (const ProblemType type :
       {ProblemType::regression, ProblemType::single_label_classification, ProblemType::multi_label_classification}) {
    const std::string name = "loss." + std::string(to_string(type));
    const at::Tensor logits = expected()["loss.logits"].clone().set_requires_grad(true);
    const at::Tensor loss = sequence_classification_loss(logits, expected()[name + ".labels"], type);
    EXPECT_NEAR(loss.item<double>(), expected()[name].item<double>(), 1e-12) << name;
    loss.backward();
    EXPECT_LT(logits.grad().sub(expected()[name + ".grad"]).abs().max().item<double>(), 1e-12) << name;
  }
  const at::Tensor logits = expected()["loss.logits"];
  const auto automatic = [&](const std::string& kind) {
    return sequence_classification_loss(logits, expected()["loss." + kind + ".labels"]).item<double>() -
           expected()["loss." + kind].item<double>();
  };
  EXPECT_NEAR(automatic("single_label_classification"), 0, 1e-12);
  EXPECT_NEAR(automatic("multi_label_classification"), 0, 1e-12);
  expect_error(ErrorKind::range, "labels", [&] {
    sequence_classification_loss(logits, expected()["loss.single_label_classification.labels"].add(1));
  });
  expect_error(ErrorKind::usage, "labels",
               [&] { sequence_classification_loss(logits, expected()["labels"], ProblemType::regression); });
}

// Folders that save_pretrained of transformers wrote.
TEST(SequenceClassifierTest, ReadsTheFoldersOfTransformers) {
  for (const char* name : {"llama", "gpt2", "opt"}) {
    const std::string folder = fixture(std::string("classifiers/") + name);
    const SequenceClassifier classifier = SequenceClassifier::from_pretrained(folder, kF32);
    const Tensors own(folder + "/expected.safetensors");
    const at::Tensor logits = classifier.logits(documents());
    EXPECT_LT(logits.sub(own["logits"]).abs().max().item<float>(), 1e-4f * own["logits"].abs().max().item<float>())
        << name;
    const TemporaryFolder temporary;
    classifier.save_pretrained(temporary.file("saved"));
    const Json written = Json::parse_file(temporary.file("saved") + "/config.json");
    const Json read = Json::parse_file(folder + "/config.json");
    EXPECT_EQ(written.at("architectures").dump(), read.at("architectures").dump());
    for (const char* key : {"id2label", "label2id", "problem_type", "pad_token_id"}) {
      if (read.get(key) == nullptr) continue;
      EXPECT_EQ(written.at(key).dump(), read.at(key).dump()) << name << " " << key;
    }
    EXPECT_TRUE(SequenceClassifier::from_pretrained(temporary.file("saved"), kF32).logits(documents()).equal(logits));
  }
  const SequenceHead llama = SequenceClassifier::from_pretrained(fixture("classifiers/llama"), kF32).head();
  EXPECT_EQ(llama.labels, (std::vector<std::string>{"bad", "fair", "good"}));
  EXPECT_EQ(llama.problem_type, ProblemType::single_label_classification);
  EXPECT_EQ(llama.pad_token_id, 0);
  // Two labels without names are not written there.
  const SequenceHead opt = SequenceClassifier::from_pretrained(fixture("classifiers/opt"), kF32).head();
  EXPECT_EQ(opt.labels, (std::vector<std::string>{"LABEL_0", "LABEL_1"}));
}

TEST(SequenceClassifierTest, TokensHaveTheNumbersOfTheirBeginnings) {
  const SequenceClassifier classifier = with_head("llama_biases");
  const at::Tensor all = classifier.token_logits(documents());
  TokenBatch beginning;
  const std::vector<std::int64_t> ids = document(0);
  beginning.add(std::span(ids).first(4));
  EXPECT_TRUE(close(all.narrow(0, 3, 1), classifier.logits(beginning), kLogitsTolerance));
  EXPECT_EQ(all.size(0), documents().rows());
}

TEST(SequenceClassifierTest, AFreshHeadIsThatOfItsSeed) {
  const auto head = [](std::uint64_t seed, std::optional<double> range = {}) {
    return SequenceClassifier::from_causal_lm(fixture("families/llama_biases"),
                                              {.num_labels = 64, .initializer_range = range, .seed = seed}, kF32)
        .model()
        .parameter("score.weight")
        .clone();
  };
  EXPECT_TRUE(head(1).equal(head(1)));
  EXPECT_FALSE(head(1).equal(head(2)));
  EXPECT_NEAR(head(1).std().item<double>(), 0.02, 0.002);
  EXPECT_NEAR(head(1, 0.5).std().item<double>(), 0.5, 0.05);
  EXPECT_NEAR(head(1).mean().item<double>(), 0, 0.003);
}

// Weights of blocks stay blocks; the numbers are those of the dense model in bf16.
TEST(SequenceClassifierTest, QuantizedFilesTakeAHead) {
  const std::string file = fixture("tiny_blocks_q8_0.gguf");
  const SequenceClassifier mapped = SequenceClassifier::from_causal_lm(file, {.num_labels = 2, .initializer_range = 1});
  const SequenceClassifier dense =
      SequenceClassifier::from_causal_lm(file, {.num_labels = 2, .initializer_range = 1}, kF32);
  TokenBatch batch;
  batch.add(document(0));
  EXPECT_LT(mapped.logits(batch).sub(dense.logits(batch)).abs().max().item<float>(),
            0.05f * dense.logits(batch).abs().max().item<float>());
  EXPECT_GT(mapped.model().memory().mapped, 0U);
  expect_error(ErrorKind::unsupported, "GGUF", [&] { dense.save_pretrained("/nowhere/head.gguf"); });
}

// The numbers are those before llama.cpp's softmax (tests/oracles/gguf_rank.py).
TEST(SequenceClassifierTest, RerankersOfLlamaCppAreRead) {
  const std::string file = fixture("rank/qwen3.gguf");
  const Json expected = Json::parse_file(fixture("rank/expected.json"));
  const SequenceClassifier classifier = SequenceClassifier::from_pretrained(file, kF32);
  EXPECT_EQ(classifier.head().labels, (std::vector<std::string>{"yes", "no", "perhaps"}));
  EXPECT_EQ(classifier.head().problem_type, ProblemType::single_label_classification);
  const Json::Array& texts = expected.at("texts").as_array();
  TokenBatch batch;
  for (const Json& text : texts) batch.add(testing::integers(text));
  const at::Tensor found = classifier.logits(batch).softmax(1);
  ASSERT_EQ(found.size(0), std::ssize(texts));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Json::Array& row = expected.at("probabilities").as_array()[i].as_array();
    for (std::size_t label = 0; label < 3; ++label) {
      EXPECT_NEAR(found[static_cast<std::int64_t>(i)][static_cast<std::int64_t>(label)].item<double>(),
                  row[label].as_double(), 2e-3);  // bf16 products there
    }
  }
  // It is a language model too; another head is not put in this one's place.
  EXPECT_NO_THROW(load("rank/qwen3.gguf"));
  expect_error(ErrorKind::usage, "from_pretrained", [&] { SequenceClassifier::from_causal_lm(file); });
  // As transformers has it.
  const TemporaryFolder folder;
  classifier.save_pretrained(folder.file("out"));
  const SequenceClassifier again = SequenceClassifier::from_pretrained(folder.file("out"), kF32);
  EXPECT_LT(again.logits(batch).sub(classifier.logits(batch)).abs().max().item<float>(), 1e-5f);
}

// Continuations of one prompt have the numbers of whole texts, also where all behind the prompt is padding (0).
TEST(SequenceClassifierTest, BranchesAreReadAsWholeTexts) {
  const SequenceClassifier classifier = with_head("llama_biases");
  for (const std::vector<std::int64_t>& prompt : {std::vector<std::int64_t>{5, 6, 9}, {5, 6, 0}}) {
    const std::vector<std::vector<std::int64_t>> endings = {{7, 3}, {8, 0}, {0, 0}};
    std::vector<TokenBatch::Branch> continuations;
    TokenBatch branches, whole;
    for (const std::vector<std::int64_t>& ending : endings) {
      continuations.push_back({.ids = ending});
      std::vector<std::int64_t> text = prompt;
      text.insert(text.end(), ending.begin(), ending.end());
      whole.add(text);
    }
    branches.add_branches(prompt, continuations);
    const at::Tensor apart = classifier.logits(whole), together = classifier.logits(branches);
    ASSERT_EQ(together.size(0), 4);  // the prompt, too
    EXPECT_LT(together.narrow(0, 1, 3).sub(apart).abs().max().item<float>(), 1e-5f * apart.abs().max().item<float>());
  }
}

TEST(SequenceClassifierTest, ExactNumericsGiveABatchTheBitsOfEachAlone) {
  const SequenceClassifier classifier = with_head("llama_biases", {.dtype = Dtype::f32, .numerics = Numerics::exact});
  const at::Tensor together = classifier.logits(documents());
  for (std::int64_t i = 0; i < kDocuments; ++i) {
    TokenBatch alone;
    alone.add(document(i));
    EXPECT_TRUE(classifier.logits(alone).equal(together.narrow(0, i, 1))) << i;
  }
}

TEST(SequenceClassifierTest, BadInputIsAnError) {
  const std::string llama = fixture("families/llama_biases");
  expect_error(ErrorKind::usage, "from_causal_lm", [&] { SequenceClassifier::from_pretrained(llama); });
  expect_error(ErrorKind::usage, "from_pretrained",
               [&] { SequenceClassifier::from_causal_lm(fixture("classifiers/llama")); });
  expect_error(ErrorKind::usage, "SequenceClassifier", [&] { load("classifiers/llama"); });
  expect_error(ErrorKind::unsupported, "cohere",
               [&] { SequenceClassifier::from_causal_lm(fixture("families/cohere_plain")); });
  expect_error(ErrorKind::format, "num_labels", [&] { SequenceClassifier::from_causal_lm(llama, {.num_labels = 0}); });
  expect_error(ErrorKind::format, "pad_token_id",
               [&] { SequenceClassifier::from_causal_lm(llama, {.pad_token_id = 100000}); });
  expect_error(ErrorKind::format, "problem_type", [&] {
    SequenceClassifier::from_causal_lm(llama, {.problem_type = ProblemType::single_label_classification});
  });
  expect_error(ErrorKind::range, "initializer_range", [&] {
    SequenceClassifier::from_causal_lm(llama, {.initializer_range = std::numeric_limits<double>::quiet_NaN()});
  });

  SequenceClassifier classifier = with_head("llama_biases");
  TokenBatch empty_document = documents();
  empty_document.cu_seqlens.push_back(empty_document.rows());
  expect_error(ErrorKind::usage, "empty document", [&] { classifier.logits(empty_document); });
  expect_error(ErrorKind::usage, "empty batch", [&] { classifier.logits({}); });
  TokenBatch unknown = documents();
  unknown.input_ids[2] = 1 << 20;
  expect_error(ErrorKind::range, "vocabulary", [&] { classifier.logits(unknown); });
  TokenBatch branches;
  const std::vector<std::int64_t> prompt = {5, 6}, ending = {7};
  branches.add_branches(prompt, {{.ids = ending}, {.ids = ending}});
  EXPECT_EQ(classifier.token_logits(branches).size(0), branches.rows());
  // What needs logits of tokens.
  expect_error(ErrorKind::usage, "SequenceClassifier", [&] { classifier.model().score(documents()); });
  expect_error(ErrorKind::usage, "SequenceClassifier", [&] { classifier.model().forward(to_tensor({3, 4})); });
  expect_error(ErrorKind::usage, "SequenceClassifier", [&] { Session session(classifier.model()); });
  expect_error(ErrorKind::usage, "SequenceClassifier", [&] { CausalLM::from_config(classifier.model().config()); });
  classifier.model().parameter("score.weight").fill_(std::numeric_limits<float>::quiet_NaN());
  expect_error(ErrorKind::numeric, "not finite", [&] { classifier.logits(documents()); });
}

// Rewrites one key of a folder of transformers'.
void with_key(const char* key, const char* value, ErrorKind kind, const char* mentions) {
  const TemporaryFolder temporary;
  const std::string folder = temporary.file("changed");
  std::filesystem::copy(fixture("classifiers/llama"), folder);
  JsonObject config = Json::parse_file(folder + "/config.json").as_object();
  config[key] = Json::parse(value, key);
  temporary.write("changed/config.json", Json(config).dump());
  expect_error(kind, mentions, [&] { SequenceClassifier::from_pretrained(folder); });
}

TEST(SequenceClassifierTest, ContradictionsInTheFolderAreErrors) {
  with_key("id2label", R"({"0": "a", "1": "b"})", ErrorKind::format, "score.weight");
  with_key("id2label", R"({"0": "a", "1": "b", "3": "c"})", ErrorKind::format, "id2label");
  with_key("id2label", R"({"0": "a", "1": "b", "x": "c"})", ErrorKind::format, "id2label");
  with_key("id2label", R"(["a"])", ErrorKind::format, "id2label");
  with_key("num_labels", "2", ErrorKind::format, "num_labels");
  with_key("problem_type", R"("ranking")", ErrorKind::format, "problem_type");
  const TemporaryFolder temporary;
  const std::string folder = temporary.file("headless");
  std::filesystem::copy(fixture("families/llama_biases"), folder);
  JsonObject config = Json::parse_file(folder + "/config.json").as_object();
  config["architectures"] = Json::Array{"LlamaForSequenceClassification"};
  temporary.write("headless/config.json", Json(config).dump());
  expect_error(ErrorKind::format, "score.weight", [&] { SequenceClassifier::from_pretrained(folder); });
}

}  // namespace
}  // namespace powerhouse
