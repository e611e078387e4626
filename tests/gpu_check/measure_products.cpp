// Products with 4-bit weights beside cuBLAS's with bf16 weights. Weights take turns, so that no cache holds them.
#include "gpu_check/checks.h"
#include "gpu_check/timer.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/cuda_rows/device_blocks.h"

namespace powerhouse::gpu_check {

namespace {

constexpr std::int64_t kInputs = 4096, kOutputs = 14336;
constexpr int kTurns = 8;

constexpr std::int64_t kRows[] = {1, 4, 8, 16, 64, 256};

struct Problem {
  const Machine& machine;
  std::int64_t rows;
  at::Tensor dense, x = at::randn({rows, kInputs}, dense.options()), y = at::empty({rows, kOutputs}, dense.options());
};

at::TensorOptions options_of(const Machine& machine, at::ScalarType type) {
  return at::TensorOptions().dtype(type).device(machine.device);
}

void line(Report& report, const Problem& problem, const std::string& name, std::int64_t bytes, double ours) {
  const double theirs =
      seconds_of(problem.machine, [&](int i) { at::linear(problem.x, problem.dense.select(0, i % kTurns)); });
  const std::int64_t rows = problem.rows;
  report.line("speed",
              {{"what", "product " + name},
               {"shape", "[" + std::to_string(rows) + ", 4096] x [14336, 4096]"},
               {"peer", "cuBLAS bf16"}},
              {{"seconds", ours},
               {"peer_seconds", theirs},
               {"ratio", theirs / ours},
               {"bytes", static_cast<double>(bytes + rows * (kInputs + kOutputs) * 2)},
               {"flops", 2.0 * static_cast<double>(rows * kInputs * kOutputs)}});
}

// The product `launcher` with the weight of a turn, which `give` puts into the arguments.
template <typename Params, typename Launcher>
double seconds_of_product(const Problem& problem, Params params, Launcher launcher,
                          const std::function<void(Params&, int turn)>& give) {
  params.x = problem.x.data_ptr();
  params.y = problem.y.data_ptr();
  params.rows = problem.rows;
  params.x_stride = kInputs;
  params.y_stride = kOutputs;
  params.multiprocessors = problem.machine.multiprocessors;
  give(params, 0);
  const at::Tensor workspace = empty_there(problem.machine, {cuda::workspace_floats(params) + 4}, at::kFloat);
  params.workspace = workspace.data_ptr<float>();
  const ops::DeviceKernels kernels(problem.machine.device);
  return seconds_of(problem.machine, [&](int i) {
    give(params, i % kTurns);
    if (!kernels.launch(launcher, params)) throw std::runtime_error("no kernel");
  });
}

void measure_blocks(Report& report, const Machine& machine, const at::Tensor& dense, BlockFormat format) {
  const BlockInfo info = block_info(format);
  const std::int64_t bytes = kOutputs * kInputs / info.block_elements * info.block_bytes;
  std::mt19937 engine(1);
  const std::vector<std::uint8_t> some = testing::plain_blocks(format, bytes / info.block_bytes, engine);
  const at::Tensor blocks = bytes_there(machine, some.data(), some.size()).slice(0, 0, bytes).repeat({kTurns, 1});
  for (const std::int64_t rows : kRows) {
    const Problem problem{.machine = machine, .rows = rows, .dense = dense};
    const cuda::QuantizedProductParams params{
        .format = format, .type = Element::bf16, .inputs = kInputs, .outputs = kOutputs};
    line(report, problem, info.name, bytes,
         seconds_of_product<cuda::QuantizedProductParams>(
             problem, params, &cuda::KernelTable::quantized_product, [&](cuda::QuantizedProductParams& p, int turn) {
               p.weight = static_cast<const std::uint8_t*>(blocks.data_ptr()) + turn * bytes;
             }));
  }
}

void measure_repacked(Report& report, const Machine& machine, const at::Tensor& dense) {
  constexpr std::int64_t kGroup = 128;
  const std::int64_t code_bytes = cuda::repacked_code_bytes(kOutputs, kInputs, 4),
                     level_bytes = cuda::repacked_level_bytes(kOutputs, kInputs, kGroup);
  const at::Tensor codes = at::randint(256, {kTurns, code_bytes}, options_of(machine, at::kByte));
  // A scale of 2^-7 and a zero of 8.
  const at::Tensor levels = at::full({kTurns, level_bytes / 4}, 8 << 16 | 0x2000, options_of(machine, at::kInt));
  for (const std::int64_t rows : kRows) {
    const Problem problem{.machine = machine, .rows = rows, .dense = dense};
    const cuda::RepackedProductParams params{
        .weight = {.inputs = kInputs, .outputs = kOutputs, .group = kGroup, .bits = 4}, .type = Element::bf16};
    line(report, problem, "gptq and awq of 4 bits, groups of 128", code_bytes + level_bytes,
         seconds_of_product<cuda::RepackedProductParams>(
             problem, params, &cuda::KernelTable::repacked_product, [&](cuda::RepackedProductParams& p, int turn) {
               p.weight.codes = codes[turn].data_ptr();
               p.weight.levels = static_cast<const std::uint32_t*>(levels[turn].data_ptr());
             }));
  }
}

}  // namespace

void measure_products(Report& report, const Machine& machine) {
  const c10::AutoGradMode off(false);
  const at::Tensor dense = at::randn({kTurns, kOutputs, kInputs}, options_of(machine, at::kBFloat16));
  for (const BlockFormat format : {BlockFormat::nf4, BlockFormat::q4_0, BlockFormat::q4_k, BlockFormat::q8_0})
    measure_blocks(report, machine, dense, format);
  measure_repacked(report, machine, dense);
}

}  // namespace powerhouse::gpu_check
