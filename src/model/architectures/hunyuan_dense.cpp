// HunYuan, the dense models (Tencent 2025): Llama with a norm of each head's query and key behind RoPE, whose base is
// stretched once and for all.
#include <cmath>

#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"HunYuanDenseV1ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"hunyuan_v1_dense"};
constexpr std::string_view kGgufNames[] = {"hunyuan-dense"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::q_norm, "model.layers.{}.self_attn.query_layernorm"},
    {Role::k_norm, "model.layers.{}.self_attn.key_layernorm"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

Block template_block() {
  Block block;
  block.attention.qk_norm = QkNorm{.after_rope = true};
  return block;
}

// "dynamic" with an alpha is a fixed base, whatever the length; it is written as that base.
void fix_base(const HfConfig& io, Rope& rope) {
  if (!io.reading() || rope.scaling != RopeScaling::dynamic) return;
  const Json* parameters = io.in().get("rope_scaling");
  if (parameters == nullptr || parameters->as_object("rope_scaling").size() == 0) {
    parameters = io.in().get("rope_parameters");
  }
  const double alpha = parameters->double_or("alpha", 0.0);
  if (alpha == 0.0) return;
  const auto dim = static_cast<double>(rope.rotary_dim);
  rope = {.theta = rope.theta * std::pow(alpha, dim / (dim - 2)), .rotary_dim = rope.rotary_dim};
}

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, template_block());
  usual_keys(io, model, block, {.epsilon = 1e-5});
  fix_base(io, block.rope);
  if (io.reading()) block.attention.qk_norm->norm = block.norm;
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, template_block());
  check_whole_heads(io, model);
}

}  // namespace

const Architecture kHunYuanDense = {
    .name = "hunyuan_v1_dense",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no},
    .hf_classifier = "HunYuanDenseV1ForSequenceClassification",
};

}  // namespace powerhouse
