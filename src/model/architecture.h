// An architecture is data: the choices of its config, and what its tensors are called.
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

class HfConfig;
class GgufConfig;

/// What a parameter does in the decoder: the hub between Hugging Face's and GGUF's names.
enum class Role {
  embed_tokens,
  position_embeddings,
  embedding_norm,
  project_in,
  project_out,
  attention_norm,
  q_proj,
  k_proj,
  v_proj,
  qkv_proj,
  q_norm,
  k_norm,
  sinks,
  o_proj,
  attention_post_norm,
  mlp_norm,
  gate_proj,
  up_proj,
  gate_up_proj,
  down_proj,
  router,
  experts_gate_up,  // [experts, 2 * intermediate, hidden]
  experts_down,     // [experts, hidden, intermediate]
  shared_gate_proj,
  shared_up_proj,
  shared_down_proj,
  shared_expert_gate,
  mlp_post_norm,
  final_norm,
  lm_head,
  score,  // in the place of lm_head, [labels, hidden]
};

inline constexpr int kRoleCount = static_cast<int>(Role::score) + 1;

/// Whether it is a linear layer that every token passes: neither the head nor a router nor experts.
bool is_linear(Role role);

/// How GGUF orders the rows of a matrix against Hugging Face's order, which is ours.
enum class GgufRows {
  same,
  rope_pairs,    ///< within each head, row i and row i + head_dim/2 lie side by side (llama.cpp's interleaved RoPE)
  concatenated,  ///< all queries, all keys, all values, whatever QkvLayout says
};

/// How a Hugging Face checkpoint holds a parameter that has one tensor here.
enum class HfForm {
  plain,       ///< one tensor of this shape
  transposed,  ///< a matrix [in, out] (GPT-2's Conv1D), or one an expert: the parameter has that shape too
  per_expert,  ///< a matrix an expert; {e} in the name stands for it
  per_head,    ///< a vector a head; {e} in the name stands for it (StableLM's norms)
};

/// One row of a family's table. A role may stand in several rows: spellings that occur. The first is the parameter's
/// name here; the one marked `written`, else the first, is what checkpoints are written with.
struct WeightName {
  Role role;
  std::string_view hf_name;  // without .weight; {} stands for the layer
  GgufRows gguf_rows = GgufRows::same;
  HfForm form = HfForm::plain;
  std::string_view hf_second = {};      // per_expert gate_up: the name of `up`, where gate and up are two tensors
  std::string_view gguf_name = {};      // where GGUF's name differs from the role's usual one
  std::string_view suffix = ".weight";  // "" where the name is whole (fused experts, sinks)
  std::string_view bias_suffix = ".bias";
  bool written = false;
  bool (*applies)(const Block& block) = nullptr;  // where a layer's choices decide between rows; null: always
};

/// What a choice has to be for llama.cpp's graph of a family, which loads a fixed set of tensors.
enum class Demand { any, yes, no };
struct GraphDemands {
  Demand qkv_bias = Demand::any;
  Demand output_bias = Demand::any;
  Demand mlp_bias = Demand::any;
  Demand tied_head = Demand::any;
  bool heads_fill_hidden = false;  // num_heads * head_dim is the hidden size
};

struct Architecture {
  std::string_view name;                             // the registry's row
  std::span<const std::string_view> hf_names;        // config.json's architectures
  std::span<const std::string_view> hf_model_types;  // config.json's model_type, where `architectures` is missing
  std::span<const std::string_view> gguf_names;      // general.architecture; empty: llama.cpp has no graph
  void (*hf)(HfConfig& io, ModelConfig& model);      // reads or writes config.json
  void (*gguf)(GgufConfig& io, ModelConfig& model);  // reads or writes GGUF's metadata; null: no GGUF
  std::span<const WeightName> weights;
  std::span<const std::string_view> ignored_hf = {};  // endings of tensors that carry nothing
  bool (*claims)(const GgufFile& file) = nullptr;     // whether a file under a shared GGUF name is of this family
  GraphDemands graph = {};                            // for GGUF that llama.cpp loads
  std::string_view hf_classifier = {};  // transformers' class with a head over sequences; empty: it has none
};

/// Every architecture that loads, sorted by name.
std::span<const Architecture* const> architectures();

/// Finds by config.json's `architectures` (or `model_type`), or by GGUF's general.architecture. Error{unsupported}
/// that lists the known ones.
const Architecture& find_architecture(const Json& hf_config);
const Architecture& find_architecture(const GgufFile& file);
const Architecture& find_architecture(std::string_view name);

/// The config of a checkpoint of this family; not yet checked.
ModelConfig read_hf_config(const Architecture& architecture, const Json& config);
ModelConfig read_gguf_config(const Architecture& architecture, const GgufFile& file);
/// config.json of such a model. Error{unsupported} where the family's keys can't say what the model does.
Json write_hf_config(const Architecture& architecture, const ModelConfig& model);

/// The first line of `a` in which two configs differ, as `key: value`.
std::string first_difference(const ModelConfig& a, const ModelConfig& b);

/// Checks what no family may break: positive sizes, heads that divide, an even rotary_dim, no size that overflows.
/// Throws Error{format} naming the field.
void check_config(const ModelConfig& config);

}  // namespace powerhouse
