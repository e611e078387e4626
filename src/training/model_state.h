// The part of a checkpoint that is tensors: what trains, in files that other programs read, and the optimizer's states.
//
// With adapters, each lies there as PEFT has it, and trainable.safetensors holds every trained tensor under its name
// here. Without, the folder is the whole model in Hugging Face layout, in the compute type, which is what trains.
#pragma once

#include <string>
#include <vector>

#include "powerhouse/causal_lm.h"
#include "powerhouse/optimizer.h"
#include "powerhouse/tensor_file.h"

namespace powerhouse {

/// What a run leaves: the adapters in PEFT's layout (the first in `folder` itself, others in folders of their names),
/// or the model.
void save_trained(const CausalLM& model, const std::string& folder);

/// save_trained, and what else restore_weights and restore_optimizer need.
void save_weights(const CausalLM& model, const std::string& folder);
void save_optimizer(const Optimizer& optimizer, const std::string& folder);

/// Copies a file's tensors, bit for bit, into those of the same names. Error{format} where they are others.
void restore_tensors(const std::string& file, const std::vector<NamedTensor>& tensors);

/// Copies the weights back, bit for bit. Error{format} where the checkpoint is of other parameters.
void restore_weights(CausalLM& model, const std::string& folder);
/// Error{usage} where an adapter there has other options than the model's of that name: another scale, say.
void check_adapter_options(const CausalLM& model, const std::string& folder);
void restore_optimizer(Optimizer& optimizer, const std::string& folder);

/// The name of a trained tensor with a number that is not finite; empty: there is none.
std::string not_finite_parameter(const CausalLM& model);

/// The most tokens of a row: the context, less an adapter's virtual tokens.
std::int64_t longest_row(const CausalLM& model);

/// What adapters lie on, as a checkpoint's trainable tensors do not tell it; empty without adapters.
std::string base_fingerprint(const CausalLM& model);

}  // namespace powerhouse
