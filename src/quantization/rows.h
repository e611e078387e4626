// Rows of a tensor as blocks of a GGUF type: the bytes that llama.cpp's quantizer writes for the same rows and
// importance, on all threads of the team.
//
// Rows may be handed over in parts, so that a tensor need not be in memory whole; the bytes do not depend on the parts
// nor on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/common/blocks.h"
#include "kernels/common/element.h"

namespace powerhouse {

/// Rows that lie one behind the other.
struct RowsToQuantize {
  std::string_view tensor{};    ///< its name, for errors
  const void* data = nullptr;   ///< [rows, columns]
  Element type = Element::f32;  ///< of data
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t first_row = 0;           ///< number of the first row in its tensor, for errors
  std::span<const float> importance{};  ///< what the squared error of a column costs; [columns], or empty for none
};

/// What quantization took away. Sums of float64 in the order of rows; those of parts of a tensor may be added up.
struct ErrorSums {
  double squared_error = 0;   ///< sum of (value read back - value)^2
  double squared_values = 0;  ///< sum of value^2
  /// Sum of importance * (value read back - value)^2, about what the error adds to the squared error of what the layer
  /// makes; squared_error where there is no importance.
  double weighted_error = 0;

  /// The error's share of the values' size, both as root mean squares; 0 where all values are 0.
  double relative() const noexcept;
  ErrorSums& operator+=(const ErrorSums& other) noexcept;
};

/// Error{unsupported} for a format that no encoder writes, or that is not for files; Error{usage} for rows of a length
/// that blocks do not divide, and where importance is missing (IQ1_S, IQ2_XXS, IQ2_XS) or of another length.
void check_quantizes(BlockFormat format, const RowsToQuantize& rows);

/// Bytes that `rows` become.
std::size_t quantized_bytes(BlockFormat format, std::int64_t rows, std::int64_t columns);

/// Fills `out`, of quantized_bytes(). As check_quantizes(); Error{numeric} where a row holds NaN or infinity,
/// importance is negative or not finite, or values are too large: for the float16 scales of a format, or for squares in
/// float32. The first such row is named, and `out` then holds no meaning.
ErrorSums quantize_rows(BlockFormat format, const RowsToQuantize& rows, std::span<std::byte> out);

}  // namespace powerhouse
