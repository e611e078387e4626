// From the decoder's weights to a Hugging Face folder.
#pragma once

#include <string>
#include <string_view>

#include "formats/safetensors.h"
#include "model/causal_lm_impl.h"
#include "support/json.h"

namespace powerhouse {

void save_folder(const Model& model, const std::string& folder, const SaveOptions& options);

/// config.json of such a folder, without what is said of quantization.
Json folder_config(const Model& model);

/// The tensors of a folder's files that a parameter becomes; `matrix` as rows of outputs. The sources refer to
/// `assembly`.
void add_sources(std::vector<TensorSource>& sources, const at::Tensor& matrix, const Assembly& assembly);

/// The type's name in config.json.
std::string_view torch_dtype(at::ScalarType type);

/// One tensor of a file out of a parameter given as rows of outputs (or a vector): the inverse of `StoredWeight`.
at::Tensor stored_part(const at::Tensor& matrix, const Assembly& assembly, std::int64_t part);

}  // namespace powerhouse
