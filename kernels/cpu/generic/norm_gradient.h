// Gradients of RMSNorm and LayerNorm by rows. With u = (x - mean) / deviation and g = dy * weight:
// dx = (g - mean(g) - u mean(g u)) / deviation, without the mean(g) where the norm takes no mean.
//
// The statistics are computed again from x, which passes by anyway, in the order of the forward pass. Sums over rows
// run through the rows of one work item, so that they are the same on any number of threads.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/layer_norm.h"
#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

/// One row of one head.
template <typename T>
class NormRow {
 public:
  NormRow(const NormGradientParams& params, std::int64_t row, std::int64_t head)
      : params_(params),
        x_(static_cast<const T*>(params.x) + row * params.x_stride + head * params.x_head_stride),
        dy_(static_cast<const T*>(params.dy) + row * params.dy_stride + head * params.dy_head_stride),
        weight_(params.weight == nullptr ? nullptr
                                         : static_cast<const T*>(params.weight) + head * params.weight_head_stride) {
    mean_ = params.centered ? mean_of<false>(x_, 0.0f, params.size) : 0.0f;
    inverse_ = 1.0f / __builtin_sqrtf(mean_of<true>(x_, mean_, params.size) + params.epsilon);
  }

  /// dweight += dy u, dbias += dy.
  void add_sums(float* dweight, float* dbias) const {
    const bool rounded = !params_.centered && !params_.round_once && !params_.unit_offset;
    for (std::int64_t i = 0; i < params_.size; i += kWidth) {
      const int count = lanes(params_.size, i);
      const Vec dy = read(dy_ + i, count);
      if (dweight != nullptr) {
        const Vec u = rounded ? round_to<T>(unit(i, count)) : unit(i, count);
        write(dweight + i, fma(dy, u, read(dweight + i, count)), count);
      }
      if (dbias != nullptr) write(dbias + i, add(dy, read(dbias + i, count)), count);
    }
  }

  void write_dx(T* dx) const {
    Vec sum[2] = {zero(), zero()};
    Vec along[2] = {zero(), zero()};
    int turn = 0;
    for (std::int64_t i = 0; i < params_.size; i += kWidth, turn ^= 1) {
      const int count = lanes(params_.size, i);
      const Vec g = inner(i, count);  // 0 behind the row, where u is not
      sum[turn] = add(sum[turn], g);
      along[turn] = fma(g, unit(i, count), along[turn]);
    }
    const auto size = static_cast<float>(params_.size);
    const Vec shift = broadcast(params_.centered ? reduce_add(add(sum[0], sum[1])) / size : 0.0f);
    const Vec slope = broadcast(reduce_add(add(along[0], along[1])) / size);
    for (std::int64_t i = 0; i < params_.size; i += kWidth) {
      const int count = lanes(params_.size, i);
      const Vec rest = sub(sub(inner(i, count), shift), mul(unit(i, count), slope));
      write(dx + i, mul(rest, broadcast(inverse_)), count);
    }
  }

 private:
  Vec unit(std::int64_t i, int count) const {
    return mul(sub(read(x_ + i, count), broadcast(mean_)), broadcast(inverse_));
  }
  Vec inner(std::int64_t i, int count) const {
    const Vec dy = read(dy_ + i, count);
    if (weight_ == nullptr) return dy;
    const Vec factor = read(weight_ + i, count);
    return mul(dy, params_.unit_offset ? add(factor, broadcast(1.0f)) : factor);
  }

  const NormGradientParams& params_;
  const T* const x_;
  const T* const dy_;
  const T* const weight_;
  float mean_, inverse_;
};

template <typename T>
inline void norm_gradient_part(const NormGradientParams& params, std::int64_t part) {
  const std::int64_t sums = params.size * (params.weight_head_stride == 0 ? 1 : params.heads);
  float* const dweight = params.dweight == nullptr ? nullptr : params.dweight + part * sums;
  float* const dbias = params.dbias == nullptr ? nullptr : params.dbias + part * sums;
  float* const all[2] = {dweight, dbias};
  for (float* const sum : all) {
    for (std::int64_t i = 0; sum != nullptr && i < sums; ++i) sum[i] = 0.0f;
  }
  const std::int64_t end = smaller(params.rows, (part + 1) * kNormRows);
  for (std::int64_t row = part * kNormRows; row < end; ++row) {
    for (std::int64_t head = 0; head < params.heads; ++head) {
      const NormRow<T> at(params, row, head);
      const std::int64_t shift = params.weight_head_stride == 0 ? 0 : head * params.size;
      // dx may be dy: it comes last.
      if (dweight != nullptr || dbias != nullptr) {
        at.add_sums(dweight == nullptr ? nullptr : dweight + shift, dbias == nullptr ? nullptr : dbias + shift);
      }
      if (params.dx != nullptr) {
        at.write_dx(static_cast<T*>(params.dx) + row * params.dx_stride + head * params.dx_head_stride);
      }
    }
  }
}

void norm_gradient(const NormGradientParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.type, [&](auto tag) {
    for (std::int64_t part = begin; part < end; ++part) norm_gradient_part<typename decltype(tag)::Type>(params, part);
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
