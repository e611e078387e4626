// gpt-oss (OpenAI 2025): attention sinks, windows in every second layer, YaRN, and experts with biases whose gate and
// up alternate, are clamped, and meet as (up + 1) * gate * sigmoid(1.702 gate).
//
// The shipped files tell `truncate: false` of YaRN; llama.cpp truncates always, so that its GGUF files mean that.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"GptOssForCausalLM"};
constexpr std::string_view kModelTypes[] = {"gpt_oss"};
constexpr std::string_view kGgufNames[] = {"gpt-oss"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {.role = Role::sinks, .hf_name = "model.layers.{}.self_attn.sinks", .suffix = ""},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {.role = Role::mlp_norm,
     .hf_name = "model.layers.{}.post_attention_layernorm",
     .gguf_name = "blk.{}.post_attention_norm"},
    {Role::router, "model.layers.{}.mlp.router"},
    {.role = Role::experts_gate_up,
     .hf_name = "model.layers.{}.mlp.experts.gate_up_proj",
     .form = HfForm::transposed,
     .suffix = "",
     .bias_suffix = "_bias"},
    {.role = Role::experts_down,
     .hf_name = "model.layers.{}.mlp.experts.down_proj",
     .form = HfForm::transposed,
     .suffix = "",
     .bias_suffix = "_bias"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

constexpr std::int64_t kPattern = 2;  // every second layer has a window, the first among them
constexpr float kLimit = 7.0f;

Block template_block() {
  Block block;
  block.norm.round_once = true;
  block.attention.sinks = true;
  block.mlp.activation = Activation::quick_gelu;
  block.mlp.moe = Moe{.bias = true, .interleaved_gate_up = true, .clamp = kLimit, .up_offset = 1.0f};
  return block;
}

// The class' own, where config.json tells no RoPE at all.
void rope_of_the_class(const HfConfig& io, const ModelConfig& model, Block& block, const RopeKeys& keys) {
  if (!io.reading() || io.in().get("rope_parameters") != nullptr || io.in().get("rope_scaling") != nullptr) return;
  JsonObject yarn;
  yarn["rope_type"] = "yarn";
  yarn["factor"] = 32.0;
  yarn["truncate"] = false;
  yarn["original_max_position_embeddings"] = 4096;
  const Json parameters = std::move(yarn);
  block.rope = read_rope(io.in(), &parameters, block.attention.head_dim, model.max_position_embeddings, keys);
}

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, template_block());
  const UsualKeys keys{.epsilon = 1e-5, .max_position_embeddings = 131072, .head_dim = 64, .rope = {.theta = 150000.0}};
  usual_keys(io, model, block, keys);
  rope_of_the_class(io, model, block, keys.rope);
  // The activation is not what this key says, but what swiglu_alpha and swiglu_limit do.
  io.only("hidden_act", "silu");
  io.only("swiglu_alpha", 1.702);
  block.mlp.activation = Activation::quick_gelu;
  Moe& moe = *block.mlp.moe;
  io.number("swiglu_limit", *moe.clamp, kLimit);
  io.count(io.either("num_local_experts", "num_experts"), moe.num_experts, 128);
  io.count("num_experts_per_tok", moe.num_experts_per_tok, 4);
  moe.intermediate_size = block.mlp.intermediate_size;
  io.flag("attention_bias", block.attention.qkv_bias, true);
  block.attention.output_bias = block.attention.qkv_bias;
  io.layers("num_hidden_layers", model, block);
  std::optional<std::int64_t> window = io.reading() ? 128 : window_of(model);
  io.optional_or("sliding_window", window);
  io.layer_types(model, window, [](std::int64_t layer) { return is_windowed(layer, kPattern); });
}

void gguf(GgufConfig& io, ModelConfig& model) {
  if (!io.reading()) {
    const Block& first = model.layers.front();
    GgufConfig::refuse_unless(first.mlp.moe->clamp == kLimit, "swiglu_limit");
    GgufConfig::refuse_unless(window_of(model).has_value(), "sliding_window");
  }
  io.usual(model, template_block());
  check_whole_heads(io, model);
  io.windows(model, kPattern);
}

}  // namespace

const Architecture kGptOss = {
    .name = "gpt_oss",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::yes, .tied_head = Demand::no},
    .hf_classifier = "GptOssForSequenceClassification",
};

}  // namespace powerhouse
