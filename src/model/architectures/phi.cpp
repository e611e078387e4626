// Phi 1, 1.5 and 2: one LayerNorm for both branches, RoPE on a part of each head, biases everywhere (Li et al. 2023).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"PhiForCausalLM"};
constexpr std::string_view kModelTypes[] = {"phi"};
constexpr std::string_view kGgufNames[] = {"phi2"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::q_norm, "model.layers.{}.self_attn.q_layernorm"},
    {Role::k_norm, "model.layers.{}.self_attn.k_layernorm"},
    {Role::o_proj, "model.layers.{}.self_attn.dense"},
    {Role::up_proj, "model.layers.{}.mlp.fc1"},
    {Role::down_proj, "model.layers.{}.mlp.fc2"},
    {Role::final_norm, "model.final_layernorm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f, .bias = true},
                   .residual = Residual::parallel_shared_norm,
                   .attention = {.qkv_bias = true, .output_bias = true},
                   .mlp = {.activation = Activation::gelu_tanh, .gated = false, .bias = true}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(io, model, block,
             {.epsilon_key = "layer_norm_eps",
              .epsilon = 1e-5,
              .activation = "gelu_new",
              .rope = {.rotary_factor = 0.5},
              .partial_rotary = true});
  bool normed = block.attention.qk_norm.has_value();
  io.flag("qk_layernorm", normed, false);
  if (io.reading() && normed) block.attention.qk_norm = QkNorm{.norm = block.norm};
  if (io.reading()) model.lm_head_bias = true;
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) { io.usual(model, kBlock); }

}  // namespace

const Architecture kPhi = {
    .name = "phi",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.tied_head = Demand::no, .heads_fill_hidden = true},
    .hf_classifier = "PhiForSequenceClassification",
};

}  // namespace powerhouse
