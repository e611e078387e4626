// Persimmon (Adept 2023): one matrix of query, key and value head by head, a LayerNorm of each head's query and key,
// squared ReLU, RoPE in half of each head.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"PersimmonForCausalLM"};
constexpr std::string_view kModelTypes[] = {"persimmon"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::qkv_proj, "model.layers.{}.self_attn.query_key_value"},
    {Role::q_norm, "model.layers.{}.self_attn.q_layernorm"},
    {Role::k_norm, "model.layers.{}.self_attn.k_layernorm"},
    {Role::o_proj, "model.layers.{}.self_attn.dense"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::up_proj, "model.layers.{}.mlp.dense_h_to_4h"},
    {Role::down_proj, "model.layers.{}.mlp.dense_4h_to_h"},
    {Role::final_norm, "model.final_layernorm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .bias = true},
                   .attention = {.qkv = QkvLayout::per_head, .qkv_bias = true, .output_bias = true},
                   .mlp = {.activation = Activation::relu2, .gated = false, .bias = true}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(io, model, block,
             {.epsilon_key = "layer_norm_eps",
              .epsilon = 1e-5,
              .max_position_embeddings = 16384,
              .activation = "relu2",
              .rope = {.rotary_factor = 0.5},
              .partial_rotary = true});
  // The class knows neither of these keys.
  io.only("num_key_value_heads", block.attention.num_heads);
  if (block.attention.num_heads > 0) io.only("head_dim", model.hidden_size / block.attention.num_heads);
  bool normed = block.attention.qk_norm.has_value();
  io.flag("qk_layernorm", normed, true);
  if (io.reading() && normed) block.attention.qk_norm = QkNorm{.norm = block.norm};
  io.layers("num_hidden_layers", model, block);
}

}  // namespace

const Architecture kPersimmon = {
    .name = "persimmon",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = {},
    .hf = hf,
    .gguf = nullptr,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .hf_classifier = "PersimmonForSequenceClassification",
};

}  // namespace powerhouse
