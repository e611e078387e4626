// Gemma 1: Llama's wiring with norm weights stored as w in 1 + w, GELU gates and embeddings scaled by sqrt(hidden_size)
// (Gemma team 2024).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"GemmaForCausalLM"};
constexpr std::string_view kModelTypes[] = {"gemma"};
constexpr std::string_view kGgufNames[] = {"gemma"};
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

const Block kBlock{.norm = {.unit_offset = true}, .mlp = {.activation = Activation::gelu_tanh}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(io, model, block,
             {.max_position_embeddings = 8192,
              .activation = "gelu_pytorch_tanh",
              .tie_word_embeddings = true,
              .head_dim = 256});
  // The first releases wrote "gelu" and meant this.
  if (block.mlp.activation == Activation::gelu) block.mlp.activation = Activation::gelu_tanh;
  gemma_embeddings(io.reading(), model);
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, kBlock);
  gemma_embeddings(io.reading(), model);
}

}  // namespace

const Architecture kGemma = {
    .name = "gemma",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no, .tied_head = Demand::yes},
    .hf_classifier = "GemmaForSequenceClassification",
};

}  // namespace powerhouse
