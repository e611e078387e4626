// `compare`: what it lists, measures and refuses, and the page it draws.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "expect_error.h"
#include "powerhouse/comparison.h"
#include "powerhouse/error.h"
#include "training/tiny_run.h"

namespace powerhouse {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::Not;

class ComparisonTest : public ::testing::Test {
 protected:
  ComparisonTest() : path_(write_tiny_model(folder_)) {
    for (int i = 0; i < 20; ++i) text_ += "a quick brown fox " + std::to_string(i * 37 % 100) + ". ";
    halves_ = folder_.file("halves");
    CausalLM::from_pretrained(path_, {.dtype = Dtype::bf16}).save_pretrained(halves_);
  }
  ComparisonOptions options() const {
    return {.context = 16, .speed = {.prompt_tokens = 8, .new_tokens = 2, .repetitions = 1}};
  }

  TemporaryFolder folder_;
  std::string path_, halves_, text_;
};

TEST_F(ComparisonTest, MeasuresEachAgainstTheReference) {
  const std::vector<std::string> models = {path_, halves_};
  std::vector<std::string> said;
  ComparisonOptions with_progress = options();
  with_progress.on_progress = [&](std::string_view line) { said.emplace_back(line); };
  const Comparison found = compare(path_, models, text_, with_progress);
  ASSERT_EQ(found.models.size(), 2u);  // the reference once
  const ComparedModel &reference = found.models[0], &halves = found.models[1];
  EXPECT_EQ(found.reference, "model");
  EXPECT_EQ(halves.name, "halves");
  EXPECT_FALSE(reference.divergence.has_value());
  ASSERT_TRUE(halves.divergence.has_value());
  EXPECT_GT(halves.divergence->mean, 0);
  EXPECT_LT(halves.divergence->mean, 1e-3);
  EXPECT_EQ(halves.perplexity.perplexity, halves.divergence->model.perplexity);
  EXPECT_EQ(reference.perplexity.perplexity, halves.divergence->reference.perplexity);
  EXPECT_NEAR(reference.bits_per_weight, 32, 1e-9);
  EXPECT_NEAR(halves.bits_per_weight, 16, 1e-9);
  EXPECT_EQ(halves.file_bytes, std::filesystem::file_size(halves_ + "/model.safetensors"));
  EXPECT_GT(halves.memory_bytes, 0u);
  EXPECT_GT(halves.speed->new_tokens_per_second, 0);
  EXPECT_EQ(found.tokens, found.chunks * 7);
  EXPECT_THAT(said.back(), HasSubstr("halves: chunk "));
}

TEST_F(ComparisonTest, TakesCachesOfTheModelItself) {
  ComparisonOptions with_cache = options();
  with_cache.value_type = KvType::bf16;
  with_cache.measure_speed = false;
  const Comparison found = compare(path_, std::vector{path_}, text_, with_cache);
  ASSERT_EQ(found.models.size(), 2u);
  EXPECT_NE(found.models[0].name, found.models[1].name);
  EXPECT_LT(found.models[1].cache_bytes_per_token, found.models[0].cache_bytes_per_token);
  EXPECT_GT(found.models[1].divergence->mean, 0);
  EXPECT_EQ(found.value_type, "bf16");
  EXPECT_FALSE(found.models[1].speed.has_value());
}

TEST_F(ComparisonTest, RefusesOtherTokens) {
  const std::string other = folder_.file("other");
  std::filesystem::copy(path_, other);
  Json tokenizer = Json::parse_file(other + "/tokenizer.json");
  std::string text = tokenizer.dump();
  const std::size_t a = text.find("\"a\":"), b = text.find("\"b\":");
  ASSERT_NE(a, std::string::npos);
  ASSERT_NE(b, std::string::npos);
  std::swap(text[a + 1], text[b + 1]);
  folder_.write("other/tokenizer.json", text);
  expect_error(ErrorKind::unsupported, "different vocabularies",
               [&] { compare(path_, std::vector{other}, text_, options()); });
  expect_error(ErrorKind::usage, "besides the reference",
               [&] { compare(path_, std::vector{path_}, text_, options()); });
  expect_error(ErrorKind::range, "too short", [&] { compare(path_, std::vector{halves_}, "a", options()); });
}

TEST_F(ComparisonTest, DrawsAPageThatNeedsNothingElse) {
  Comparison comparison{
      .reference = "a <b>", .context = 512, .chunks = 3, .tokens = 765, .kv_type = "auto", .value_type = "auto"};
  comparison.models.push_back({.name = "a <b>", .file_bytes = 1 << 20, .perplexity = {.perplexity = 10}});
  comparison.models.push_back({.name = "c",
                               .file_bytes = 1 << 19,
                               .perplexity = {.perplexity = 11, .standard_error = 0.5},
                               .divergence = DivergenceResult{.mean = 0.01, .standard_error = 0.001}});
  comparison.models.push_back(
      {.name = "same", .file_bytes = 1 << 20, .perplexity = {.perplexity = 10}, .divergence = DivergenceResult{}});
  const std::string html = to_html(comparison);
  for (const char* part : {"a &lt;b&gt;", "&plusmn;", "0.5 MiB, 0.01</title>", "Perplexity over size"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  for (const char* foreign : {"<script", "http://", "https://", "<link", "nan", "inf", "a <b>"}) {
    EXPECT_THAT(html, Not(HasSubstr(foreign)));
  }
  const Json json = Json::parse(to_json(comparison), "json");
  EXPECT_EQ(json.at("models").as_array()[0].get("divergence"), nullptr);
  EXPECT_DOUBLE_EQ(json.at("models").as_array()[1].at("divergence").at("mean").as_double(), 0.01);
  const std::string table = to_string(comparison);
  EXPECT_THAT(table, HasSubstr("11.0000 +- 0.5000"));
}

}  // namespace
}  // namespace powerhouse
