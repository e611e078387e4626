// From the decoder's weights to a Hugging Face folder.
#pragma once

#include <string>
#include <string_view>

#include "model/causal_lm_impl.h"

namespace powerhouse {

void save_folder(const Model& model, const std::string& folder, const SaveOptions& options);

/// The type's name in config.json.
std::string_view torch_dtype(at::ScalarType type);

/// One tensor of a file out of a parameter given as rows of outputs (or a vector): the inverse of `StoredWeight`.
at::Tensor stored_part(const at::Tensor& matrix, const Assembly& assembly, std::int64_t part);

}  // namespace powerhouse
