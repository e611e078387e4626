// EXAONE 4 (LG AI Research 2025): norms behind the branches and of each head of query and key; with a window, the
// layers that see everything know no positions.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Exaone4ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"exaone4"};
constexpr std::string_view kGgufNames[] = {"exaone4"};
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

Block template_block() {
  Block block{.norm_place = NormPlace::after_branch};
  block.attention.qk_norm = QkNorm{};
  return block;
}

constexpr std::int64_t kPattern = 4;  // the last of four sees everything

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, template_block());
  usual_keys(io, model, block, {.epsilon = 1e-5});
  if (io.reading()) block.attention.qk_norm->norm = block.norm;
  io.layers("num_hidden_layers", model, block);
  io.windows(model, kPattern, "sliding_window_pattern");
  if (io.reading() && window_of(model)) rope_in_windows_only(model);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, template_block());
  io.windows(model, kPattern);
  if (io.reading() && window_of(model)) rope_in_windows_only(model);
}

}  // namespace

const Architecture kExaone4 = {
    .name = "exaone4",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.heads_fill_hidden = true},
    .hf_classifier = "Exaone4ForSequenceClassification",
};

}  // namespace powerhouse
