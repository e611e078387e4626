// Cohere's Command R: one LayerNorm without bias for both branches, interleaved RoPE, logits scaled; Command R+ norms
// every head of query and key.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"CohereForCausalLM"};
constexpr std::string_view kModelTypes[] = {"cohere"};
constexpr std::string_view kGgufNames[] = {"command-r"};
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
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f},
                   .residual = Residual::parallel_shared_norm,
                   .rope = {.layout = RopeLayout::interleaved}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(io, model, block,
             {.epsilon_key = "layer_norm_eps",
              .epsilon = 1e-5,
              .max_position_embeddings = 8192,
              .tie_word_embeddings = true,
              .rope = {.theta = 500000.0}});
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  bool normed = block.attention.qk_norm.has_value();
  io.flag("use_qk_norm", normed, false);
  if (io.reading() && normed) block.attention.qk_norm = QkNorm{.norm = block.norm, .scope = QkNormScope::each_head};
  io.number("logit_scale", model.logit_scale, 0.0625);
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  Block block = kBlock;
  if (io.reading() && io.has_tensor("blk.0.attn_q_norm.weight")) {
    block.attention.qk_norm = QkNorm{.scope = QkNormScope::each_head};
  }
  if (!io.reading()) {
    // By which llama.cpp tells Command R+ from Command R.
    GgufConfig::refuse_unless(model.layers.front().attention.qk_norm.has_value() == (model.layers.size() >= 64),
                              "use_qk_norm");
  }
  io.usual(model, block);
  io.number("logit_scale", model.logit_scale, 1.0);
}

}  // namespace

const Architecture kCohere = {
    .name = "cohere",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no, .tied_head = Demand::yes, .heads_fill_hidden = true},
};

}  // namespace powerhouse
