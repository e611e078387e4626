// Gemma 2: norms on both sides of each branch, scores and logits capped by tanh, a window in every second layer (Gemma
// team 2024).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Gemma2ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"gemma2"};
constexpr std::string_view kGgufNames[] = {"gemma2"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::attention_post_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::mlp_norm, "model.layers.{}.pre_feedforward_layernorm"},
    {Role::mlp_post_norm, "model.layers.{}.post_feedforward_layernorm"},
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{
    .norm = {.unit_offset = true}, .norm_place = NormPlace::around, .mlp = {.activation = Activation::gelu_tanh}};

constexpr std::int64_t kPattern = 2;  // every second layer sees everything

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(io, model, block,
             {.max_position_embeddings = 8192,
              .activation_key = "hidden_activation",
              .activation = "gelu_pytorch_tanh",
              .tie_word_embeddings = true,
              .head_dim = 256});
  gemma_embeddings(io.reading(), model);
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  gemma_scores(io, model, block, 50.0f, 30.0f);
  io.layers("num_hidden_layers", model, block);
  io.windows(model, kPattern);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, kBlock);
  gemma_embeddings(io.reading(), model);
  io.windows(model, kPattern);
  for (Block& block : model.layers) io.optional("attn_logit_softcapping", block.attention.softcap);
  io.optional("final_logit_softcapping", model.final_softcap);
  if (!io.reading()) return;
  // llama.cpp tells the 27B by its layers: there the scores are scaled by hidden / heads, else by the head.
  if (model.layers.size() != 46) return;
  for (Block& block : model.layers) {
    const std::int64_t width = model.hidden_size / block.attention.num_heads;
    block.attention.scale = query_scale(static_cast<double>(width));
  }
}

}  // namespace

const Architecture kGemma2 = {
    .name = "gemma2",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no, .tied_head = Demand::yes},
    .hf_classifier = "Gemma2ForSequenceClassification",
};

}  // namespace powerhouse
