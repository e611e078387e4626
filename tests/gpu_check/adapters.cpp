// Low-rank terms of several adapters in one batch.
#include "gpu_check/checks.h"

namespace powerhouse::gpu_check {

namespace {

void check_batch(Checked& checked, const Machine& machine, at::ScalarType type, std::int64_t rows, bool aligned) {
  const std::int64_t inputs = aligned ? 512 : 300, outputs = aligned ? 256 : 130;
  const std::vector<std::int32_t> ranks{8, 16, 0, 5};
  const std::vector<float> scales{2.0f, 0.5f, 1.0f, 1.5f};
  std::vector<at::Tensor> a, b, a_there, b_there;
  std::vector<std::uint64_t> a_addresses, b_addresses;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    a.push_back(noise({ranks[i], inputs}, type, 10 + i));
    b.push_back(noise({outputs, ranks[i]}, type, 20 + i));
    a_there.push_back(there(machine, a[i]));
    b_there.push_back(there(machine, b[i]));
    a_addresses.push_back(reinterpret_cast<std::uint64_t>(a_there[i].data_ptr()));
    b_addresses.push_back(reinterpret_cast<std::uint64_t>(b_there[i].data_ptr()));
  }
  std::vector<std::int32_t> of_row;
  for (std::int64_t row = 0; row < rows; ++row) of_row.push_back(static_cast<std::int32_t>(row * 3 % 5) - 1);
  const at::Tensor x = noise({rows, inputs}, type, 1), start = noise({rows, outputs}, type, 2, 30.0);
  const at::Tensor x_there = there(machine, x), y = there(machine, start).clone();
  const at::Tensor of_row_there = values_there(machine, of_row), ranks_there = values_there(machine, ranks);
  const at::Tensor scales_there = values_there(machine, scales), a_table = values_there(machine, a_addresses);
  const at::Tensor b_table = values_there(machine, b_addresses),
                   workspace = empty_there(machine, {rows, 16}, at::kFloat);
  const cuda::LoraGatherParams params{.type = element(type),
                                      .weight_type = element(type),
                                      .x = x_there.data_ptr(),
                                      .y = y.data_ptr(),
                                      .x_stride = inputs,
                                      .y_stride = outputs,
                                      .adapters = static_cast<const std::int32_t*>(of_row_there.data_ptr()),
                                      .a = static_cast<const void* const*>(a_table.data_ptr()),
                                      .b = static_cast<const void* const*>(b_table.data_ptr()),
                                      .ranks = static_cast<const std::int32_t*>(ranks_there.data_ptr()),
                                      .scales = static_cast<const float*>(scales_there.data_ptr()),
                                      .rows = rows,
                                      .inputs = inputs,
                                      .outputs = outputs,
                                      .most_rank = 16,
                                      .workspace = workspace.data_ptr<float>(),
                                      .aligned = aligned};
  const ops::DeviceKernels kernels(machine.device);
  const std::string name =
      std::string(at::toString(type)) + " rows " + std::to_string(rows) + (aligned ? "" : " unaligned");
  checked.launched(name, kernels.launch(&cuda::KernelTable::lora_gather, params));
  checked.tensor(name, y, allowed(type, 1.25), [&](at::ScalarType to) {
    const at::Tensor expected = wide(machine, start, to).clone();
    for (std::int64_t row = 0; row < rows; ++row) {
      if (of_row[static_cast<std::size_t>(row)] < 0) continue;
      const auto i = static_cast<std::size_t>(of_row[static_cast<std::size_t>(row)]);
      const at::Tensor reduced = at::mv(wide(machine, a[i], to), wide(machine, x.select(0, row), to));
      expected.select(0, row).add_(at::mv(wide(machine, b[i], to), reduced), static_cast<double>(scales[i]));
    }
    return expected;
  });
}

}  // namespace

void check_adapters(Report& report, const Machine& machine) {
  Checked checked(report, machine, "lora_gather");
  for (const at::ScalarType type : kTypes) {
    for (const std::int64_t rows : {1, 6, 40}) {
      check_batch(checked, machine, type, rows, true);
      check_batch(checked, machine, type, rows, false);
    }
  }
}

}  // namespace powerhouse::gpu_check
