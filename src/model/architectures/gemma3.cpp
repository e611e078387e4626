// Gemma 3 (text): Gemma 2's norms, RMSNorm on query and key instead of a cap, five windowed layers for each whole one,
// each kind with a RoPE of its own (Gemma team 2025).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Gemma3ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"gemma3_text"};
constexpr std::string_view kGgufNames[] = {"gemma3"};
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
    {Role::attention_post_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::mlp_norm, "model.layers.{}.pre_feedforward_layernorm"},
    {Role::mlp_post_norm, "model.layers.{}.post_feedforward_layernorm"},
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

Block template_block() {
  Block block{
      .norm = {.unit_offset = true}, .norm_place = NormPlace::around, .mlp = {.activation = Activation::gelu_tanh}};
  block.attention.qk_norm = QkNorm{.norm = block.norm};
  return block;
}

constexpr std::int64_t kPattern = 6;  // the last of six sees everything

bool slides(std::int64_t layer) { return (layer + 1) % kPattern != 0; }

void read_ropes(HfConfig& io, ModelConfig& model) {
  const Json& in = io.in();
  const Json* nested = in.get("rope_parameters");
  if (nested != nullptr && nested->get("full_attention") == nullptr) nested = nullptr;
  const std::int64_t head_dim = model.layers.front().attention.head_dim;
  const auto rope = [&](std::string_view kind, const Json* flat, const RopeKeys& keys) {
    return read_rope(in, nested != nullptr ? nested->get(kind) : flat, head_dim, model.max_position_embeddings, keys);
  };
  // The older spelling: rope_theta and rope_scaling are the whole layers', rope_local_base_freq the windowed ones'.
  const Json* flat = in.get("rope_scaling");
  if (flat == nullptr && nested == nullptr) flat = in.get("rope_parameters");
  const Rope whole = rope("full_attention", flat, {.theta = 1e6});
  const Rope windowed = rope("sliding_attention", nullptr, {.theta = 1e4, .theta_key = "rope_local_base_freq"});
  for (Block& block : model.layers) block.rope = block.attention.sliding_window ? windowed : whole;
}

void write_ropes(HfConfig& io, const ModelConfig& model) {
  JsonObject nested;
  for (const Block& block : model.layers) {
    JsonObject rope = write_rope(block.rope, block.attention.head_dim);
    if (block.attention.sliding_window) {
      nested["sliding_attention"] = std::move(rope);
    } else {
      nested["full_attention"] = std::move(rope);
    }
  }
  // A model with layers of one kind alone says the same of both.
  for (const char* kind : {"full_attention", "sliding_attention"}) {
    if (nested.find(kind) == nullptr) nested[kind] = nested.begin()->second;
  }
  io.out()["rope_parameters"] = std::move(nested);
}

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, template_block());
  usual_keys(io, model, block,
             {.max_position_embeddings = 131072,
              .activation_key = "hidden_activation",
              .activation = "gelu_pytorch_tanh",
              .tie_word_embeddings = true,
              .head_dim = 256,
              .with_rope = false}  // read below, by the kind of layer
  );
  gemma_embeddings(io.reading(), model);
  if (io.reading()) block.attention.qk_norm->norm = block.norm;
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  gemma_scores(io, model, block, std::nullopt, std::nullopt);
  io.layers("num_hidden_layers", model, block);
  std::optional<std::int64_t> window = io.reading() ? std::optional<std::int64_t>(4096) : window_of(model);
  io.optional_or("sliding_window", window);
  std::int64_t pattern = kPattern;
  if (io.reading()) {
    pattern = io.in().integer_or("sliding_window_pattern", io.in().integer_or("_sliding_window_pattern", kPattern));
  }
  io.layer_types(model, window, [&](std::int64_t layer) { return pattern < 1 || (layer + 1) % pattern != 0; });
  io.reading() ? read_ropes(io, model) : write_ropes(io, model);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, template_block());
  gemma_embeddings(io.reading(), model);
  std::optional<std::int64_t> window = window_of(model);
  io.window("attention.sliding_window", window);
  io.optional("final_logit_softcapping", model.final_softcap);
  if (!io.reading()) return;
  Rope windowed = model.layers.front().rope;
  windowed = Rope{.theta = io.number_or("rope.freq_base_swa", 10000.0), .rotary_dim = windowed.rotary_dim};
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    if (!slides(static_cast<std::int64_t>(i))) continue;
    model.layers[i].attention.sliding_window = window;
    model.layers[i].rope = windowed;
  }
  // As in Gemma 2, the 27B (62 layers) alone scales scores by hidden / heads.
  if (model.layers.size() != 62) return;
  for (Block& block : model.layers) {
    block.attention.scale = query_scale(static_cast<double>(model.hidden_size / block.attention.num_heads));
  }
}

}  // namespace

const Architecture kGemma3 = {
    .name = "gemma3_text",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
};

}  // namespace powerhouse
