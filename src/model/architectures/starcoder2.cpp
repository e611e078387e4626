// StarCoder 2: LayerNorm, RoPE, grouped queries, biases everywhere, a plain GELU MLP, a sliding window (Lozhkov et al.
// 2024).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Starcoder2ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"starcoder2"};
constexpr std::string_view kGgufNames[] = {"starcoder2"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::up_proj, "model.layers.{}.mlp.c_fc"},
    {Role::down_proj, "model.layers.{}.mlp.c_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f, .bias = true},
                   .attention = {.qkv_bias = true, .output_bias = true},
                   .mlp = {.activation = Activation::gelu_tanh, .gated = false, .bias = true}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(io, model, block,
             {.epsilon_key = "norm_epsilon",
              .epsilon = 1e-5,
              .max_position_embeddings = 4096,
              .activation = "gelu_pytorch_tanh",
              .tie_word_embeddings = true});
  io.flag("use_bias", block.mlp.bias, true);
  block.attention.qkv_bias = block.attention.output_bias = block.mlp.bias;
  io.optional("sliding_window", block.attention.sliding_window);
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) { io.usual(model, kBlock); }

}  // namespace

const Architecture kStarCoder2 = {
    .name = "starcoder2",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::yes, .mlp_bias = Demand::yes, .heads_fill_hidden = true},
    .hf_classifier = "Starcoder2ForSequenceClassification",
};

}  // namespace powerhouse
