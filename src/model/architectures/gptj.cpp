// GPT-J (Wang and Komatsuzaki 2021): one LayerNorm for both branches, interleaved RoPE on the first rotary_dim elements
// of a head, a head with bias.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"GPTJForCausalLM"};
constexpr std::string_view kModelTypes[] = {"gptj"};
constexpr std::string_view kIgnored[] = {".attn.bias", ".attn.masked_bias"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "transformer.wte"},        {Role::attention_norm, "transformer.h.{}.ln_1"},
    {Role::q_proj, "transformer.h.{}.attn.q_proj"}, {Role::k_proj, "transformer.h.{}.attn.k_proj"},
    {Role::v_proj, "transformer.h.{}.attn.v_proj"}, {Role::o_proj, "transformer.h.{}.attn.out_proj"},
    {Role::up_proj, "transformer.h.{}.mlp.fc_in"},  {Role::down_proj, "transformer.h.{}.mlp.fc_out"},
    {Role::final_norm, "transformer.ln_f"},         {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f, .bias = true},
                   .residual = Residual::parallel_shared_norm,
                   .rope = {.layout = RopeLayout::interleaved},
                   .mlp = {.activation = Activation::gelu_tanh, .gated = false, .bias = true}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  gpt2_keys(io, model, block, "gelu_new");
  if (io.reading()) {
    model.tie_word_embeddings = io.in().bool_or("tie_word_embeddings", false);
    model.lm_head_bias = true;
    block.rope.rotary_dim = block.attention.head_dim;
    // Absent it is 64; null stands for whole heads.
    const Json* const written = io.in().as_object("config").find("rotary_dim");
    if (written == nullptr) block.rope.rotary_dim = 64;
    if (written != nullptr && !written->is_null()) block.rope.rotary_dim = written->as_integer("rotary_dim");
  } else {
    io.out()["rotary_dim"] = block.rope.rotary_dim;
  }
  io.layers("n_layer", model, block);
}

}  // namespace

const Architecture kGptJ = {
    .name = "gptj",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = {},
    .hf = hf,
    .gguf = nullptr,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .hf_classifier = "GPTJForSequenceClassification",
};

}  // namespace powerhouse
