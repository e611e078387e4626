#include "ops/few_rows.h"

#include <algorithm>
#include <array>

#include "ops/activation.h"
#include "ops/device_kernels.h"
#include "ops/tensors.h"

namespace powerhouse::ops {
namespace {

bool begins_on(std::uintptr_t bytes, const at::Tensor& x) {
  return reinterpret_cast<std::uintptr_t>(x.const_data_ptr()) % bytes == 0;
}

bool is_vector_of(const at::Tensor& x, std::int64_t size, at::ScalarType type) {
  return !x.defined() || (x.dim() == 1 && x.size(0) == size && x.scalar_type() == type && x.is_contiguous());
}

// A launch for some rows and maps; where y goes is added by map.
class Launch {
 public:
  Launch(const FewRows& in, std::optional<BlockFormat> format, bool early) : in_(in), device_(in.x.device()) {
    params_ = {.type = to_element(in.x.scalar_type()),
               .blocks = format.has_value(),
               .format = format.value_or(BlockFormat::q4_0),
               .x = in.x.const_data_ptr(),
               .x_stride = in.x.stride(0),
               .rows = in.x.size(0),
               .inputs = in.x.size(1),
               .count = 0,
               .early = early,
               .multiprocessors = static_cast<int>(device_.multiprocessors()),
               .shared_bytes = device_.shared_bytes()};
    if (in.norm == nullptr) return;
    params_.normed = true;
    params_.norm_weight = in.norm_weight.defined() ? in.norm_weight.const_data_ptr() : nullptr;
    params_.epsilon = in.norm->epsilon;
    params_.unit_offset = in.norm->unit_offset;
    params_.round_once = in.norm->round_once;
  }

  /// With room for y, unless it goes elsewhere.
  at::Tensor add(const FewRowsMap& map, at::ScalarType type, bool with_room = true) {
    const std::int64_t outputs = map.weight.size(0);
    at::Tensor y = with_room ? empty_tensor({params_.rows, outputs}, type, in_.x.device()) : at::Tensor();
    params_.parts[params_.count++] = {.weight = map.weight.const_data_ptr(),
                                      .bias = map.bias.defined() ? map.bias.const_data_ptr() : nullptr,
                                      .y = with_room ? y.mutable_data_ptr() : nullptr,
                                      .outputs = outputs,
                                      .y_stride = outputs};
    return y;
  }

  cuda::FewRowsParams& params() { return params_; }
  bool run() const { return device_.launch(&cuda::KernelTable::few_rows_product, params_); }

 private:
  const FewRows& in_;
  DeviceKernels device_;
  cuda::FewRowsParams params_;
};

}  // namespace

std::optional<FewRowsMap> few_rows_map(const Weight& weight, const at::Tensor& bias) {
  if (!weight.device_blocks().defined()) return FewRowsMap{weight.matrix(), bias};
  if (weight.repacked() != nullptr || weight.stored()->offset != 0.0f) return std::nullopt;
  return FewRowsMap{weight.device_blocks(), bias, weight.format()};
}

bool few_rows_take(const FewRows& in, std::span<const FewRowsMap> maps) {
  const at::Tensor& x = in.x;
  static_assert(kMostFewRows == cuda::kMostFewRows);
  if (x.is_cpu() || x.dim() != 2 || x.size(0) > kMostFewRows || !has_kernels(x)) return false;
  const at::ScalarType type = x.scalar_type();
  if (type != at::kBFloat16 && type != at::kHalf) return false;
  if (x.stride(1) != 1 || x.stride(0) % 8 != 0 || x.size(1) % 8 != 0 || x.size(1) == 0 || !begins_on(16, x))
    return false;
  if (maps.size() > cuda::kFewRowsParts || !DeviceKernels(x.device()).has(&cuda::KernelTable::few_rows_product)) {
    return false;
  }
  if (in.norm != nullptr && (in.norm->kind != NormKind::rms_norm || in.norm->bias)) return false;
  if (in.norm_weight.defined() && (!is_vector_of(in.norm_weight, x.size(1), type) || !begins_on(16, in.norm_weight))) {
    return false;
  }
  return std::all_of(maps.begin(), maps.end(), [&](const FewRowsMap& map) {
    const at::Tensor& weight = map.weight;
    if (!weight.defined() || weight.dim() != 2 || weight.size(0) == 0 || !weight.is_contiguous() ||
        weight.device() != x.device() || !is_vector_of(map.bias, weight.size(0), type)) {
      return false;
    }
    if (map.format != maps[0].format) return false;
    if (!map.format) return weight.size(1) == x.size(1) && weight.scalar_type() == type && begins_on(16, weight);
    const BlockInfo info = block_info(*map.format);
    return x.size(1) % info.block_elements == 0 &&
           weight.size(1) == x.size(1) / info.block_elements * info.block_bytes && begins_on(32, weight);
  });
}

std::vector<at::Tensor> few_rows_products(const FewRows& in, std::span<const FewRowsMap> maps, bool early) {
  Launch launch(in, maps[0].format, early);
  std::vector<at::Tensor> out;
  for (const FewRowsMap& map : maps) out.push_back(launch.add(map, in.x.scalar_type()));
  return launch.run() ? out : std::vector<at::Tensor>();
}

at::Tensor few_rows_gated(const FewRows& in, const FewRowsMap& gate, const FewRowsMap& up, Activation activation,
                          bool early) {
  const auto kind = kernel_kind(activation);
  if (!kind || gate.weight.size(0) != up.weight.size(0)) return {};
  Launch launch(in, gate.format, early);
  at::Tensor y = launch.add(gate, in.x.scalar_type());
  launch.add(up, in.x.scalar_type(), /*with_room=*/false);
  launch.params().gated = true;
  launch.params().kind = *kind;
  return launch.run() ? y : at::Tensor();
}

at::Tensor few_rows_added(const FewRows& in, const FewRowsMap& map, const at::Tensor& given, bool early) {
  const bool fits = given.scalar_type() == in.x.scalar_type() && given.device() == in.x.device() && given.dim() == 2 &&
                    given.size(0) == in.x.size(0) && given.size(1) == map.weight.size(0);
  if (!fits) return {};
  const at::Tensor residual = given.stride(1) == 1 ? given : given.contiguous();
  Launch launch(in, map.format, early);
  at::Tensor y = launch.add(map, in.x.scalar_type());
  launch.params().residual = residual.const_data_ptr();
  launch.params().residual_stride = residual.stride(0);
  return launch.run() ? y : at::Tensor();
}

at::Tensor few_rows_f32(const FewRows& in, const FewRowsMap& map, bool early) {
  Launch launch(in, map.format, early);
  at::Tensor y = launch.add(map, at::kFloat);
  launch.params().to_float = true;
  return launch.run() ? y : at::Tensor();
}

}  // namespace powerhouse::ops
