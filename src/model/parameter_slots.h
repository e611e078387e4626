// The parameters that a layer's choices call for, by role; parameters.h says what files call them.
#pragma once

#include <cstdint>
#include <vector>

#include "model/architecture.h"

namespace powerhouse {

struct Slot {
  Role role{};
  std::vector<std::int64_t> shape;  // [out, in], or [experts, out, in], or a vector
  bool bias = false;
  bool weight = true;
  bool unit_offset = false;
};

Slot norm_slot(Role role, const Norm& norm, std::vector<std::int64_t> shape);

/// Of one layer, in the order of the forward pass.
std::vector<Slot> layer_slots(const ModelConfig& config, const Block& block);

}  // namespace powerhouse
