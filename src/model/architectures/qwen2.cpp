// Qwen 2 and 2.5: Llama's block with biases on query, key and value, and a window in the upper layers where asked for
// (Yang et al. 2024).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Qwen2ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"qwen2"};
constexpr std::string_view kGgufNames[] = {"qwen2"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
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
  Block block = first_block(io, model, {.attention = {.qkv_bias = true}});
  usual_keys(io, model, block, {.max_position_embeddings = 32768});
  io.layers("num_hidden_layers", model, block);
  qwen_window(io, model);
}

void gguf(GgufConfig& io, ModelConfig& model) { io.usual(model, {.attention = {.qkv_bias = true}}); }

}  // namespace

const Architecture kQwen2 = {
    .name = "qwen2",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.heads_fill_hidden = true},
    .hf_classifier = "Qwen2ForSequenceClassification",
};

}  // namespace powerhouse
