// Mixtral: Mistral's attention, and eight gated MLPs of which a router chooses two for each token (Jiang et al. 2024).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"MixtralForCausalLM"};
constexpr std::string_view kModelTypes[] = {"mixtral"};
constexpr std::string_view kGgufNames[] = {"llama"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj", GgufRows::rope_pairs},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj", GgufRows::rope_pairs},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::router, "model.layers.{}.mlp.gate"},
    {.role = Role::router, .hf_name = "model.layers.{}.block_sparse_moe.gate", .written = true},
    {.role = Role::experts_gate_up, .hf_name = "model.layers.{}.mlp.experts.gate_up_proj", .suffix = ""},
    {.role = Role::experts_gate_up,
     .hf_name = "model.layers.{}.block_sparse_moe.experts.{e}.w1",
     .form = HfForm::per_expert,
     .hf_second = "model.layers.{}.block_sparse_moe.experts.{e}.w3",
     .written = true},
    {.role = Role::experts_down, .hf_name = "model.layers.{}.mlp.experts.down_proj", .suffix = ""},
    {.role = Role::experts_down,
     .hf_name = "model.layers.{}.block_sparse_moe.experts.{e}.w2",
     .form = HfForm::per_expert,
     .written = true},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

Block template_block() {
  Block block;
  block.mlp.moe = Moe{};
  return block;
}

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, template_block());
  usual_keys(io, model, block, {.epsilon = 1e-5, .max_position_embeddings = 131072, .rope = {.theta = 1e6}});
  io.optional("sliding_window", block.attention.sliding_window);
  Moe& moe = *block.mlp.moe;
  io.count("num_local_experts", moe.num_experts, 8);
  io.count("num_experts_per_tok", moe.num_experts_per_tok, 2);
  moe.intermediate_size = block.mlp.intermediate_size;
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, template_block());
  check_whole_heads(io, model);
  for (Block& block : model.layers) {
    if (io.reading()) block.mlp.moe->intermediate_size = block.mlp.intermediate_size;
    io.window("attention.sliding_window", block.attention.sliding_window);
  }
}

bool claims(const GgufFile& file) { return file.integer("llama.expert_count").value_or(0) > 0; }

}  // namespace

const Architecture kMixtral = {
    .name = "mixtral",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .claims = claims,
    .hf_classifier = "MixtralForSequenceClassification",
};

}  // namespace powerhouse
