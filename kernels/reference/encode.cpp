#include "kernels/reference/encode.h"

namespace powerhouse {
namespace {

EncodeFunction direct_encoder(BlockFormat format) {
  const EncodeFunction found = plain_encoder(format);
  return found != nullptr ? found : k_encoder(format);
}

GridEncodeFunction any_grid_encoder(BlockFormat format) {
  const GridEncodeFunction found = grid_encoder(format);
  return found != nullptr ? found : ternary_grid_encoder(format);
}

}  // namespace

bool can_encode(BlockFormat format) noexcept {
  return direct_encoder(format) != nullptr || any_grid_encoder(format) != nullptr;
}

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
    default: return k_encoder(format) != nullptr || any_grid_encoder(format) != nullptr;
  }
}

bool encode_row(BlockFormat format, const float* row, const float* importance, std::int64_t columns,
                void* blocks) noexcept {
  auto* const out = static_cast<std::uint8_t*>(blocks);
  if (const EncodeFunction direct = direct_encoder(format)) return direct(row, importance, columns, out);
  return any_grid_encoder(format)(row, importance, columns, out, encoding::nearest_point);
}

}  // namespace powerhouse
