// The arguments of the kernels that training needs beside those of inference: losses, and gradients of the small ops.
// The rules of kernels.h hold.
#pragma once

#include <cstdint>

#include "kernels/common/element.h"
#include "kernels/cpu/elementwise_params.h"

namespace powerhouse::cpu {

/// The loss of rows of logits against one target each, and its gradient in their place.
///
/// Logits l are the products z scaled: l = scale z, or softcap tanh(scale z / softcap). With p = softmax(l) and the
/// target distribution q = (1 - smoothing) onehot + smoothing / vocabulary, a row's loss is
/// -sum(q log p) + z_loss log_sum_exp(l)^2. Where `weights` is given, z is overwritten by the gradient of weight * loss
/// with respect to z, rounded once. NaN and infinity in a row make its loss and gradient NaN, -infinity is a logit that
/// can't be taken. Work items: rows.
struct CrossEntropyParams {
  Element type = Element::f32;
  void* logits = nullptr;                  ///< z [rows, vocabulary]; written only with weights
  std::int64_t vocabulary = 0;             ///< at least 1
  std::int64_t stride = 0;                 ///< between rows
  const std::int64_t* targets = nullptr;   ///< [rows], each in [0, vocabulary)
  const float* weights = nullptr;          ///< [rows], or null: no gradient
  const float* entropy_weights = nullptr;  ///< [rows], beside weights: this times the entropy's gradient is added
  float scale = 1.0f;                      ///< above 0
  float softcap = 0.0f;                    ///< 0: none
  float smoothing = 0.0f;
  float z_loss = 0.0f;
  float* loss = nullptr;            ///< [rows]
  float* log_prob = nullptr;        ///< [rows], log p of the target
  float* entropy = nullptr;         ///< [rows], -sum(p log p)
  float* mean_logit = nullptr;      ///< [rows], or null
  float* log_sum_sq = nullptr;      ///< [rows], log sum(p^2); null where mean_logit is
  std::int64_t* arg_max = nullptr;  ///< [rows], the first largest logit's place; -1 in a row with NaN
};

/// Rows that one work item of `norm_gradient` takes, whatever the number of threads: sums over rows are put together in
/// the order of these parts.
inline constexpr std::int64_t kNormRows = 64;

/// The gradients of rms_norm and layer_norm, from x and dy alone: the statistics are computed again. In float32,
/// rounded once; the roundings of the forward pass count as the identity, but the weight's gradient sums what the
/// weight was multiplied by. Work items: parts of kNormRows rows with all their heads.
struct NormGradientParams {
  Element type = Element::f32;   ///< of all tensors but the sums
  bool centered = false;         ///< layer_norm
  const void* x = nullptr;       ///< [rows, heads, size]
  const void* dy = nullptr;      ///< [rows, heads, size]
  const void* weight = nullptr;  ///< [size], or null: 1
  void* dx = nullptr;            ///< [rows, heads, size], or null; may be dy
  float* dweight = nullptr;      ///< [parts, size] or [parts, heads, size]: overwritten by the sum of a part; or null
  float* dbias = nullptr;        ///< the same
  std::int64_t rows = 0;
  std::int64_t size = 0;
  std::int64_t x_stride = 0;
  std::int64_t dy_stride = 0;
  std::int64_t dx_stride = 0;
  std::int64_t heads = 1;
  std::int64_t x_head_stride = 0;
  std::int64_t dy_head_stride = 0;
  std::int64_t dx_head_stride = 0;
  std::int64_t weight_head_stride = 0;  ///< 0: all heads share one weight, and one sum
  float epsilon = 1e-5f;
  bool unit_offset = false;
  bool round_once = false;
};

/// dgate = dy up activation'(gate) and dup = dy activation(gate); without `up` dgate = dy activation'(gate). Work
/// items: row * columns + column.
struct ActivationGradientParams {
  Element type = Element::f32;
  ActivationKind kind = ActivationKind::silu;
  const void* gate = nullptr;  ///< [rows, columns]
  const void* up = nullptr;    ///< [rows, columns], or null
  const void* dy = nullptr;    ///< [rows, columns]
  void* dgate = nullptr;       ///< [rows, columns]; may be dy
  void* dup = nullptr;         ///< [rows, columns], or null; not dy
  std::int64_t columns = 0;
  std::int64_t gate_stride = 0;
  std::int64_t up_stride = 0;
  std::int64_t dy_stride = 0;
  std::int64_t dgate_stride = 0;
  std::int64_t dup_stride = 0;
};

/// y = x with elements dropped: 0 where the element's 16-bit word is below `threshold`, else times `kept`. Element
/// (row, column) has word column % 8 (low halves first) of the Philox4x32-10 block at counter + row * ceil(columns / 8)
/// + column / 8, whose upper words are `lane` and `stream`. Work items: rows.
struct DropoutParams {
  Element type = Element::f32;
  const void* x = nullptr;  ///< [rows, columns]
  void* y = nullptr;        ///< [rows, columns]; may be x
  std::int64_t columns = 0;
  std::int64_t x_stride = 0;
  std::int64_t y_stride = 0;
  std::uint32_t threshold = 0;  ///< below 2^16
  float kept = 1.0f;
  std::uint32_t key[2] = {};
  std::uint64_t counter = 0;
  std::uint32_t lane = 0;
  std::uint32_t stream = 0;
};

}  // namespace powerhouse::cpu
