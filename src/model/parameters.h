// The parameters that a config calls for: their shapes, and where their rows lie in either kind of checkpoint.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/architecture.h"
#include "ops/weight.h"

namespace powerhouse {

/// One way in which a checkpoint may hold a parameter: tensors of one shape, and where each row of ours lies in them.
struct Assembly {
  std::vector<std::string> names;
  std::vector<std::int64_t> shape;  // of each
  RowPlaces place = nullptr;        // empty: one tensor, rows as they are
  bool transposed = false;          // the tensor is [in, out], our rows are outputs
  float offset = 0.0f;              // the file holds value + offset
  bool by_element = false;          // `place` tells of elements, not rows (a bias an expert)
};

struct ParameterSpec {
  Role role{};
  std::int64_t layer = -1;  // -1 outside layers
  bool is_bias = false;
  std::string name;                  // Hugging Face's
  std::vector<std::string> aliases;  // other spellings of the same tensor
  std::vector<std::int64_t> shape;   // as Hugging Face has it
  bool transposed = false;           // `shape` is [in, out]
  std::vector<Assembly> hf;          // spellings that occur, the first is written
  std::vector<Assembly> gguf;        // the same; empty where GGUF has no such tensor
};

/// All of them, in the order of the forward pass. A tied head is left out; of a classifier any head but its own.
std::vector<ParameterSpec> parameter_specs(const Architecture& architecture, const ModelConfig& config);

}  // namespace powerhouse
