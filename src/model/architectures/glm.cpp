// GLM-4-9B as transformers ships it (THUDM 2024): interleaved RoPE in half of each head, fused gate and up.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"GlmForCausalLM"};
constexpr std::string_view kModelTypes[] = {"glm"};
constexpr std::string_view kGgufNames[] = {"chatglm"};
constexpr std::string_view kIgnored[] = {".rotary_emb.inv_freq"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.embed_tokens"},
    {Role::attention_norm, "model.layers.{}.input_layernorm"},
    {Role::q_proj, "model.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.layers.{}.self_attn.o_proj"},
    {Role::mlp_norm, "model.layers.{}.post_attention_layernorm"},
    {Role::gate_up_proj, "model.layers.{}.mlp.gate_up_proj"},
    {Role::down_proj, "model.layers.{}.mlp.down_proj"},
    {Role::final_norm, "model.norm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.rope = {.layout = RopeLayout::interleaved}, .mlp = {.fused_gate_up = true}};

void hf(HfConfig& io, ModelConfig& model) { glm_keys(io, model, kBlock); }

void gguf(GgufConfig& io, ModelConfig& model) { io.usual(model, kBlock); }

}  // namespace

const Architecture kGlm = {
    .name = "glm",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .ignored_hf = kIgnored,
    .graph = {.output_bias = Demand::no, .heads_fill_hidden = true},
    .hf_classifier = "GlmForSequenceClassification",
};

}  // namespace powerhouse
