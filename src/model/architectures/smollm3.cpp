// SmolLM3: Llama's block, with no positions at all in every fourth layer (NoPE).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"SmolLM3ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"smollm3"};
constexpr std::string_view kGgufNames[] = {"smollm3"};
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

constexpr std::int64_t kInterval = 4;

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, {});
  usual_keys(io, model, block, {.max_position_embeddings = 32768, .tie_word_embeddings = true, .rope = {.theta = 2e6}});
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  io.flag("mlp_bias", block.mlp.bias, false);
  io.layers("num_hidden_layers", model, block);
  if (!io.reading()) {
    Json::Array turned;
    for (const Block& layer : model.layers) turned.emplace_back(layer.position == PositionKind::rope ? 1 : 0);
    io.out()["no_rope_layers"] = std::move(turned);
  } else {
    const std::int64_t interval = io.in().integer_or("no_rope_layer_interval", kInterval);
    const Json* listed = io.in().get("no_rope_layers");
    check_per_layer(listed, "no_rope_layers", model);
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      const bool turned = listed != nullptr ? listed->as_array()[i].as_integer("no_rope_layers") != 0
                                            : interval <= 0 || (static_cast<std::int64_t>(i) + 1) % interval != 0;
      model.layers[i].position = turned ? PositionKind::rope : PositionKind::none;
    }
  }
  bool windowed = model.layers.front().attention.sliding_window.has_value();
  io.flag("use_sliding_window", windowed, false);
  if (windowed) {
    std::optional<std::int64_t> window = window_of(model);
    io.optional("sliding_window", window);
    io.layer_types(model, window, [](std::int64_t) { return false; });
  }
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, {});
  check_whole_heads(io, model);
  if (!io.reading()) return;
  // llama.cpp knows no key for it: every fourth layer, always.
  for (std::size_t i = kInterval - 1; i < model.layers.size(); i += kInterval) {
    model.layers[i].position = PositionKind::none;
  }
}

}  // namespace

const Architecture kSmolLm3 = {
    .name = "smollm3",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no, .mlp_bias = Demand::no},
    .hf_classifier = "SmolLM3ForSequenceClassification",
};

}  // namespace powerhouse
