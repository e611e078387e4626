// transformers' watermark: the same tokens are green, and the detector finds the same (tests/oracles/sampling_hf.py).
#include "powerhouse/watermark.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "powerhouse/logits_processors.h"
#include "sampling_case.h"

namespace powerhouse {
namespace {

using namespace testing;

WatermarkOptions watermark_of(const Json& item) {
  JsonObject options;
  options["watermark"] = item.at("options");
  return *options_of(Json(std::move(options))).sampling.watermark;
}

TEST(Watermark, BiasesWhatTransformersBiases) {
  const Json cases = sampling_fixture("watermark.json");
  for (const Json& item : cases.as_array()) {
    const processors::Watermark watermark{watermark_of(item)};
    const std::vector<std::int64_t> ids = integers(item.at("ids"));
    const Json::Array& steps = item.at("biased").as_array();
    for (std::size_t step = 0; step < steps.size(); ++step) {
      const std::vector<float> row =
          seeded_row(item.at("vocab_size").as_integer(), 100 + static_cast<std::int64_t>(step));
      std::vector<float> biased = row;
      watermark(biased, {.ids = std::span(ids).first(5 + step), .prompt_length = 5});
      std::int64_t count = 0, sum = 0;
      for (std::size_t i = 0; i < row.size(); ++i) {
        if (biased[i] == row[i]) continue;
        EXPECT_FLOAT_EQ(biased[i], row[i] + watermark.options.bias);
        ++count;
        sum += static_cast<std::int64_t>(i);
      }
      ASSERT_EQ(count, steps[step].at("count").as_integer()) << item.at("options").dump() << ", step " << step;
      ASSERT_EQ(sum, steps[step].at("sum").as_integer()) << item.at("options").dump() << ", step " << step;
    }
  }
}

TEST(Watermark, IsFoundAsTransformersFindsIt) {
  const Json cases = sampling_fixture("watermark.json");
  for (const Json& item : cases.as_array()) {
    for (const Json& report : item.at("reports").as_array()) {
      const WatermarkReport found =
          detect_watermark(integers(report.at("ids")), item.at("vocab_size").as_integer(), watermark_of(item),
                           report.at("ignore_repeated_ngrams").as_bool(), 1);
      EXPECT_EQ(found.tokens_scored, report.at("tokens").as_integer()) << item.at("options").dump();
      EXPECT_EQ(found.green_tokens, report.at("green").as_integer()) << item.at("options").dump();
      EXPECT_NEAR(found.z_score, report.at("z").as_double(), 1e-9);
      EXPECT_NEAR(found.p_value, report.at("p").as_double(), 1e-9);
    }
  }
}

TEST(Watermark, NamesWhatIsWrong) {
  const std::vector<std::int64_t> ids = {1, 2, 3};
  const auto expect = [&](ErrorKind kind, std::string_view field, const WatermarkOptions& options) {
    expect_error(kind, field, [&] { detect_watermark(ids, 10, options); });
  };
  expect(ErrorKind::usage, "greenlist_ratio", {.greenlist_ratio = 1.0});
  expect(ErrorKind::usage, "bias", {.bias = NAN});
  expect(ErrorKind::usage, "hashing_key", {.hashing_key = -1});
  expect(ErrorKind::usage, "context_width", {.context_width = 0});
  expect(ErrorKind::usage, "ids", {.context_width = 3});
  expect_error(ErrorKind::range, "ids", [&] { detect_watermark(ids, 3); });
  expect_error(ErrorKind::usage, "seeding_scheme", [] { parse_watermark_seeding("minhash"); });
}

}  // namespace
}  // namespace powerhouse
