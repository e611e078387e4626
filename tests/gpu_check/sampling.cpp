// Sampling against sorting in float64, and as a distribution: many draws from one row have its probabilities.
#include <cmath>

#include "gpu_check/checks.h"
#include "kernels/sampling_row.h"

namespace powerhouse::gpu_check {

namespace {

constexpr std::uint64_t kSeed = 0x123456789ABCDEF0u;

cuda::SamplingRow row_of(const reference::SamplingChoice& choice, std::uint64_t counter) {
  return sampling_row(choice, kSeed, 3, counter);
}

at::Tensor drawn(const Machine& machine, Checked& checked, const at::Tensor& logits,
                 const std::vector<cuda::SamplingRow>& rows, std::int64_t stride) {
  const at::Tensor in = there(machine, logits), options = values_there(machine, rows);
  const auto count = static_cast<std::int64_t>(rows.size());
  const at::Tensor tokens = empty_there(machine, {count}, at::kLong);
  const cuda::SamplingParams params{.logits = in.data_ptr<float>(),
                                    .vocabulary = logits.size(-1),
                                    .stride = stride,
                                    .options = static_cast<const cuda::SamplingRow*>(options.data_ptr()),
                                    .tokens = tokens.data_ptr<std::int64_t>()};
  const ops::DeviceKernels kernels(machine.device);
  checked.launched("rows", kernels.launch(&cuda::KernelTable::sample, params, count));
  return tokens.to(at::kCPU);
}

void check_choices(Report& report, const Machine& machine) {
  Checked checked(report, machine, "sample, against sorting");
  constexpr reference::SamplingChoice kChoices[] = {{1, 1, 0, 0},         {0.7f, 1, 0, 5}, {1.3f, 0.9f, 0, 0},
                                                    {1, 0.5f, 0, 40},     {1, 1, 0.1f, 0}, {0.8f, 0.95f, 0.05f, 50},
                                                    {2, 0.999f, 0, 9999}, {1, 0.3f, 0, 1}};
  for (const std::int64_t vocabulary :
       {std::int64_t{31}, std::int64_t{5003}, std::int64_t{machine.small ? 9000 : 128256}}) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const at::Tensor logits =
          noise({static_cast<std::int64_t>(std::size(kChoices)), vocabulary}, at::kFloat, seed, 3.0);
      std::vector<cuda::SamplingRow> rows;
      for (const auto& choice : kChoices) rows.push_back(row_of(choice, seed * 100 + rows.size()));
      const at::Tensor tokens = drawn(machine, checked, logits, rows, vocabulary);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const double uniform =
            static_cast<double>(Random(kSeed, RandomStream::sampling, 3).block(rows[i].counter)[0] >> 8) * 0x1p-24;
        const reference::SampledToken expected = reference::sample(
            logits.data_ptr<float>() + static_cast<std::int64_t>(i) * vocabulary, vocabulary, kChoices[i], uniform);
        if (expected.margin < 1e-5 || expected.top_p_margin < 1e-5) continue;  // a rounding may decide
        const bool same = tokens.data_ptr<std::int64_t>()[i] == expected.token;
        checked.number("vocabulary " + std::to_string(vocabulary) + " choice " + std::to_string(i), same ? 0 : 1, 0);
      }
    }
  }
}

// Each row is one draw from the same logits: frequencies are within six deviations of LibTorch's softmax.
void check_distribution(Report& report, const Machine& machine) {
  Checked checked(report, machine, "sample, frequencies");
  const std::int64_t vocabulary = 40, draws = machine.small ? 300 : 100000;
  const at::Tensor logits = noise({1, vocabulary}, at::kFloat, 9, 1.5);
  std::vector<cuda::SamplingRow> rows;
  for (std::int64_t i = 0; i < draws; ++i) rows.push_back(row_of({0.8f, 1, 0, 0}, static_cast<std::uint64_t>(i)));
  const at::Tensor tokens = drawn(machine, checked, logits, rows, 0);
  const at::Tensor counts = at::bincount(tokens, {}, vocabulary).to(at::kDouble);
  const at::Tensor p = at::softmax(logits.to(at::kDouble).div(0.8).flatten(), 0);
  const at::Tensor deviation = p.mul(p.neg().add(1)).mul(draws).sqrt().add(1);
  checked.number("deviations", counts.sub(p.mul(draws)).abs().div(deviation).max().item<double>(), 6);
  for (cuda::SamplingRow& row : rows) row.temperature = 0;
  const at::Tensor greedy = drawn(machine, checked, logits, rows, 0);
  checked.number("greedy", greedy.ne(logits.argmax()).sum().item<double>(), 0);
}

}  // namespace

void check_sampling(Report& report, const Machine& machine) {
  check_choices(report, machine);
  check_distribution(report, machine);
}

}  // namespace powerhouse::gpu_check
