// GPT-BigCode (SantaCoder, StarCoder): GPT-2 with one key-value head for all queries, matrices stored [out, in] (Ben
// Allal et al. 2023).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"GPTBigCodeForCausalLM"};
constexpr std::string_view kModelTypes[] = {"gpt_bigcode"};
constexpr std::string_view kGgufNames[] = {"starcoder"};
constexpr std::string_view kIgnored[] = {".attn.bias", ".attn.masked_bias"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "transformer.wte"},
    {Role::position_embeddings, "transformer.wpe"},
    {Role::attention_norm, "transformer.h.{}.ln_1"},
    {Role::qkv_proj, "transformer.h.{}.attn.c_attn", GgufRows::concatenated},
    {Role::o_proj, "transformer.h.{}.attn.c_proj"},
    {Role::mlp_norm, "transformer.h.{}.ln_2"},
    {Role::up_proj, "transformer.h.{}.mlp.c_fc"},
    {Role::down_proj, "transformer.h.{}.mlp.c_proj"},
    {Role::final_norm, "transformer.ln_f"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f, .bias = true},
                   .position = PositionKind::none,
                   .attention = {.qkv = QkvLayout::concatenated, .qkv_bias = true, .output_bias = true},
                   .mlp = {.activation = Activation::gelu_tanh, .gated = false, .bias = true}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  gpt2_keys(io, model, block, "gelu_pytorch_tanh");
  bool one = block.attention.num_key_value_heads == 1;
  io.flag("multi_query", one, true);
  if (io.reading()) {
    // With a key and a value for every head, they lie head by head.
    if (one) block.attention.num_key_value_heads = 1;
    if (!one) block.attention.qkv = QkvLayout::per_head;
  }
  io.only("add_cross_attention", false);
  io.layers("n_layer", model, block);
  gpt2_scales(io, model);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, kBlock);
  if (io.reading()) model.learned_positions = model.max_position_embeddings;
}

}  // namespace

const Architecture kGptBigCode = {
    .name = "gpt_bigcode",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .hf_classifier = "GPTBigCodeForSequenceClassification",
};

}  // namespace powerhouse
