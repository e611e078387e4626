// Seed-OSS (ByteDance 2025): Llama's block, with biases on query, key and value.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"SeedOssForCausalLM"};
constexpr std::string_view kModelTypes[] = {"seed_oss"};
constexpr std::string_view kGgufNames[] = {"seed_oss"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {.role = Role::mlp_norm,
     .hf_name = "model.layers.{}.post_attention_layernorm",
     .gguf_name = "blk.{}.post_attention_norm"},
    {Role::gate_proj, "model.layers.{}.mlp.gate_proj"},
    {Role::up_proj, "model.layers.{}.mlp.up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, {});
  usual_keys(io, model, block, {.max_position_embeddings = 524288, .head_dim = 128});
  io.flag("attention_bias", block.attention.qkv_bias, true);
  io.flag("attention_out_bias", block.attention.output_bias, false);
  io.flag("mlp_bias", block.mlp.bias, false);
  io.layers("num_hidden_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) { io.usual(model, {}); }

}  // namespace

const Architecture kSeedOss = {
    .name = "seed_oss",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .graph = {.output_bias = Demand::no, .mlp_bias = Demand::no},
    .hf_classifier = "SeedOssForSequenceClassification",
};

}  // namespace powerhouse
