// The states of all parameters: into one memory, and to and from named tensors.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "training/optimizer_method.h"
#include "training/state_memory.h"

namespace powerhouse {

/// Makes every state of every slot, and its master where `storage` wants one, in one memory that their tensors keep.
std::shared_ptr<StateMemory> make_states(std::span<ParameterSlot> slots, const OptimizerStorage& storage);

/// `<parameter>.step` (int64 [1]), `<parameter>.<state>`, `<parameter>.master`. States share memory, steps are copies.
std::vector<NamedTensor> save_states(std::span<const ParameterSlot> slots);

/// Checks all, then copies. Throws Error{not_found} or Error{format}.
void load_states(std::span<ParameterSlot> slots, std::span<const NamedTensor> saved);

}  // namespace powerhouse
