// Gemma 3 (text): Gemma 2's norms, RMSNorm on query and key instead of a cap, five windowed layers for each whole one,
// each kind with a RoPE of its own (Gemma team 2025).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Gemma3ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"gemma3_text"};
constexpr std::string_view kGgufNames[] = {"gemma3"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::q_norm, "model.layers.{}.self_attn.q_norm"},
    {Role::k_norm, "model.layers.{}.self_attn.k_norm"},
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

Block template_block() {
  Block block{
      .norm = {.unit_offset = true}, .norm_place = NormPlace::around, .mlp = {.activation = Activation::gelu_tanh}};
  block.attention.qk_norm = QkNorm{.norm = block.norm};
  return block;
}

constexpr std::int64_t kPattern = 6;  // the last of six sees everything

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, template_block());
  usual_keys(io, model, block,
             {.max_position_embeddings = 131072,
              .activation_key = "hidden_activation",
              .activation = "gelu_pytorch_tanh",
              .tie_word_embeddings = true,
              .head_dim = 256,
              .with_rope = false}  // read below, by the kind of layer
  );
  gemma_embeddings(io.reading(), model);
  if (io.reading()) block.attention.qk_norm->norm = block.norm;
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  gemma_scores(io, model, block, std::nullopt, std::nullopt);
  io.layers("num_hidden_layers", model, block);
  io.windows(model, kPattern, io.either("sliding_window_pattern", "_sliding_window_pattern"));
  // rope_theta and rope_scaling of old files are the whole layers', rope_local_base_freq the windowed ones'.
  ropes_by_kind(io, model, {.theta = 1e6}, {.theta = 1e4, .theta_key = "rope_local_base_freq"});
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, template_block());
  gemma_embeddings(io.reading(), model);
  io.windows(model, kPattern);
  io.optional("final_logit_softcapping", model.final_softcap);
  if (!io.reading()) return;
  Rope windowed = model.layers.front().rope;
  windowed = Rope{.theta = io.number_or("rope.freq_base_swa", 10000.0), .rotary_dim = windowed.rotary_dim};
  for (Block& block : model.layers) {
    if (block.attention.sliding_window) block.rope = windowed;
  }
  // As in Gemma 2, the 27B (62 layers) alone scales scores by hidden / heads.
  if (model.layers.size() != 62) return;
  for (Block& block : model.layers) {
    const std::int64_t width = model.hidden_size / block.attention.num_heads;
    block.attention.scale = query_scale(static_cast<double>(width));
  }
}

}  // namespace

const Architecture kGemma3 = {
    .name = "gemma3_text",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no},
    .hf_classifier = "Gemma3TextForSequenceClassification",
};

}  // namespace powerhouse
