// OLMo 2: Llama's projections with the norms behind the branches, and one RMSNorm over all of query and of key (OLMo
// team 2024).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Olmo2ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"olmo2"};
constexpr std::string_view kGgufNames[] = {"olmo2"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_post_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::q_norm, "model.layers.{}.self_attn.q_norm"},
    {Role::k_norm, "model.layers.{}.self_attn.k_norm"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::mlp_post_norm, "model.layers.{}.post_feedforward_layernorm"},
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, olmo_block());
  usual_keys(io, model, block, {.epsilon = 1e-5});
  if (io.reading()) block.attention.qk_norm->norm = block.norm;
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, olmo_block());
  check_whole_heads(io, model);
}

}  // namespace

const Architecture kOlmo2 = {
    .name = "olmo2",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no, .heads_fill_hidden = true},
    .hf_classifier = "Olmo2ForSequenceClassification",
};

}  // namespace powerhouse
