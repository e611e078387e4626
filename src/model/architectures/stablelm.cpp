// StableLM 2 and 3B: LayerNorm, RoPE on a quarter of each head, a gated SiLU MLP; the 12B with both branches side by
// side and a norm for every head of query and key.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"StableLmForCausalLM", "StableLMEpochForCausalLM"};
constexpr std::string_view kModelTypes[] = {"stablelm", "stablelm_epoch"};
constexpr std::string_view kGgufNames[] = {"stablelm"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {.role = Role::q_norm, .hf_name = "model.layers.{}.self_attn.q_layernorm.norms.{e}", .form = HfForm::per_head},
    {.role = Role::k_norm, .hf_name = "model.layers.{}.self_attn.k_layernorm.norms.{e}", .form = HfForm::per_head},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f, .bias = true}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(io, model, block,
             {.epsilon_key = "layer_norm_eps",
              .epsilon = 1e-5,
              .max_position_embeddings = 4096,
              .rope = {.rotary_factor = 0.25},
              .partial_rotary = true});
  io.flag("use_qkv_bias", block.attention.qkv_bias, false);
  bool parallel = block.residual == Residual::parallel_shared_norm;
  io.flag("use_parallel_residual", parallel, false);
  bool normed = block.attention.qk_norm.has_value();
  io.flag("qk_layernorm", normed, false);
  if (io.reading()) {
    if (parallel) block.residual = Residual::parallel_shared_norm;
    if (normed) {
      block.attention.qk_norm = QkNorm{.norm = block.norm, .scope = QkNormScope::each_head};
      block.attention.qk_norm->norm.bias = false;
    }
  }
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  Block block = kBlock;
  bool parallel = !io.reading() && model.layers.front().residual == Residual::parallel_shared_norm;
  io.flag("use_parallel_residual", parallel, false);
  if (parallel) block.residual = Residual::parallel_shared_norm;
  if (io.reading() && io.has_tensor("blk.0.attn_q_norm.weight")) {
    block.attention.qk_norm = QkNorm{.scope = QkNormScope::each_head};
  }
  io.usual(model, block);
  if (!io.reading()) return;
  for (Block& layer : model.layers) {
    if (layer.attention.qk_norm) layer.attention.qk_norm->norm.bias = false;
  }
}

}  // namespace

const Architecture kStableLm = {
    .name = "stablelm",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no, .tied_head = Demand::no, .heads_fill_hidden = true},
    .hf_classifier = "StableLmForSequenceClassification",
};

}  // namespace powerhouse
