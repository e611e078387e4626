// Low-rank terms by a device's kernel, for few rows: what is added to a product whose weight stays as it is.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "ops/adapted_linear.h"
#include "ops/device_bundle.h"

namespace powerhouse::ops {

/// One term's tables, kept beside it and uploaded again only where its matrices lie elsewhere. From any thread.
class DeviceTerm {
 public:
  /// Whether the kernel takes x [rows, inputs], up to 64 rows on a device, and the term, without dropout.
  static bool takes(const at::Tensor& x, const LowRankTerm& term);
  /// y [rows, outputs] += scale B A x in place, y in x's type. Not differentiable.
  void add(const at::Tensor& y, const at::Tensor& x, const LowRankTerm& term);

 private:
  std::mutex mutex_{};
  std::vector<std::int64_t> made_of_{};
  DeviceBundle tables_{};
};

}  // namespace powerhouse::ops
