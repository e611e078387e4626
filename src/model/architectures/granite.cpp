// Granite 3: Llama's block with multipliers on embeddings, scores, branches and logits.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"GraniteForCausalLM"};
constexpr std::string_view kModelTypes[] = {"granite"};
constexpr std::string_view kGgufNames[] = {"granite"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj", GgufRows::rope_pairs},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj", GgufRows::rope_pairs},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, {.attention = {.scale = 1.0f}});
  usual_keys(io, model, block);
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  io.flag("mlp_bias", block.mlp.bias, false);
  io.number("embedding_multiplier", model.embedding_scale, 1.0);
  io.number("residual_multiplier", block.residual_multiplier, 1.0);
  io.number("attention_multiplier", *block.attention.scale, 1.0);
  io.inverse("logits_scaling", model.logit_scale, 1.0);
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, {.attention = {.scale = 1.0f}});
  check_whole_heads(io, model);
  io.number("embedding_scale", model.embedding_scale, 1.0);
  io.inverse("logit_scale", model.logit_scale, 1.0);
  for (Block& block : model.layers) {
    io.number("residual_scale", block.residual_multiplier, 1.0);
    io.number("attention.scale", *block.attention.scale, 1.0);
  }
}

}  // namespace

const Architecture kGranite = {
    .name = "granite",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
};

}  // namespace powerhouse
