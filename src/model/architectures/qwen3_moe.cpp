// Qwen 3 with a mixture of experts: Qwen 3's attention, no shared expert (Yang et al. 2025).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Qwen3MoeForCausalLM"};
constexpr std::string_view kModelTypes[] = {"qwen3_moe"};
constexpr std::string_view kGgufNames[] = {"qwen3moe"};
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
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

Block template_block() {
  Block block;
  block.attention.qk_norm = QkNorm{};
  block.mlp.moe = Moe{};
  return block;
}

void hf(HfConfig& io, ModelConfig& model) {
  Block block = io.reading() ? template_block() : sparse_block(model);
  usual_keys(io, model, block, {.max_position_embeddings = 32768});
  if (io.reading()) block.attention.qk_norm->norm = block.norm;
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  Moe& moe = *block.mlp.moe;
  // transformers 5 writes num_experts, and reads num_local_experts too.
  const bool local = io.reading() && io.in().get("num_experts") == nullptr;
  io.count(local ? "num_local_experts" : "num_experts", moe.num_experts, 128);
  io.count("num_experts_per_tok", moe.num_experts_per_tok, 8);
  io.count("moe_intermediate_size", moe.intermediate_size, 768);
  io.flag("norm_topk_prob", moe.norm_topk_prob, false);
  io.layers("num_hidden_layers", model, block);
  dense_layers(io, model);
  bool windowed = model.layers.front().attention.sliding_window.has_value();
  io.flag("use_sliding_window", windowed, false);
  std::optional<std::int64_t> window = model.layers.front().attention.sliding_window;
  if (io.reading()) window = 4096;
  io.optional_or("sliding_window", window);
  if (io.reading() && windowed) {
    for (Block& layer : model.layers) layer.attention.sliding_window = window;
  }
}

void gguf(GgufConfig& io, ModelConfig& model) { io.usual(model, template_block()); }

}  // namespace

const Architecture kQwen3Moe = {
    .name = "qwen3_moe",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no},
    .hf_classifier = "Qwen3MoeForSequenceClassification",
};

}  // namespace powerhouse
