// OPT (Zhang et al. 2022): learned positions from row 2 on, ReLU, LayerNorms before the branches, or behind the sums as
// in the 350m, whose embeddings are projected.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"OPTForCausalLM"};
constexpr std::string_view kModelTypes[] = {"opt"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "model.decoder.embed_tokens"},
    {Role::position_embeddings, "model.decoder.embed_positions"},
    {Role::project_in, "model.decoder.project_in"},
    {Role::project_out, "model.decoder.project_out"},
    {Role::attention_norm, "model.decoder.layers.{}.self_attn_layer_norm"},
    {Role::q_proj, "model.decoder.layers.{}.self_attn.q_proj"},
    {Role::k_proj, "model.decoder.layers.{}.self_attn.k_proj"},
    {Role::v_proj, "model.decoder.layers.{}.self_attn.v_proj"},
    {Role::o_proj, "model.decoder.layers.{}.self_attn.out_proj"},
    {Role::mlp_norm, "model.decoder.layers.{}.final_layer_norm"},
    {Role::up_proj, "model.decoder.layers.{}.fc1"},
    {Role::down_proj, "model.decoder.layers.{}.fc2"},
    {Role::final_norm, "model.decoder.final_layer_norm"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f, .bias = true},
                   .position = PositionKind::none,
                   .attention = {.qkv_bias = true, .output_bias = true},
                   .mlp = {.activation = Activation::relu, .gated = false, .bias = true}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  io.count("vocab_size", model.vocab_size);
  io.count("hidden_size", model.hidden_size);
  io.count("ffn_dim", block.mlp.intermediate_size);
  io.count("max_position_embeddings", model.max_position_embeddings, 2048);
  io.activation("activation_function", block.mlp.activation, "relu");
  io.flag("tie_word_embeddings", model.tie_word_embeddings, true);
  io.count("num_attention_heads", block.attention.num_heads);
  std::int64_t embedding = model.embedding_size != 0 ? model.embedding_size : model.hidden_size;
  io.count("word_embed_proj_dim", embedding, model.hidden_size);
  bool before = block.norm_place == NormPlace::before;
  io.flag("do_layer_norm_before", before, true);
  bool no_final_norm = before && !model.final_norm;
  io.flag("_remove_final_layer_norm", no_final_norm, false);
  io.flag("enable_bias", block.mlp.bias, true);
  io.flag("layer_norm_elementwise_affine", block.norm.weight, true);
  if (io.reading()) {
    Attention& attention = block.attention;
    attention.num_key_value_heads = attention.num_heads;
    attention.head_dim = attention.num_heads > 0 ? model.hidden_size / attention.num_heads : 0;
    attention.qkv_bias = attention.output_bias = block.mlp.bias;
    block.norm.bias = block.norm.weight;
    if (!before) block.norm_place = NormPlace::after_add;
    model.embedding_size = embedding != model.hidden_size ? embedding : 0;
    model.position_offset = 2;
    model.learned_positions = model.max_position_embeddings + model.position_offset;
    model.final_norm = before && !no_final_norm ? std::optional<Norm>(block.norm) : std::nullopt;
  }
  io.layers("num_hidden_layers", model, block);
}

}  // namespace

const Architecture kOpt = {
    .name = "opt",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = {},
    .hf = hf,
    .gguf = nullptr,
    .weights = kWeights,
    .hf_classifier = "OPTForSequenceClassification",
};

}  // namespace powerhouse
