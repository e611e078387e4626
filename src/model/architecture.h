// An architecture is data: how its config reads, and what its tensors are called.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf_reader.h"
#include "powerhouse/model_config.h"
#include "support/json.h"

namespace powerhouse {

/// What a parameter does in the decoder: the hub between Hugging Face's and GGUF's names.
enum class Role {
  embed_tokens,
  attention_norm,
  q_proj,
  k_proj,
  v_proj,
  o_proj,
  mlp_norm,
  gate_proj,
  up_proj,
  down_proj,
  final_norm,
  lm_head,
};

inline constexpr int kRoleCount = static_cast<int>(Role::lm_head) + 1;

/// How GGUF reorders the rows of a matrix against Hugging Face's order, which is ours.
enum class GgufRows {
  same,
  rope_pairs,  ///< within each head, row i and row i + head_dim/2 lie side by side (llama.cpp's interleaved RoPE)
};

struct WeightName {
  Role role;
  std::string_view hf_name;  // without .weight; {} stands for the layer
  GgufRows gguf_rows = GgufRows::same;
};

struct Architecture {
  std::string_view name;                         // the registry's row
  std::span<const std::string_view> hf_names;    // config.json's architectures
  std::span<const std::string_view> gguf_names;  // general.architecture
  ModelConfig (*from_hf)(const Json& config);
  ModelConfig (*from_gguf)(const GgufFile& file);
  Json (*to_hf)(const ModelConfig& config);  // config.json of such a model
  std::span<const WeightName> weights;
  std::span<const std::string_view> ignored_hf;  // endings of tensors that carry nothing
};

/// Every architecture that loads, sorted by name.
std::span<const Architecture* const> architectures();

/// Finds by config.json's `architectures` (or `model_type`), or by GGUF's general.architecture. Error{unsupported}
/// that lists the known ones.
const Architecture& find_architecture(const Json& hf_config);
const Architecture& find_architecture(const GgufFile& file);
const Architecture& find_architecture(std::string_view name);

/// A parameter that a config calls for.
struct ParameterSpec {
  Role role;
  std::int64_t layer;  // -1 outside layers
  bool is_bias;
  std::string hf_name;
  std::string gguf_name;
  std::vector<std::int64_t> shape;
  GgufRows gguf_rows;
  std::int64_t heads = 0;  // for rope_pairs
};

/// All of them, in the order of the forward pass. A tied head is left out.
std::vector<ParameterSpec> parameter_specs(const Architecture& architecture, const ModelConfig& config);

/// Checks what no family may break: positive sizes, heads that divide, an even rotary_dim, no size that overflows.
/// Throws Error{format} naming the field.
void check_config(const ModelConfig& config);

}  // namespace powerhouse
