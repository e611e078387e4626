// Qwen 1.5 and 2 with a mixture of experts: many small MLPs, and one that every token passes behind a sigmoid gate
// (Yang et al. 2024).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Qwen2MoeForCausalLM"};
constexpr std::string_view kModelTypes[] = {"qwen2_moe"};
constexpr std::string_view kGgufNames[] = {"qwen2moe"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::router, "model.layers.{}.mlp.gate"},
    {.role = Role::experts_gate_up, .hf_name = "model.layers.{}.mlp.experts.gate_up_proj", .suffix = ""},
    {.role = Role::experts_gate_up,
     .hf_name = "model.layers.{}.mlp.experts.{e}.gate_proj",
     .form = HfForm::per_expert,
     .hf_second = "model.layers.{}.mlp.experts.{e}.up_proj",
     .written = true},
    {.role = Role::experts_down, .hf_name = "model.layers.{}.mlp.experts.down_proj", .suffix = ""},
    {.role = Role::experts_down,
     .hf_name = "model.layers.{}.mlp.experts.{e}.down_proj",
     .form = HfForm::per_expert,
     .written = true},
    {Role::shared_gate_proj, "model.layers.{}.mlp.shared_expert.gate_proj"},
    {Role::shared_up_proj, "model.layers.{}.mlp.shared_expert.up_proj"},
    {Role::shared_down_proj, "model.layers.{}.mlp.shared_expert.down_proj"},
    {Role::shared_expert_gate, "model.layers.{}.mlp.shared_expert_gate"},
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

Block template_block() {
  Block block;
  block.attention.qkv_bias = true;
  block.mlp.moe = Moe{.norm_topk_prob = false};
  return block;
}

void hf(HfConfig& io, ModelConfig& model) {
  Block block = io.reading() ? template_block() : sparse_block(model);
  usual_keys(io, model, block, {.max_position_embeddings = 32768});
  io.flag("qkv_bias", block.attention.qkv_bias, true);
  Moe& moe = *block.mlp.moe;
  io.count("num_experts", moe.num_experts, 60);
  io.count("num_experts_per_tok", moe.num_experts_per_tok, 4);
  io.count("moe_intermediate_size", moe.intermediate_size, 1408);
  io.count("shared_expert_intermediate_size", moe.shared_intermediate_size, 5632);
  io.flag("norm_topk_prob", moe.norm_topk_prob, false);
  io.layers("num_hidden_layers", model, block);
  dense_layers(io, model);
  qwen_window(io, model, WindowedLayers::even_lower);
}

void gguf(GgufConfig& io, ModelConfig& model) { io.usual(model, template_block()); }

}  // namespace

const Architecture kQwen2Moe = {
    .name = "qwen2_moe",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.tied_head = Demand::no, .heads_fill_hidden = true},
    .hf_classifier = "Qwen2MoeForSequenceClassification",
};

}  // namespace powerhouse
