// Arguments of Adafactor's three passes over the rows of a matrix: squares of the gradient by rows and columns, the
// size of the update, and the update itself.
//
// With g = grad_scale * gradient, the update of an element is u = g * row_factor * column_factor.
#pragma once

#include <cstdint>

#include "kernels/common/element.h"

namespace powerhouse::cpu {

/// Work items are rows.
struct AdafactorParams {
  Element type = Element::f32;     ///< of the gradient
  const void* gradient = nullptr;  ///< [rows, columns]
  std::int64_t columns = 0;
  float grad_scale = 1;
  float eps = 0;                         ///< squares: added to each
  const float* row_factor = nullptr;     ///< [rows]
  const float* column_factor = nullptr;  ///< [columns]
  // What follows is of the update: u = u / divisor * lr; with an average, average = keep * average + fresh * u, and u
  // is the average; w = w - decay * w - u.
  Element weight_type = Element::f32;
  void* weights = nullptr;   ///< [rows, columns]
  void* rounding = nullptr;  ///< of the weights, of the gradient's type, or null
  float* average = nullptr;  ///< [rows, columns] or null
  float divisor = 1, lr = 0, decay = 0, keep = 0, fresh = 1;
};

}  // namespace powerhouse::cpu
