// Decoding and training of a model of 1.1 billion parameters, as fractions of what memory and tensor cores could give.
#include <chrono>

#include "gpu_check/checks.h"
#include "gpu_check/random_model.h"
#include "powerhouse/session.h"
#include "powerhouse/token_batch.h"
#include "support/seconds_since.h"

namespace powerhouse::gpu_check {

namespace {

using Clock = std::chrono::steady_clock;

std::vector<std::int64_t> some_ids(std::int64_t count, std::uint64_t seed) {
  const at::Tensor ids = whole_numbers(count, kLargeModel.vocabulary, seed);
  return {ids.data_ptr<std::int64_t>(), ids.data_ptr<std::int64_t>() + count};
}

// Logits come to the CPU with each pass, so its end is the pass's.
void measure_decode(Report& report, const Machine& machine, bool four_bit, std::int64_t batch) {
  const CausalLM model = model_there(machine, kLargeModel, Dtype::bf16, four_bit);
  Session session(model);
  std::vector<SequenceId> sequences;
  const std::vector<std::int64_t> prompt = some_ids(512, 1), token{17};
  for (std::int64_t i = 0; i < batch; ++i) sequences.push_back(session.create());
  auto begin = Clock::now();
  for (const SequenceId sequence : sequences) session.forward(sequence, prompt);
  begin = Clock::now();
  session.truncate(sequences[0], 0);
  session.forward(sequences[0], prompt);
  const double prefill = seconds_since(begin);
  std::vector<SequenceInput> inputs;
  for (const SequenceId sequence : sequences) inputs.push_back({.sequence = sequence, .ids = token});
  const auto pass = [&](int count) {
    begin = Clock::now();
    for (int i = 0; i < count; ++i) session.forward(inputs);
    return seconds_since(begin) / count;
  };
  pass(5);
  const double seconds = pass(100);
  const double bytes = static_cast<double>(model.memory().read_per_token);
  report.line(
      "end_to_end",
      {{"what", "decode"}, {"shape", std::string(four_bit ? "nf4" : "bf16") + " batch " + std::to_string(batch)}},
      {{"tokens_per_second", static_cast<double>(batch) / seconds}, {"seconds", seconds}, {"bytes", bytes}});
  if (batch > 1) return;
  report.line("end_to_end", {{"what", "prefill of 512 tokens"}, {"shape", four_bit ? "nf4" : "bf16"}},
              {{"tokens_per_second", 512 / prefill}, {"seconds", prefill}});
}

void measure_training(Report& report, const Machine& machine) {
  CausalLM model = model_there(machine, kLargeModel, Dtype::bf16, false);
  model.set_requires_grad(true);
  const auto parameters = model.trainable_parameters();
  double count = 0;
  for (const auto& [name, tensor] : parameters) count += static_cast<double>(tensor.numel());
  TokenBatch batch;
  for (std::uint64_t i = 0; i < 4; ++i) batch.add(some_ids(2048, 10 + i));
  const auto step = [&] {
    const TokenLoss loss = model.loss(batch, static_cast<double>(batch.target_count()));
    loss.loss.backward();
    const c10::AutoGradMode off(false);
    for (const auto& [name, tensor] : parameters) {
      at::Tensor parameter = tensor;
      parameter.add_(parameter.grad(), -1e-4);
      parameter.mutable_grad().reset();
    }
    return loss.loss.item<double>();
  };
  for (int i = 0; i < 2; ++i) step();
  const auto begin = Clock::now();
  constexpr int kSteps = 5;
  for (int i = 0; i < kSteps; ++i) step();
  const double seconds = seconds_since(begin) / kSteps, tokens = static_cast<double>(batch.rows());
  report.line("end_to_end",
              {{"what", "training step, forward, backward and SGD"}, {"shape", "bf16, 4 documents of 2048 tokens"}},
              {{"tokens_per_second", tokens / seconds}, {"seconds", seconds}, {"flops", 6 * count * tokens}});
}

void try_to(Report& report, const char* what, const std::function<void()>& measure) {
  try {
    measure();
  } catch (const std::exception& error) {
    report.left_out(what, error.what());
  }
}

}  // namespace

void measure_model(Report& report, const Machine& machine) {
  for (const bool four_bit : {false, true}) {
    for (const std::int64_t batch : {1, 8}) {
      try_to(report, four_bit ? "decode nf4" : "decode bf16",
             [&] { measure_decode(report, machine, four_bit, batch); });
    }
  }
  try_to(report, "training", [&] { measure_training(report, machine); });
}

}  // namespace powerhouse::gpu_check
