// Llama 1, 2 and 3, and all that share their block (SmolLM2, TinyLlama, Vicuna ...): RMSNorm before each branch, RoPE,
// grouped queries, a gated SiLU MLP (Touvron et al. 2023; Grattafiori et al. 2024).
#include <array>

#include "model/architectures/common.h"
#include "model/architectures/families.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"LlamaForCausalLM"};
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

// transformers 5 does not look at this key in this family and llama.cpp refuses it: what was meant can't be told.
void check_whole_heads(const Block& block, const char* field) {
  if (block.rope.rotary_dim >= block.attention.head_dim) return;
  throw Error(ErrorKind::unsupported, "this family turns whole heads",
              {.field = field,
               .expected = std::to_string(block.attention.head_dim),
               .found = std::to_string(block.rope.rotary_dim)});
}

ModelConfig from_hf(const Json& config) {
  ModelConfig model;
  model.architecture = "llama";
  model.vocab_size = read_count(config, "vocab_size");
  model.hidden_size = read_count(config, "hidden_size");
  model.max_position_embeddings = read_count_or(config, "max_position_embeddings", 2048);
  model.tie_word_embeddings = config.bool_or("tie_word_embeddings", false);
  model.final_norm.epsilon = static_cast<float>(config.double_or("rms_norm_eps", 1e-6));

  Block block;
  block.norm = model.final_norm;
  Attention& attention = block.attention;
  attention.num_heads = read_count(config, "num_attention_heads");
  attention.num_key_value_heads = read_count_or(config, "num_key_value_heads", attention.num_heads);
  attention.head_dim =
      read_count_or(config, "head_dim", attention.num_heads > 0 ? model.hidden_size / attention.num_heads : 0);
  attention.qkv_bias = attention.output_bias = config.bool_or("attention_bias", false);
  block.rope = read_rope(config, attention.head_dim, 10000.0);
  check_whole_heads(block, "partial_rotary_factor");
  block.mlp.intermediate_size = read_count(config, "intermediate_size");
  block.mlp.activation = read_activation(config, "hidden_act");
  block.mlp.bias = config.bool_or("mlp_bias", false);

  const std::int64_t layers = read_count(config, "num_hidden_layers");
  if (layers > 4096) {
    throw Error(ErrorKind::format, "impossible model configuration",
                {.field = "num_hidden_layers", .expected = "at most 4096", .found = std::to_string(layers)});
  }
  model.layers.assign(static_cast<std::size_t>(layers), block);
  read_special_ids(config, model);
  return model;
}

ModelConfig from_gguf(const GgufFile& file) {
  if (file.integer("llama.expert_count").value_or(0) > 0) {
    throw Error(ErrorKind::unsupported, "mixtures of experts are not built",
                {.file = file.path(), .field = "llama.expert_count"});
  }
  ModelConfig model = read_gguf_common(file, "llama");
  const auto layers = static_cast<std::int64_t>(model.layers.size());
  const auto heads = read_per_layer(file, "llama.attention.head_count", layers);
  const auto kv_heads = file.find("llama.attention.head_count_kv")
                            ? read_per_layer(file, "llama.attention.head_count_kv", layers)
                            : heads;
  const auto inner = read_per_layer(file, "llama.feed_forward_length", layers);
  // GGUF says by a tensor's presence what config.json says by a flag.
  model.tie_word_embeddings = file.find_tensor("output.weight") == nullptr;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const auto at = static_cast<std::size_t>(layer);
    Block& block = model.layers[at];
    block.norm = model.final_norm;
    block.attention.num_heads = heads[at];
    block.attention.num_key_value_heads = kv_heads[at];
    const std::int64_t otherwise = heads[at] > 0 ? model.hidden_size / heads[at] : 0;
    block.attention.head_dim = file.integer("llama.attention.key_length").value_or(otherwise);
    if (file.integer("llama.attention.value_length").value_or(block.attention.head_dim) != block.attention.head_dim) {
      throw Error(ErrorKind::unsupported, "key and value heads of different size are not built",
                  {.file = file.path(), .field = "llama.attention.value_length"});
    }
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    block.attention.qkv_bias = file.find_tensor(prefix + "attn_q.bias") != nullptr;
    block.attention.output_bias = file.find_tensor(prefix + "attn_output.bias") != nullptr;
    block.mlp.intermediate_size = inner[at];
    block.mlp.bias = file.find_tensor(prefix + "ffn_up.bias") != nullptr;
    block.rope = layer == 0 ? read_gguf_rope(file, "llama", block.attention.head_dim) : model.layers[0].rope;
    check_whole_heads(block, "llama.rope.dimension_count");
  }
  return model;
}

Json to_hf(const ModelConfig& model) {
  const Block& block = model.layers.front();
  for (const Block& other : model.layers) {
    if (!(other == block)) {
      throw Error(ErrorKind::unsupported, "config.json of this family can't tell layers apart", {.field = "layers"});
    }
  }
  if (block.attention.qkv_bias != block.attention.output_bias) {
    throw Error(ErrorKind::unsupported, "config.json of this family has one flag for all attention biases",
                {.field = "attention_bias"});
  }
  JsonObject out;
  out["architectures"] = Json::Array{"LlamaForCausalLM"};
  out["model_type"] = "llama";
  out["vocab_size"] = model.vocab_size;
  out["hidden_size"] = model.hidden_size;
  out["intermediate_size"] = block.mlp.intermediate_size;
  out["num_hidden_layers"] = static_cast<std::int64_t>(model.layers.size());
  out["num_attention_heads"] = block.attention.num_heads;
  out["num_key_value_heads"] = block.attention.num_key_value_heads;
  out["head_dim"] = block.attention.head_dim;
  out["hidden_act"] = "silu";
  out["max_position_embeddings"] = model.max_position_embeddings;
  out["rms_norm_eps"] = static_cast<double>(model.final_norm.epsilon);
  const Json rope = write_rope(block.rope, block.attention.head_dim);
  out["rope_parameters"] = rope;
  // What transformers 4 looks for.
  out["rope_theta"] = block.rope.theta;
  if (block.rope.scaling != RopeScaling::none) {
    JsonObject scaling;
    for (const auto& [key, value] : rope.as_object()) {
      if (key != "rope_theta") scaling[key] = value;
    }
    out["rope_scaling"] = std::move(scaling);
  }
  out["attention_bias"] = block.attention.qkv_bias;
  out["mlp_bias"] = block.mlp.bias;
  out["tie_word_embeddings"] = model.tie_word_embeddings;
  return out;
}

}  // namespace

const Architecture kLlama = {
    .name = "llama",
    .hf_names = kHfNames,
    .gguf_names = kGgufNames,
    .from_hf = from_hf,
    .from_gguf = from_gguf,
    .to_hf = to_hf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
};

}  // namespace powerhouse
