// Cohere's Command R7B: Command R's block; three windowed layers with RoPE, then one that sees everything and knows no
// positions.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Cohere2ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"cohere2"};
constexpr std::string_view kGgufNames[] = {"cohere2"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f},
                   .residual = Residual::parallel_shared_norm,
                   .rope = {.layout = RopeLayout::interleaved}};

constexpr std::int64_t kPattern = 4;  // the last of four sees everything

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(
      io, model, block,
      {.epsilon_key = "layer_norm_eps", .epsilon = 1e-5, .max_position_embeddings = 8192, .tie_word_embeddings = true});
  io.flag("attention_bias", block.attention.qkv_bias, false);
  block.attention.output_bias = block.attention.qkv_bias;
  io.number("logit_scale", model.logit_scale, 0.0625);
  io.layers("num_hidden_layers", model, block);
  io.windows(model, kPattern, "sliding_window_pattern");
  if (io.reading()) rope_in_windows_only(model);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, kBlock);
  io.number("logit_scale", model.logit_scale, 1.0);
  io.windows(model, kPattern);
  if (io.reading()) rope_in_windows_only(model);
}

}  // namespace

const Architecture kCohere2 = {
    .name = "cohere2",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no, .tied_head = Demand::yes, .heads_fill_hidden = true},
};

}  // namespace powerhouse
