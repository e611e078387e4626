// Nemotron 3 and 4, Minitron (Parmar et al. 2024): LayerNorm by 1 + weight, squared ReLU without a gate, RoPE in half
// of each head.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"NemotronForCausalLM"};
constexpr std::string_view kModelTypes[] = {"nemotron"};
constexpr std::string_view kGgufNames[] = {"nemotron"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .bias = true, .unit_offset = true},
                   .mlp = {.activation = Activation::relu2, .gated = false}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(io, model, block,
             {.epsilon_key = "norm_eps",
              .epsilon = 1e-5,
              .max_position_embeddings = 4096,
              .activation = "relu2",
              .rope = {.rotary_factor = 0.5},
              .partial_rotary = true});
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  io.flag("mlp_bias", block.mlp.bias, false);
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) { io.usual(model, kBlock); }

}  // namespace

const Architecture kNemotron = {
    .name = "nemotron",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.tied_head = Demand::no, .heads_fill_hidden = true},
    .hf_classifier = "NemotronForSequenceClassification",
};

}  // namespace powerhouse
