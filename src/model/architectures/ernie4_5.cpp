// ERNIE 4.5, the dense models (Baidu 2025): Llama with interleaved RoPE, and biases everywhere or nowhere.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Ernie4_5ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"ernie4_5"};
constexpr std::string_view kGgufNames[] = {"ernie4_5"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.rope = {.layout = RopeLayout::interleaved}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  usual_keys(io, model, block,
             {.epsilon = 1e-5,
              .max_position_embeddings = 131072,
              .tie_word_embeddings = true,
              .head_dim = 128,
              .rope = {.theta = 500000.0}});
  io.flag("use_bias", block.mlp.bias, false);
  block.attention.qkv_bias = block.attention.output_bias = block.mlp.bias;
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) { io.usual(model, kBlock); }

}  // namespace

const Architecture kErnie45 = {
    .name = "ernie4_5",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.mlp_bias = Demand::no},
};

}  // namespace powerhouse
