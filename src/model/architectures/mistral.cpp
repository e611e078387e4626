// Mistral 7B: Llama's block with a sliding window (Jiang et al. 2023).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"MistralForCausalLM"};
constexpr std::string_view kModelTypes[] = {"mistral"};
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
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, {});
  usual_keys(io, model, block, {.max_position_embeddings = 131072});
  // transformers' default is a window; files that want none say null.
  if (io.reading()) block.attention.sliding_window = 4096;
  io.optional_or("sliding_window", block.attention.sliding_window);
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, {});
  check_whole_heads(io, model);
  for (Block& block : model.layers) io.window("attention.sliding_window", block.attention.sliding_window);
}

bool claims(const GgufFile& file) { return file.integer("llama.attention.sliding_window").value_or(0) > 0; }

}  // namespace

const Architecture kMistral = {
    .name = "mistral",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .claims = claims,
    .hf_classifier = "MistralForSequenceClassification",
};

}  // namespace powerhouse
