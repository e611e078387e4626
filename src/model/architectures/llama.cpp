// Llama 1, 2 and 3, and all that share their block (SmolLM2, TinyLlama, Vicuna ...): RMSNorm before each branch, RoPE,
// grouped queries, a gated SiLU MLP (Touvron et al. 2023; Grattafiori et al. 2024).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"LlamaForCausalLM"};
constexpr std::string_view kModelTypes[] = {"llama"};
constexpr std::string_view kGgufNames[] = {"llama"};
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
  Block block = first_block(io, model, {});
  usual_keys(io, model, block);
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  io.flag("mlp_bias", block.mlp.bias, false);
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, {});
  check_whole_heads(io, model);
}

}  // namespace

const Architecture kLlama = {
    .name = "llama",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .hf_classifier = "LlamaForSequenceClassification",
};

}  // namespace powerhouse
