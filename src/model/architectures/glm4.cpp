// GLM-4-0414 (THUDM 2025): GLM with norms before and behind attention and MLP.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"Glm4ForCausalLM"};
constexpr std::string_view kModelTypes[] = {"glm4"};
constexpr std::string_view kGgufNames[] = {"glm4"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::attention_post_norm, "model.layers.{}.post_self_attn_layernorm"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {.role = Role::gate_up_proj, .hf_name = "model.layers.{}.mlp.gate_up_proj", .gguf_name = "blk.{}.ffn_up"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::mlp_post_norm, "model.layers.{}.post_mlp_layernorm"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{
    .norm_place = NormPlace::around, .rope = {.layout = RopeLayout::interleaved}, .mlp = {.fused_gate_up = true}};

void hf(HfConfig& io, ModelConfig& model) { glm_keys(io, model, kBlock); }

void gguf(GgufConfig& io, ModelConfig& model) { io.usual(model, kBlock); }

}  // namespace

const Architecture kGlm4 = {
    .name = "glm4",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no},
    .hf_classifier = "Glm4ForSequenceClassification",
};

}  // namespace powerhouse
