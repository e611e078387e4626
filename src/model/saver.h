// From the decoder's weights to a Hugging Face folder.
#pragma once

#include <string>

#include "model/causal_lm_impl.h"

namespace powerhouse {

void save_folder(const Model& model, const std::string& folder, const SaveOptions& options);

}  // namespace powerhouse
