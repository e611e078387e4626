// MPT (MosaicML 2023): ALiBi, LayerNorm without bias, no biases at all, projections clamped.
#include "model/architectures/common.h"
#include "model/architectures/families.h"
#include "powerhouse/log.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"MptForCausalLM", "MPTForCausalLM"};
constexpr std::string_view kModelTypes[] = {"mpt"};
constexpr std::string_view kGgufNames[] = {"mpt"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "transformer.wte"},
    {Role::attention_norm, "transformer.blocks.{}.norm_1"},
    {Role::qkv_proj, "transformer.blocks.{}.attn.Wqkv"},
    {Role::o_proj, "transformer.blocks.{}.attn.out_proj"},
    {Role::mlp_norm, "transformer.blocks.{}.norm_2"},
    {Role::up_proj, "transformer.blocks.{}.ffn.up_proj"},
    {Role::down_proj, "transformer.blocks.{}.ffn.down_proj"},
    {Role::final_norm, "transformer.norm_f"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f},
                   .position = PositionKind::alibi,
                   .attention = {.qkv = QkvLayout::concatenated},
                   .mlp = {.activation = Activation::gelu, .gated = false}};

void warn_unless(bool usual, const char* key) {
  if (!usual) log(LogLevel::warning, std::string("config.json: ") + key + " has no effect, as in transformers");
}

// The keys of `attn_config`, an object of its own.
void attention_keys(HfConfig& io, Block& block) {
  io.only("alibi", true);
  io.only("qk_ln", false);
  io.only("prefix_lm", false);
  io.only("attn_type", "multihead_attention");
  // transformers does not look at this key: its slopes are always those of 8. GGUF's are its own.
  double bias_max = block.alibi.bias_max;
  io.whole_number("alibi_bias_max", bias_max, 8.0);
  warn_unless(bias_max == 8.0, "attn_config.alibi_bias_max");
  io.optional("clip_qkv", block.attention.clip_qkv);
  io.optional("softmax_scale", block.attention.scale);
}

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  Attention& attention = block.attention;
  io.count("vocab_size", model.vocab_size);
  io.count("d_model", model.hidden_size);
  io.count("n_heads", attention.num_heads);
  io.count("max_seq_len", model.max_position_embeddings, 2048);
  io.number("layer_norm_epsilon", block.norm.epsilon, 1e-5);
  io.flag("tie_word_embeddings", model.tie_word_embeddings, true);
  io.only("no_bias", true);
  std::optional<float> logit_scale;
  io.optional("logit_scale", logit_scale);  // the same
  warn_unless(!logit_scale, "logit_scale");
  if (io.reading()) {
    const Json none = JsonObject{};
    const Json* inner = io.in().get("attn_config");
    HfConfig keys(inner != nullptr ? *inner : none);
    attention_keys(keys, block);
    attention.num_key_value_heads = attention.num_heads;
    attention.head_dim = attention.num_heads > 0 ? model.hidden_size / attention.num_heads : 0;
    block.mlp.intermediate_size = 4 * model.hidden_size;  // whatever expansion_ratio says, as in transformers
    model.final_norm = block.norm;
  } else {
    HfConfig keys;
    attention_keys(keys, block);
    io.out()["attn_config"] = keys.out();
    io.out()["expansion_ratio"] = 4;
  }
  io.layers("n_layers", model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, kBlock);
  for (Block& block : model.layers) {
    io.number("attention.max_alibi_bias", block.alibi.bias_max, 8.0);
    io.optional("attention.clamp_kqv", block.attention.clip_qkv);
  }
}

}  // namespace

const Architecture kMpt = {
    .name = "mpt",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .hf_classifier = "MptForSequenceClassification",
};

}  // namespace powerhouse
