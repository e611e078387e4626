#include "kernels/reference/encode.h"

namespace powerhouse {
namespace {

EncodeFunction encoder(BlockFormat format) noexcept {
  if (const EncodeFunction found = plain_encoder(format)) return found;
  if (const EncodeFunction found = k_encoder(format)) return found;
  if (const EncodeFunction found = grid_encoder(format)) return found;
  return ternary_grid_encoder(format);
}

}  // namespace

bool can_encode(BlockFormat format) noexcept { return encoder(format) != nullptr; }

bool needs_importance(BlockFormat format) noexcept {
  return format == BlockFormat::iq1_s || format == BlockFormat::iq2_xxs || format == BlockFormat::iq2_xs;
}

bool reads_importance(BlockFormat format) noexcept {
  switch (format) {
    case BlockFormat::q4_0:
    case BlockFormat::q4_1:
    case BlockFormat::q5_0:
    case BlockFormat::q5_1: return true;
    case BlockFormat::q8_k: return false;
    default: return encoder(format) != nullptr && plain_encoder(format) == nullptr;
  }
}

bool encode_row(BlockFormat format, const float* row, const float* importance, std::int64_t columns,
                void* blocks) noexcept {
  return encoder(format)(row, importance, columns, static_cast<std::uint8_t*>(blocks));
}

}  // namespace powerhouse
