// Arguments of the optimizers' update: one parameter's weights, gradient and states, and the step's constants.
//
// Everything is computed in float32 and rounded once where it is stored. Work items are elements; with states of codes,
// `begin` is a multiple of kStateBlock and `end` too, or the last element.
#pragma once

#include <cstdint>

#include "kernels/common/element.h"

namespace powerhouse::cpu {

/// Elements that share the scale of a state kept as codes (bitsandbytes' blockwise states).
static constexpr std::int64_t kStateBlock = 256;

/// Where a map's magnitudes lie evenly: what finds a code by arithmetic in vectors. The s thresholds below |x| tell the
/// segment; there |x| is part floor(slope |x| + offset), at most `last`, and base + part bounds lie between 0 and |x|.
/// Nine segments.
struct CodeSegments {
  float threshold[8];
  float slope[16], offset[16], last[16], base[16];
  float zero;  ///< the code of 0; that of a negative x is as far below it
};

/// A map of 256 ascending values, with what finds the nearest one: the code of x is
/// first[upper 16 bits of x] + (bounds[that] < x), where bounds[i] lies halfway between values i and i + 1, and
/// bounds[255] is infinite.
struct StateCodes {
  const float* values = nullptr;           ///< [256]
  const float* bounds = nullptr;           ///< [256]
  const std::uint8_t* first = nullptr;     ///< [65536]
  const CodeSegments* segments = nullptr;  ///< may be null; gives the same codes
};

enum class UpdateRule : std::uint8_t { sgd, adamw, lion, adagrad, rmsprop };

/// One state of a parameter: numbers, or codes with the largest magnitude of each kStateBlock. The numbers of both
/// states have one type, float32 or the parameter's.
struct UpdateState {
  void* data = nullptr;               ///< null: the rule does without
  Element type = Element::f32;        ///< of numbers
  const StateCodes* codes = nullptr;  ///< not null: `data` are bytes
  float* absmax = nullptr;
};

/// g = grad_scale * gradient + l2 * w, w = decay * w, then by rule, with states a and b:
///
///   sgd      a = first ? g : beta1 * a + (1 - dampening) * g
///            w -= lr * (nesterov ? g + beta1 * a : a), or lr * g without a
///   adamw    a += (1 - beta1) * (g - a)
///            b = beta2 * b + (1 - beta2) * g^2
///            w -= lr * a / (sqrt(b) / correction + eps)
///   lion     w -= lr * sign(beta1 * a + (1 - beta1) * g)
///            a = beta2 * a + (1 - beta2) * g
///   adagrad  a += g^2
///            w -= lr * g / (sqrt(a) + eps)
///   rmsprop  a = beta2 * a + (1 - beta2) * g^2
///            u = g / (sqrt(a) + eps)
///            w -= lr * u, or with b: b = beta1 * b + u, w -= lr * b
///
/// `one_minus_beta1` and its like come apart, because they are rounded from float64.
struct UpdateParams {
  UpdateRule rule = UpdateRule::adamw;
  Element type = Element::f32;  ///< of gradient and parameter
  const void* gradient = nullptr;
  void* parameter = nullptr;  ///< null with a master: it is not written
  float* master = nullptr;    ///< the weights, of which `parameter` is the rounding; null: `parameter` itself
  UpdateState a{};
  UpdateState b{};
  float grad_scale = 1;
  float l2 = 0;
  float decay = 1;
  float lr = 0;
  float beta1 = 0, one_minus_beta1 = 1;  ///< sgd: momentum and 1 - dampening
  float beta2 = 0, one_minus_beta2 = 1;
  float correction = 1;
  float eps = 0;
  bool nesterov = false;
  bool first = false;
};

}  // namespace powerhouse::cpu
