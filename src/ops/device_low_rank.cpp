#include "ops/device_low_rank.h"

#include <bit>

#include "ops/device_kernels.h"
#include "ops/tensors.h"

namespace powerhouse::ops {
namespace {

constexpr std::int64_t kMostRows = 64;

std::int64_t address_of(const at::Tensor& x) {
  return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(x.const_data_ptr()));
}

bool plain(const at::Tensor& matrix, const at::Tensor& x) {
  return matrix.device() == x.device() && matrix.is_contiguous() && is_kernel_type(matrix.scalar_type());
}

}  // namespace

bool DeviceTerm::takes(const at::Tensor& x, const LowRankTerm& term) {
  if (x.is_cpu() || !has_kernels(x) || x.size(0) > kMostRows || term.dropout.rate > 0.0f) return false;
  return plain(term.a, x) && plain(term.b, x) && term.a.scalar_type() == term.b.scalar_type() &&
         DeviceKernels(x.device()).has(&cuda::KernelTable::lora_gather);
}

void DeviceTerm::add(const at::Tensor& y, const at::Tensor& given, const LowRankTerm& term) {
  const at::Tensor x = given.stride(1) == 1 ? given : given.contiguous();
  const std::int64_t rank = term.a.size(0), inputs = x.size(1);
  const std::int64_t pointers[] = {address_of(term.a), address_of(term.b)}, ranks[] = {rank};
  const float scale[] = {term.scale};
  enum Part : std::size_t { kPointers, kRanks, kScales, kAdapters };
  const std::vector<std::int64_t> made_of{pointers[0], pointers[1], rank, std::bit_cast<std::int32_t>(term.scale)};
  const std::lock_guard lock(mutex_);
  if (made_of != made_of_) {
    const std::vector<std::int64_t> all_rows(static_cast<std::size_t>(kMostRows), 0);
    DeviceBundle tables;
    tables.add_indices(pointers);
    tables.add_ints(ranks);
    tables.add_floats(scale, {1});
    tables.add_ints(all_rows);
    tables.send(x.device());
    tables_ = std::move(tables);
    made_of_ = made_of;
  }
  const at::Tensor addresses = tables_[kPointers];
  const auto* const table = reinterpret_cast<const void* const*>(addresses.const_data_ptr<std::int64_t>());
  const at::Tensor workspace = empty_tensor({x.size(0), rank}, at::kFloat, x.device());
  cuda::LoraGatherParams params{.type = to_element(x.scalar_type()),
                                .weight_type = to_element(term.a.scalar_type()),
                                .x = x.const_data_ptr(),
                                .y = y.mutable_data_ptr(),
                                .x_stride = x.stride(0),
                                .y_stride = y.stride(0),
                                .adapters = tables_[kAdapters].const_data_ptr<std::int32_t>(),
                                .a = table,
                                .b = table + 1,
                                .ranks = tables_[kRanks].const_data_ptr<std::int32_t>(),
                                .scales = tables_[kScales].const_data_ptr<float>(),
                                .rows = x.size(0),
                                .inputs = inputs,
                                .outputs = y.size(1),
                                .most_rank = static_cast<int>(rank),
                                .workspace = workspace.mutable_data_ptr<float>()};
  const auto whole = [](const void* place) { return reinterpret_cast<std::uintptr_t>(place) % 16 == 0; };
  params.aligned = whole(params.x) && whole(params.y) && whole(term.a.const_data_ptr()) &&
                   whole(term.b.const_data_ptr()) && inputs % 8 == 0 && params.x_stride % 8 == 0 &&
                   params.y_stride % 8 == 0;
  DeviceKernels(x.device()).must_launch("lora", &cuda::KernelTable::lora_gather, params);
}

}  // namespace powerhouse::ops
