// OLMo 3 (OLMo team 2025): OLMo 2 with three windowed layers of four, and a RoPE for each kind of layer.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Olmo3ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"olmo3"};
constexpr std::string_view kGgufNames[] = {"olmo2"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::q_norm, "model.layers.{}.self_attn.q_norm"},
    {Role::k_norm, "model.layers.{}.self_attn.k_norm"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::attention_post_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::mlp_post_norm, "model.layers.{}.post_feedforward_layernorm"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

constexpr std::int64_t kPattern = 4;  // the last of four sees everything

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, olmo_block());
  usual_keys(io, model, block, {.epsilon = 1e-5, .with_rope = false});
  if (io.reading()) block.attention.qk_norm->norm = block.norm;
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  io.layers("num_hidden_layers", model, block);
  io.windows(model, kPattern);
  ropes_by_kind(io, model, {.theta = 500000.0}, {.theta = 500000.0});
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, olmo_block());
  check_whole_heads(io, model);
  io.windows(model, kPattern);
  if (!io.reading()) return;
  // llama.cpp's graph scales RoPE in layers without a window alone.
  for (Block& block : model.layers) {
    Rope& rope = block.rope;
    if (block.attention.sliding_window) rope = {.theta = rope.theta, .rotary_dim = rope.rotary_dim};
  }
}

bool claims(const GgufFile& file) { return file.integer("olmo2.attention.sliding_window").value_or(0) > 0; }

}  // namespace

const Architecture kOlmo3 = {
    .name = "olmo3",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .claims = claims,
    .graph = {.output_bias = Demand::no, .heads_fill_hidden = true},
    .hf_classifier = "Olmo3ForSequenceClassification",
};

}  // namespace powerhouse
