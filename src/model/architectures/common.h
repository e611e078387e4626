// What several families read alike.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "formats/gguf_reader.h"
#include "powerhouse/model_config.h"
#include "support/json.h"

namespace powerhouse {

/// A count from config.json: at least 0 and at most 2^31, so that products of two fit.
std::int64_t read_count(const Json& config, std::string_view key);
std::int64_t read_count_or(const Json& config, std::string_view key, std::int64_t otherwise);

/// RoPE from either spelling: transformers 5's `rope_parameters`, or `rope_theta` with `rope_scaling`.
Rope read_rope(const Json& config, std::int64_t head_dim, double default_theta);
/// The same as transformers 5 writes it.
Json write_rope(const Rope& rope, std::int64_t head_dim);

Activation read_activation(const Json& config, std::string_view key);

/// bos_token_id and eos_token_id (one id, or a list).
void read_special_ids(const Json& config, ModelConfig& model);

/// A per-layer integer: one value for all, or an array with one a layer.
std::vector<std::int64_t> read_per_layer(const GgufFile& file, std::string_view key, std::int64_t layers);

/// RoPE of GGUF: {arch}.rope.*, and rope_freqs.weight.
Rope read_gguf_rope(const GgufFile& file, std::string_view architecture, std::int64_t head_dim);

/// Sizes, epsilon, context and special ids that every GGUF family spells alike; layers are left empty.
ModelConfig read_gguf_common(const GgufFile& file, std::string_view architecture);

}  // namespace powerhouse
