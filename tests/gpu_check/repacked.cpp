// Weights of GPTQ and AWQ: repacked, dequantized to the numbers that their codes mean, multiplied by few and many rows.
#include <sstream>

#include "gpu_check/checks.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/cuda_products/packed_weight.h"

namespace powerhouse::gpu_check {

using testing::PackedWeight;
using testing::RepackedCase;

namespace {

// A weight repacked on the device from what a file would hold.
struct RepackedThere {
  RepackedThere(const Machine& machine, const testing::PackedWeight& packed);

  at::Tensor codes, levels, order;
  cuda::RepackedWeight weight{};
  bool taken = false;  ///< whether there is a kernel
};

RepackedThere::RepackedThere(const Machine& machine, const PackedWeight& packed) {
  const int bits = packed.bits == 8 ? 8 : 4;
  const auto bytes = [&](std::int64_t count) {
    return at::full({count}, 0xFF, at::TensorOptions().dtype(at::kByte)).to(machine.device);
  };
  codes = bytes(cuda::repacked_code_bytes(packed.outputs, packed.inputs, bits));
  levels = bytes(cuda::repacked_level_bytes(packed.outputs, packed.inputs, packed.group));
  const std::vector<std::int32_t> order_here = testing::order_of(packed);
  if (!order_here.empty()) order = values_there(machine, order_here);
  const at::Tensor qweight = values_there(machine, packed.qweight), qzeros = values_there(machine, packed.qzeros),
                   scales = values_there(machine, packed.scales);
  const auto words = [](const at::Tensor& x) {
    return x.defined() ? static_cast<const std::int32_t*>(x.data_ptr()) : nullptr;
  };
  const cuda::RepackParams params{.layout = packed.layout,
                                  .qweight = words(qweight),
                                  .qzeros = words(qzeros),
                                  .scales = scales.data_ptr(),
                                  .order = words(order),
                                  .inputs = packed.inputs,
                                  .outputs = packed.outputs,
                                  .group = packed.group,
                                  .bits = packed.bits,
                                  .zero_offset = packed.zero_offset,
                                  .codes = codes.data_ptr(),
                                  .levels = static_cast<std::uint32_t*>(levels.data_ptr())};
  taken = ops::DeviceKernels(machine.device).launch(&cuda::KernelTable::repack, params);
  weight = {.codes = codes.data_ptr(),
            .levels = static_cast<const std::uint32_t*>(levels.data_ptr()),
            .order = words(order),
            .inputs = packed.inputs,
            .outputs = packed.outputs,
            .group = packed.group,
            .bits = bits};
}

cuda::RepackedProductParams product_of(const Machine& machine, const cuda::RepackedWeight& weight, const at::Tensor& x,
                                       const at::Tensor& bias, const at::Tensor& y, at::Tensor& workspace) {
  cuda::RepackedProductParams params{.weight = weight,
                                     .type = element(x.scalar_type()),
                                     .x = x.data_ptr(),
                                     .bias = bias.defined() ? bias.data_ptr() : nullptr,
                                     .y = y.data_ptr(),
                                     .rows = x.size(0),
                                     .x_stride = x.size(1),
                                     .y_stride = y.size(1),
                                     .multiprocessors = machine.multiprocessors};
  workspace = empty_there(machine, {cuda::workspace_floats(params) + 4}, at::kFloat);
  params.workspace = workspace.data_ptr<float>();
  return params;
}

struct Checks {
  Checked repack, dequantize, product;
};

void check(Checks& checks, const Machine& machine, const RepackedCase& one) {
  std::ostringstream said;
  said << one;
  std::mt19937 engine(11);
  const PackedWeight packed = testing::random_packed(one, engine);
  const RepackedThere there_is(machine, packed);
  checks.repack.launched(said.str(), there_is.taken);
  const at::Tensor weight =
      at::from_blob(const_cast<double*>(packed.weight.data()), {packed.outputs, packed.inputs}, at::kDouble).clone();
  const ops::DeviceKernels kernels(machine.device);
  for (const at::ScalarType type : kTypes) {
    const std::string name = said.str() + " to " + at::toString(type);
    const at::Tensor out = empty_there(machine, {packed.outputs, packed.inputs}, type);
    const cuda::RepackedDequantizeParams params{
        .weight = there_is.weight, .type = element(type), .destination = out.data_ptr()};
    checks.dequantize.launched(name, kernels.launch(&cuda::KernelTable::repacked_dequantize, params));
    checks.dequantize.tensor(name, out, 0, weight.to(at::kFloat).to(type));
  }
  for (const at::ScalarType type : kHalfTypes) {
    for (const std::int64_t rows : {1, 2, 8, 11, 31, 64, 100}) {
      const std::string name = said.str() + " " + at::toString(type) + " x of " + std::to_string(rows);
      const at::Tensor x = noise({rows, packed.inputs}, type, 1), bias = noise({packed.outputs}, type, 2);
      const at::Tensor x_there = there(machine, x), bias_there = there(machine, bias);
      const at::Tensor y = empty_there(machine, {rows, packed.outputs}, type);
      at::Tensor workspace;
      const auto params = product_of(machine, there_is.weight, x_there, bias_there, y, workspace);
      checks.product.launched(name, kernels.launch(&cuda::KernelTable::repacked_product, params));
      checks.product.tensor(name, y, allowed(type, 1.25) + 1e-5, [&](at::ScalarType to) {
        return at::linear(wide(machine, x, to), wide(machine, weight, to), wide(machine, bias, to));
      });
    }
  }
}

}  // namespace

void check_repacked(Report& report, const Machine& machine) {
  Checks checks{
      {report, machine, "repack"}, {report, machine, "repacked_dequantize"}, {report, machine, "repacked_product"}};
  const std::int64_t inputs = machine.small ? 320 : 2048, outputs = machine.small ? 72 : 1032;
  using cuda::PackedLayout;
  check(checks, machine, {.layout = PackedLayout::awq, .group = 32, .inputs = inputs, .outputs = outputs});
  check(checks, machine, {.group = 64, .inputs = inputs, .outputs = outputs, .ordered = true, .zero_offset = 1});
  check(checks, machine, {.bits = 8, .group = 32, .inputs = inputs, .outputs = outputs, .zero_offset = 1});
  if (machine.small) return;
  check(checks, machine, {.layout = PackedLayout::awq, .group = 128, .inputs = inputs, .outputs = outputs});
  check(checks, machine, {.bits = 2, .group = 128, .inputs = inputs, .outputs = 1040, .zero_offset = 1});
  check(checks, machine, {.bits = 3, .group = 64, .inputs = inputs, .outputs = 1024, .zero_offset = 1});
  check(checks, machine, {.bits = 8, .group = 128, .inputs = inputs, .outputs = outputs, .ordered = true});
}

}  // namespace powerhouse::gpu_check
