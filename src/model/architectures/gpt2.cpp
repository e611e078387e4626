// GPT-2 (Radford et al. 2019): learned positions, LayerNorm, one matrix for query, key and value, all matrices stored
// [in, out].
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"GPT2LMHeadModel"};
constexpr std::string_view kModelTypes[] = {"gpt2"};
constexpr std::string_view kGgufNames[] = {"gpt2"};
constexpr std::string_view kIgnored[] = {".attn.bias", ".attn.masked_bias"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "transformer.wte"},
    {Role::position_embeddings, "transformer.wpe"},
    {Role::attention_norm, "transformer.h.{}.ln_1"},
    {.role = Role::qkv_proj, .hf_name = "transformer.h.{}.attn.c_attn", .form = HfForm::transposed},
    {.role = Role::o_proj, .hf_name = "transformer.h.{}.attn.c_proj", .form = HfForm::transposed},
    {Role::mlp_norm, "transformer.h.{}.ln_2"},
    {.role = Role::up_proj, .hf_name = "transformer.h.{}.mlp.c_fc", .form = HfForm::transposed},
    {.role = Role::down_proj, .hf_name = "transformer.h.{}.mlp.c_proj", .form = HfForm::transposed},
    {Role::final_norm, "transformer.ln_f"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f, .bias = true},
                   .position = PositionKind::none,
                   .attention = {.qkv = QkvLayout::concatenated, .qkv_bias = true, .output_bias = true},
                   .mlp = {.activation = Activation::gelu_tanh, .gated = false, .bias = true}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  gpt2_keys(io, model, block, "gelu_new");
  io.only("add_cross_attention", false);
  io.layers("n_layer", model, block);
  gpt2_scales(io, model);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, kBlock);
  if (io.reading()) model.learned_positions = model.max_position_embeddings;
}

}  // namespace

const Architecture kGpt2 = {
    .name = "gpt2",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .hf_classifier = "GPT2ForSequenceClassification",
};

}  // namespace powerhouse
