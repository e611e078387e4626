#include "kernels/common/element.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/cuda_products/product_case.h"
#include "kernels/cuda_rows/device_blocks.h"
#include "kernels/reference/dequantize.h"

namespace powerhouse::testing {

std::ostream& operator<<(std::ostream& out, const BlocksCase& one) {
  return out << block_info(one.format).name << (one.type == Element::bf16 ? " bf16" : " f16") << " rows " << one.rows
             << " blocks " << one.blocks << " outputs " << one.outputs << " multiprocessors " << one.multiprocessors;
}

BlocksProblem::BlocksProblem(const BlocksCase& one, std::uint64_t seed)
    : case_(one),
      engine_(static_cast<unsigned>(seed)),
      buffers_(one.type, one.rows, one.blocks * block_info(one.format).block_elements, one.outputs, one.bias, one.gaps,
               engine_),
      bytes_(plain_blocks(one.format, one.blocks * one.outputs, engine_)) {
  const std::int64_t count = buffers_.inputs * one.outputs;
  std::vector<float> numbers(static_cast<std::size_t>(count));
  dequantize_row(one.format, bytes_.data(), numbers.data(), count);
  for (const float number : numbers) weight_.push_back(static_cast<double>(round_element(number, one.type)));
}

std::string BlocksProblem::run(cuda_on_host::Order order, std::int64_t traffic_block) {
  memory_ = std::make_unique<cuda_on_host::GlobalMemory>();
  const DeviceBlocks blocks(*memory_, bytes_, true, 32);
  buffers_.add_to(*memory_);
  cuda::QuantizedProductParams params{.format = case_.format,
                                      .weight = blocks.data(),
                                      .inputs = buffers_.inputs,
                                      .outputs = case_.outputs,
                                      .multiprocessors = case_.multiprocessors};
  buffers_.give(params);
  cuda_on_host::DeviceArray<float> workspace(static_cast<std::size_t>(cuda::workspace_floats(params)));
  memory_->add(workspace.data(), workspace.bytes(), "workspace", cuda_on_host::Contents::output);
  params.workspace = workspace.data();
  HostLauncher launcher(*memory_, order, 5);
  launcher.count_traffic(traffic_block);
  if (!blocks_product_on_host(params, launcher)) return "no kernel";
  reports = launcher.reports;
  return launcher.text();
}

double BlocksProblem::bytes_read() const {
  return static_cast<double>(memory_->named("blocks").bytes_read) / static_cast<double>(bytes_.size());
}

}  // namespace powerhouse::testing
