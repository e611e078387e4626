// A whole model: logits, losses, gradients and sessions on the device against the same model on the CPU.
#include "gpu_check/random_model.h"

#include "gpu_check/checks.h"
#include "powerhouse/session.h"
#include "powerhouse/token_batch.h"

namespace powerhouse::gpu_check {

namespace {

std::vector<std::int64_t> some_ids(std::int64_t count, std::int64_t below, std::uint64_t seed) {
  const at::Tensor ids = whole_numbers(count, below, seed);
  return {ids.data_ptr<std::int64_t>(), ids.data_ptr<std::int64_t>() + count};
}

// The largest difference of logits is a few roundings of the type in each layer.
double allowed_logits(Dtype dtype) { return dtype == Dtype::f32 ? 1e-4 : 3e-2; }

void check_passes(Checked& checked, const Machine& machine, Dtype dtype, bool four_bit) {
  const std::string name = std::string(to_string(dtype)) + (four_bit ? " nf4" : "");
  const CausalLM here = model_here(kTinyModel, dtype, four_bit),
                 there = model_there(machine, kTinyModel, dtype, four_bit);
  // Pretended kernels do not take more than eight rows of NF4.
  const std::int64_t some = machine.small ? 4 : 15;
  const at::Tensor ids = whole_numbers(2 * some, kTinyModel.vocabulary, 1).view({2, some});
  checked.tensor(name + " logits", there.forward(ids), allowed_logits(dtype), here.forward(ids));
  Session session_here(here), session_there(there);
  const SequenceId a = session_here.create(), b = session_there.create();
  // Single tokens are decoded by a graph from the second on.
  for (const int count : {machine.small ? 7 : 20, 1, 1, 1, 5, 1, 1}) {
    const auto more = some_ids(count, kTinyModel.vocabulary, static_cast<std::uint64_t>(count) + 5);
    checked.tensor(name + " session", session_there.forward(b, more, LogitsOf::all), allowed_logits(dtype),
                   session_here.forward(a, more, LogitsOf::all));
  }
}

void check_training(Checked& checked, const Machine& machine, Dtype dtype) {
  CausalLM here = model_here(kTinyModel, dtype, false), there = model_there(machine, kTinyModel, dtype, false);
  here.set_requires_grad(true);
  there.set_requires_grad(true);
  TokenBatch batch;
  for (const std::int64_t count : {17, 40, 2})
    batch.add(some_ids(count, kTinyModel.vocabulary, static_cast<std::uint64_t>(count)));
  const TokenLoss expected = here.loss(batch, 50), found = there.loss(batch, 50);
  const std::string name(to_string(dtype));
  checked.tensor(name + " loss", found.loss, allowed_logits(dtype), expected.loss.detach());
  expected.loss.backward();
  found.loss.backward();
  const auto of_here = here.trainable_parameters(), of_there = there.trainable_parameters();
  for (std::size_t i = 0; i < of_here.size(); ++i) {
    const at::Tensor& gradient = of_there[i].second.grad();
    checked.launched(name + " " + of_here[i].first + " has a gradient", gradient.defined());
    if (!gradient.defined()) continue;
    checked.tensor(name + " " + of_here[i].first, gradient, 2 * allowed_logits(dtype), of_here[i].second.grad());
  }
}

}  // namespace

void check_model(Report& report, const Machine& machine) {
  Checked passes(report, machine, "model, logits"), training(report, machine, "model, gradients");
  check_passes(passes, machine, Dtype::f32, false);
  check_passes(passes, machine, Dtype::bf16, false);
  check_passes(passes, machine, Dtype::bf16, true);
  check_training(training, machine, Dtype::f32);
  check_training(training, machine, Dtype::bf16);
}

}  // namespace powerhouse::gpu_check
