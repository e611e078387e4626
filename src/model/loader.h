// From a checkpoint's tensors to the decoder's weights.
#pragma once

#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "model/architecture.h"
#include "model/parameters.h"
#include "model/weights.h"

namespace powerhouse {

struct LoadedConfig {
  const Architecture* architecture;
  ModelConfig config;
  /// Float32, in the place of a head over sequences that the checkpoint has not; undefined where it has one.
  at::Tensor fresh_head{};
};

/// The config of a checkpoint, checked. Errors name the file.
LoadedConfig load_config(const Checkpoint& checkpoint);

/// How a checkpoint's tensors meet what a config calls for.
struct FoundWeight {
  const Assembly* assembly = nullptr;  // null where missing
  std::vector<const TensorView*> views;
};

struct TensorMatch {
  std::vector<FoundWeight> found;    // one a spec
  std::vector<std::string> missing;  // names as the file would spell them
  std::vector<std::string> unused;   // not the head of a tied model, which says again what the embeddings say
};

/// Matches by name. A found tensor of the wrong shape is Error{format} naming it.
TensorMatch match_tensors(const Checkpoint& checkpoint, const LoadedConfig& loaded,
                          const std::vector<ParameterSpec>& specs);

/// The same of all that a model needs. Error{format} that names missing tensors; unused ones are a warning.
/// Error{unsupported} for folders of codes that are not read.
TensorMatch match_all(const Checkpoint& checkpoint, const LoadedConfig& loaded,
                      const std::vector<ParameterSpec>& specs);

/// A parameter as the file has it.
StoredWeight stored_weight(const ParameterSpec& spec, const FoundWeight& found);

/// All weights; those that are not used as they lie are made dense when asked for. Error{format} that names missing
/// tensors; unused ones are a warning.
DecoderWeights load_weights(const Checkpoint& checkpoint, const LoadedConfig& loaded, at::ScalarType compute_type);

/// The type that LoadOptions' `automatic` stands for; bf16 where there are no tensors to tell.
at::ScalarType automatic_type(const Checkpoint& checkpoint);

}  // namespace powerhouse
