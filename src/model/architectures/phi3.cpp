// Phi 3 and 3.5: Llama's block with fused projections, a sliding window, and LongRoPE for 128k contexts (Abdin et al.
// 2024; Ding et al. 2024).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Phi3ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"phi3"};
constexpr std::string_view kGgufNames[] = {"phi3"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::qkv_proj, "model.layers.{}.self_attn.qkv_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {.role = Role::gate_up_proj, .hf_name = "model.layers.{}.mlp.gate_up_proj", .gguf_name = "blk.{}.ffn_up"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.attention = {.qkv = QkvLayout::concatenated}, .mlp = {.fused_gate_up = true}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(io, model, block, {.epsilon = 1e-5, .max_position_embeddings = 4096, .partial_rotary = true});
  if (!io.reading() && block.rope.original_max_position_embeddings > 0) {
    io.out()["original_max_position_embeddings"] = block.rope.original_max_position_embeddings;
  }
  io.optional("sliding_window", block.attention.sliding_window);
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, kBlock);
  for (Block& block : model.layers) io.window("attention.sliding_window", block.attention.sliding_window);
}

}  // namespace

const Architecture kPhi3 = {
    .name = "phi3",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.heads_fill_hidden = true},
    .hf_classifier = "Phi3ForSequenceClassification",
};

}  // namespace powerhouse
