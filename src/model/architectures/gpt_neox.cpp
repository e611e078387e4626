// GPT-NeoX and Pythia (Black et al. 2022; Biderman et al. 2023): both branches side by side with a LayerNorm each, or
// one after the other; query, key and value head by head; RoPE on a quarter of each head.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"GPTNeoXForCausalLM"};
constexpr std::string_view kModelTypes[] = {"gpt_neox"};
constexpr std::string_view kGgufNames[] = {"gptneox"};
constexpr std::string_view kIgnored[] = {".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "gpt_neox.embed_in"},
    {Role::attention_norm, "gpt_neox.layers.{}.input_layernorm"},
    {Role::qkv_proj, "gpt_neox.layers.{}.attention.query_key_value", GgufRows::concatenated},
    {Role::o_proj, "gpt_neox.layers.{}.attention.dense"},
    {Role::mlp_norm, "gpt_neox.layers.{}.post_attention_layernorm"},
    {Role::up_proj, "gpt_neox.layers.{}.mlp.dense_h_to_4h"},
    {Role::down_proj, "gpt_neox.layers.{}.mlp.dense_4h_to_h"},
    {Role::final_norm, "gpt_neox.final_layer_norm"},
    {Role::lm_head, "embed_out"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f, .bias = true},
                   .residual = Residual::parallel,
                   .attention = {.qkv = QkvLayout::per_head, .qkv_bias = true, .output_bias = true},
                   .mlp = {.activation = Activation::gelu, .gated = false, .bias = true}};

void set_residual(Block& block, bool parallel) {
  block.residual = parallel ? Residual::parallel : Residual::sequential;
}

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(io, model, block,
             {.epsilon_key = "layer_norm_eps",
              .epsilon = 1e-5,
              .activation = "gelu",
              .rope = {.rotary_factor = 0.25, .theta_key = "rotary_emb_base", .rotary_factor_key = "rotary_pct"},
              .partial_rotary = true});
  io.flag("attention_bias", block.attention.qkv_bias, true);
  block.attention.output_bias = block.attention.qkv_bias;
  bool parallel = block.residual == Residual::parallel;
  io.flag("use_parallel_residual", parallel, true);
  set_residual(block, parallel);
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  Block block = kBlock;
  bool parallel = io.reading() || model.layers.front().residual == Residual::parallel;
  io.flag("use_parallel_residual", parallel, true);
  set_residual(block, parallel);
  io.usual(model, block);
}

}  // namespace

const Architecture kGptNeoX = {
    .name = "gpt_neox",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.qkv_bias = Demand::yes, .output_bias = Demand::yes, .tied_head = Demand::no},
    .hf_classifier = "GPTNeoXForSequenceClassification",
};

}  // namespace powerhouse
