#include <algorithm>
#include <cmath>
#include <sstream>

#include "kernels/common/element.h"
#include "kernels/cuda/product_plan.h"
#include "kernels/cuda_products/product_case.h"

namespace powerhouse::testing {

using cuda_on_host::Contents;

namespace {

template <typename T>
void copy_to(const std::vector<T>& from, cuda_on_host::DeviceArray<T>& to) {
  std::copy(from.begin(), from.end(), to.begin());
}

}  // namespace

RepackedProblem::RepackedProblem(PackedWeight packed, const RepackedCase& one, std::uint64_t seed)
    : packed_(std::move(packed)),
      engine_(static_cast<unsigned>(seed)),
      buffers_(one.type, one.rows, packed_.inputs, packed_.outputs, one.bias, one.gaps, engine_),
      multiprocessors_(one.multiprocessors),
      qweight_(packed_.qweight.size()),
      qzeros_(packed_.qzeros.size()),
      order_(static_cast<std::size_t>(packed_.inputs)),
      scales_(packed_.scales.size()),
      codes_(static_cast<std::size_t>(
          cuda::repacked_code_bytes(packed_.outputs, packed_.inputs, packed_.bits == 8 ? 8 : 4))),
      levels_(
          static_cast<std::size_t>(cuda::repacked_level_bytes(packed_.outputs, packed_.inputs, packed_.group) / 4)) {
  copy_to(packed_.qweight, qweight_);
  copy_to(packed_.qzeros, qzeros_);
  copy_to(packed_.scales, scales_);
  const std::vector<std::int32_t> order = order_of(packed_);
  copy_to(order, order_);
  ordered_ = !order.empty();
}

RepackedProblem::RepackedProblem(const RepackedCase& one, std::uint64_t seed)
    : RepackedProblem(
          [&] {
            std::mt19937 engine(static_cast<unsigned>(seed));
            return random_packed(one, engine);
          }(),
          one, seed + 1) {}

cuda::RepackedWeight RepackedProblem::repacked() const {
  return {.codes = codes_.data(),
          .levels = levels_.data(),
          .order = ordered_ ? order_.data() : nullptr,
          .inputs = packed_.inputs,
          .outputs = packed_.outputs,
          .group = packed_.group,
          .bits = packed_.bits == 8 ? 8 : 4};
}

std::string RepackedProblem::repack(cuda_on_host::Order order) {
  cuda_on_host::GlobalMemory memory;
  memory.add(qweight_.data(), qweight_.bytes(), "qweight", Contents::input);
  memory.add(qzeros_.data(), qzeros_.bytes(), "qzeros", Contents::input);
  memory.add(scales_.data(), scales_.bytes(), "scales", Contents::input);
  memory.add(order_.data(), order_.bytes(), "order", Contents::input);
  memory.add(codes_.data(), codes_.bytes(), "codes", Contents::output);
  memory.add(levels_.data(), levels_.bytes(), "levels", Contents::output);
  const HostLauncher launcher(memory, order, 5);
  const bool known = repack_on_host({.layout = packed_.layout,
                                     .qweight = qweight_.data(),
                                     .qzeros = qzeros_.data(),
                                     .scales = scales_.data(),
                                     .order = repacked().order,
                                     .inputs = packed_.inputs,
                                     .outputs = packed_.outputs,
                                     .group = packed_.group,
                                     .bits = packed_.bits,
                                     .zero_offset = packed_.zero_offset,
                                     .codes = codes_.data(),
                                     .levels = levels_.data()},
                                    launcher);
  return known ? launcher.text() : "no kernel";
}

std::string RepackedProblem::run(cuda_on_host::Order order, std::int64_t traffic_block) {
  memory_ = std::make_unique<cuda_on_host::GlobalMemory>();
  memory_->add(codes_.data(), codes_.bytes(), "codes", Contents::input);
  memory_->add(levels_.data(), levels_.bytes(), "levels", Contents::input);
  memory_->add(order_.data(), order_.bytes(), "order", Contents::input);
  buffers_.add_to(*memory_);
  cuda::RepackedProductParams params{.weight = repacked(), .multiprocessors = multiprocessors_};
  buffers_.give(params);
  cuda_on_host::DeviceArray<float> workspace(static_cast<std::size_t>(cuda::workspace_floats(params)));
  memory_->add(workspace.data(), workspace.bytes(), "workspace", Contents::output);
  params.workspace = workspace.data();
  HostLauncher launcher(*memory_, order, 5);
  launcher.count_traffic(traffic_block);
  if (!repacked_product_on_host(params, launcher)) return "no kernel";
  reports = launcher.reports;
  return launcher.text();
}

std::string RepackedProblem::dequantize(Element type, cuda_on_host::Order order) {
  const std::int64_t count = packed_.outputs * packed_.inputs;
  cuda_on_host::DeviceArray<std::uint8_t> out(static_cast<std::size_t>(count * element_bytes(type)));
  cuda_on_host::GlobalMemory memory;
  memory.add(codes_.data(), codes_.bytes(), "codes", Contents::input);
  memory.add(levels_.data(), levels_.bytes(), "levels", Contents::input);
  memory.add(order_.data(), order_.bytes(), "order", Contents::input);
  memory.add(out.data(), out.bytes(), "out", Contents::output);
  const HostLauncher launcher(memory, order, 5);
  const bool known =
      repacked_dequantize_on_host({.weight = repacked(), .type = type, .destination = out.data()}, launcher);
  if (!known || launcher.text() != "clean") return known ? launcher.text() : "no kernel";
  for (std::int64_t i = 0; i < count; ++i) {
    const float expected = round_element(static_cast<float>(packed_.weight[static_cast<std::size_t>(i)]), type);
    if (read_element(out.data(), type, i) == expected) continue;
    std::ostringstream said;
    said << "number " << i << " is " << read_element(out.data(), type, i) << ", expected " << expected;
    return said.str();
  }
  return "clean";
}

double RepackedProblem::bytes_read() const {
  const double read = static_cast<double>(memory_->named("codes").bytes_read + memory_->named("levels").bytes_read);
  return read / static_cast<double>(codes_.bytes() + levels_.bytes());
}

}  // namespace powerhouse::testing
