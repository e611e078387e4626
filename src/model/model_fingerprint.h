// A name for a model by what it is made of: whether what was computed with one model may be used with another.
#pragma once

#include <string>

#include "model/causal_lm_impl.h"

namespace powerhouse {

/// 64 hexadecimal digits over the config and, of every parameter, name, shape, type and a sample of its bytes. The same
/// for one file in every compute type, until parameters are handed out.
std::string model_fingerprint(const Model& model);

}  // namespace powerhouse
