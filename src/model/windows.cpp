#include "model/windows.h"

namespace powerhouse {

std::optional<std::int64_t> window_of(const ModelConfig& model) {
  for (const Block& block : model.layers) {
    if (block.attention.sliding_window) return block.attention.sliding_window;
  }
  return std::nullopt;
}

}  // namespace powerhouse
