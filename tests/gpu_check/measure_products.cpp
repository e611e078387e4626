// Products with 4-bit weights beside cuBLAS's with bf16 weights. Weights take turns, so that no cache holds them.
#include "gpu_check/checks.h"
#include "gpu_check/timer.h"
#include "kernels/cuda/product_plan.h"

namespace powerhouse::gpu_check {

namespace {

constexpr std::int64_t kInputs = 4096, kOutputs = 14336;
constexpr int kTurns = 8;

void measure(Report& report, const Machine& machine, BlockFormat format, std::int64_t rows) {
  const BlockInfo info = block_info(format);
  const std::int64_t bytes = kOutputs * kInputs / info.block_elements * info.block_bytes;
  // Zeros: any codes and scales take the same time, and these are finite.
  const at::Tensor blocks = at::zeros({kTurns, bytes}, at::TensorOptions().dtype(at::kByte).device(machine.device));
  const at::Tensor dense =
      at::zeros({kTurns, kOutputs, kInputs}, at::TensorOptions().dtype(at::kBFloat16).device(machine.device));
  const at::Tensor x = there(machine, noise({rows, kInputs}, at::kBFloat16, 1));
  const at::Tensor y = empty_there(machine, {rows, kOutputs}, at::kBFloat16);
  cuda::QuantizedProductParams params{.format = format,
                                      .type = Element::bf16,
                                      .x = x.data_ptr(),
                                      .y = y.data_ptr(),
                                      .rows = rows,
                                      .inputs = kInputs,
                                      .outputs = kOutputs,
                                      .x_stride = kInputs,
                                      .y_stride = kOutputs,
                                      .multiprocessors = machine.multiprocessors};
  const at::Tensor workspace = empty_there(machine, {cuda::workspace_floats(params) + 4}, at::kFloat);
  params.workspace = workspace.data_ptr<float>();
  const ops::DeviceKernels kernels(machine.device);
  const double ours = seconds_of(machine, [&](int i) {
    cuda::QuantizedProductParams turn = params;
    turn.weight = static_cast<const std::uint8_t*>(blocks.data_ptr()) + i % kTurns * bytes;
    if (!kernels.launch(&cuda::KernelTable::quantized_product, turn)) throw std::runtime_error("no kernel");
  });
  const double theirs = seconds_of(machine, [&](int i) { at::linear(x, dense.select(0, i % kTurns)); });
  report.line("speed",
              {{"what", std::string("product ") + info.name},
               {"shape", "[" + std::to_string(rows) + ", 4096] x [14336, 4096]"},
               {"peer", "cuBLAS bf16"}},
              {{"seconds", ours},
               {"peer_seconds", theirs},
               {"ratio", theirs / ours},
               {"bytes", static_cast<double>(bytes + rows * (kInputs + kOutputs) * 2)},
               {"flops", 2.0 * static_cast<double>(rows * kInputs * kOutputs)}});
}

}  // namespace

void measure_products(Report& report, const Machine& machine) {
  const c10::AutoGradMode off(false);
  for (const BlockFormat format : {BlockFormat::nf4, BlockFormat::q4_0, BlockFormat::q4_k, BlockFormat::q8_0}) {
    for (const std::int64_t rows : {1, 4, 8, 16, 64, 256}) measure(report, machine, format, rows);
  }
}

}  // namespace powerhouse::gpu_check
