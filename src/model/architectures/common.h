// What many families write alike: the keys of a Llama-shaped config.json, and the rows of its tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "model/architecture.h"
#include "model/gguf_config.h"
#include "model/hf_config.h"
#include "model/windows.h"
#include "powerhouse/error.h"

namespace powerhouse {

/// Keys and defaults where families differ.
struct UsualKeys {
  std::string_view epsilon_key = "rms_norm_eps";
  double epsilon = 1e-6;
  std::int64_t max_position_embeddings = 2048;
  std::string_view activation_key = "hidden_act";
  std::string_view activation = "silu";
  bool tie_word_embeddings = false;
  std::optional<std::int64_t> head_dim{};  // where it is not hidden_size / num_attention_heads
  RopeKeys rope{};
  bool with_rope = true;
  bool partial_rotary = false;  // else a part of a head is refused: transformers does not look at that key, and
                                // what was meant can't be told
};

/// The block that a family's function goes on with: `block` itself when reading, the model's when writing.
inline Block first_block(const HfConfig& io, const ModelConfig& model, const Block& block) {
  return io.reading() ? block : model.layers.front();
}

/// Sizes, heads, RoPE, activation, norms and head of the Llama shape. Layers are left to the family, which may have
/// more to say of the block.
void usual_keys(HfConfig& io, ModelConfig& model, Block& block, const UsualKeys& keys = {});

/// The same for GGUF.
void check_whole_heads(const GgufConfig& io, const ModelConfig& model);

/// GPT-2's spelling of the same (n_embd, n_head ...), with learned positions where the block has no others.
void gpt2_keys(HfConfig& io, ModelConfig& model, Block& block, std::string_view activation);
/// scale_attn_weights and scale_attn_by_inverse_layer_idx.
void gpt2_scales(HfConfig& io, ModelConfig& model);

/// Layers with a window turn by RoPE, the others know no positions.
void rope_in_windows_only(ModelConfig& model);
/// Qwen's use_sliding_window: as layer_types says, else from layer max_window_layers on, or in every second layer below
/// it (Qwen2-MoE).
enum class WindowedLayers { upper, even_lower };
void qwen_window(HfConfig& io, ModelConfig& model, WindowedLayers otherwise = WindowedLayers::upper);

/// A RoPE for the layers that see everything and one for those with a window: rope_parameters.full_attention and
/// .sliding_attention; in older files `rope_scaling` is the former's. Keys say where each kind's theta stands there.
void ropes_by_kind(HfConfig& io, ModelConfig& model, const RopeKeys& whole, const RopeKeys& windowed);

/// The first layer with experts, or one made up where there is none.
Block sparse_block(const ModelConfig& model);
/// Qwen's mlp_only_layers and decoder_sparse_step: layers with one MLP instead of experts.
void dense_layers(HfConfig& io, ModelConfig& model);

/// The block of OLMo 2 and 3.
Block olmo_block();
/// config.json of GLM and GLM-4.
void glm_keys(HfConfig& io, ModelConfig& model, const Block& block_of_family);

/// 1/sqrt(query_pre_attn_scalar).
float query_scale(double query_pre_attn_scalar);
/// query_pre_attn_scalar and the two caps of Gemma 2 and 3, with the caps' defaults; without one for attention that key
/// is not looked at (Gemma 3).
void gemma_scores(HfConfig& io, ModelConfig& model, Block& block, std::optional<float> attention_cap,
                  std::optional<float> final_cap);
/// Embeddings are scaled by sqrt(hidden_size).
void gemma_embeddings(bool reading, ModelConfig& model);

}  // namespace powerhouse
