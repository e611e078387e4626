// DeciLM: Llama's block with a number of key-value heads for every layer (Deci 2023).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"DeciLMForCausalLM"};
constexpr std::string_view kModelTypes[] = {"deci", "nemotron-nas"};
constexpr std::string_view kGgufNames[] = {"deci"};
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
  usual_keys(io, model, block, {.max_position_embeddings = 4096});
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  io.layers("num_hidden_layers", model, block);
  constexpr std::string_view kKey = "num_key_value_heads_per_layer";
  if (!io.reading()) {
    Json::Array heads;
    for (const Block& layer : model.layers) heads.emplace_back(layer.attention.num_key_value_heads);
    io.out()[kKey] = std::move(heads);
    return;
  }
  const Json* heads = io.in().get(kKey);
  if (heads == nullptr) {
    // The later Nemotron kind removes whole branches, by `block_configs`.
    throw Error(ErrorKind::unsupported, "not built for this family",
                {.field = "block_configs", .expected = std::string(kKey)});
  }
  check_per_layer(heads, kKey, model);
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    model.layers[i].attention.num_key_value_heads = heads->as_array()[i].as_integer(kKey);
  }
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, {});
  check_whole_heads(io, model);
}

}  // namespace

const Architecture kDeci = {
    .name = "deci",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
};

}  // namespace powerhouse
