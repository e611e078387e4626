// What quantize() says of the result's logits on a text, and of texts that say nothing.
#include <gtest/gtest.h>

#include <filesystem>

#include "calibration/calibration_fixture.h"
#include "powerhouse/quantization.h"
#include "tests/expect_error.h"

namespace powerhouse::testing {
namespace {

namespace fs = std::filesystem;

// Of the first 16 chunks of 64 tokens, which is the tiny model's context, by whole forward passes.
LogitDivergence by_forward(const std::string& reference, const std::string& other, const std::string& text) {
  const CausalLM p = CausalLM::from_pretrained(reference, {.dtype = Dtype::f32});
  const CausalLM q = CausalLM::from_pretrained(other, {.dtype = Dtype::f32});
  const std::vector<std::int64_t> ids = Tokenizer::from_pretrained(reference).encode(text);
  const at::Tensor batch = to_tensor(ids).narrow(-1, 0, 16 * 64).reshape({16, 64});
  const at::Tensor wanted = p.forward(batch).to(at::kDouble).log_softmax(-1);
  const at::Tensor found = q.forward(batch).to(at::kDouble).log_softmax(-1);
  return {.tokens = 16 * 64,
          .mean = wanted.exp().mul(wanted.sub(found)).sum(-1).mean().item<double>(),
          .same_top = wanted.argmax(-1).eq(found.argmax(-1)).to(at::kDouble).mean().item<double>()};
}

TEST(DivergenceText, IsMeasuredOnEachMethodsResult) {
  const TemporaryFolder folder;
  const std::string source = write_byte_model(folder);
  QuantizationOptions options{
      .calibration_text = text_of(1, 200), .calibration = kCalibration, .divergence_text = text_of(2, 400)};
  options.gptq.group_size = options.awq.group_size = 32;
  for (const char* type : {"Q4_0", "gptq", "awq", "nf4"}) {
    options.type = type;
    if (options.type == "nf4") options.calibration_text.clear();
    const std::string output = folder.file(type);
    const LogitDivergence found = quantize(source, output, options).divergence;
    const LogitDivergence wanted = by_forward(source, output, options.divergence_text);
    EXPECT_EQ(found.tokens, wanted.tokens) << type;
    EXPECT_GT(wanted.mean, 1e-4) << type;
    EXPECT_NEAR(found.mean, wanted.mean, 1e-3 * wanted.mean) << type;
    EXPECT_NEAR(found.same_top, wanted.same_top, 0.002) << type;
  }
  options.type = "COPY";
  const LogitDivergence none = quantize(source, folder.file("same"), options).divergence;
  EXPECT_LT(none.mean, 1e-9);
  EXPECT_EQ(none.same_top, 1.0);
}

TEST(DivergenceText, IsRefusedBeforeAnythingIsQuantized) {
  const TemporaryFolder folder;
  const std::string source = write_model(folder);
  QuantizationOptions options{
      .type = "gptq", .calibration_text = text_of(1, 200), .calibration = kCalibration, .divergence_text = "abc"};
  options.gptq.group_size = 32;
  const auto run = [&] { quantize(source, folder.file("out"), options); };
  expect_error(ErrorKind::range, "divergence_text", run);
  options.divergence_text = text_of(3, 200) + options.calibration_text.substr(100, 60);
  expect_error(ErrorKind::usage, "divergence_text", run);
  EXPECT_FALSE(fs::exists(folder.file("out")));
  EXPECT_FALSE(fs::exists(folder.file("out") + ".partial"));
}

TEST(Restart, ForgetsWhatWasLeftUnfinished) {
  const TemporaryFolder folder;
  const std::string source = write_model(folder);
  std::stop_source stop;
  QuantizationOptions options{.type = "gptq", .calibration_text = text_of(1, 200), .calibration = kCalibration};
  options.gptq.group_size = 32;
  options.cancel = stop.get_token();
  options.on_progress = [&](const QuantizationProgress&) { stop.request_stop(); };
  expect_error(ErrorKind::cancelled, "1 of 2 layers", [&] { quantize(source, folder.file("out"), options); });
  options.cancel = {};
  options.gptq.bits = 8;
  expect_error(ErrorKind::usage, "another quantization", [&] { quantize(source, folder.file("out"), options); });
  options.resume = false;
  EXPECT_EQ(quantize(source, folder.file("out"), options).tensors.size(), 14U);
  EXPECT_FALSE(fs::exists(folder.file("out") + ".partial"));
}

}  // namespace
}  // namespace powerhouse::testing
