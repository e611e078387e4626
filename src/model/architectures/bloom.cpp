// BLOOM (BigScience 2022): ALiBi, a LayerNorm behind the embeddings, query, key and value head by head.
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"BloomForCausalLM"};
constexpr std::string_view kModelTypes[] = {"bloom"};
constexpr std::string_view kGgufNames[] = {"bloom"};

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "transformer.word_embeddings"},
    {Role::embedding_norm, "transformer.word_embeddings_layernorm"},
    {Role::attention_norm, "transformer.h.{}.input_layernorm"},
    {Role::qkv_proj, "transformer.h.{}.self_attention.query_key_value", GgufRows::concatenated},
    {Role::o_proj, "transformer.h.{}.self_attention.dense"},
    {Role::mlp_norm, "transformer.h.{}.post_attention_layernorm"},
    {Role::up_proj, "transformer.h.{}.mlp.dense_h_to_4h"},
    {Role::down_proj, "transformer.h.{}.mlp.dense_4h_to_h"},
    {Role::final_norm, "transformer.ln_f"},
    {Role::lm_head, "lm_head"},
};

const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f, .bias = true},
                   .position = PositionKind::alibi,
                   .attention = {.qkv = QkvLayout::per_head, .qkv_bias = true, .output_bias = true},
                   .mlp = {.activation = Activation::gelu_tanh, .gated = false, .bias = true}};

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  Attention& attention = block.attention;
  io.count("vocab_size", model.vocab_size);
  // The first checkpoints say n_embed, num_attention_heads, num_hidden_layers; transformers takes either.
  io.count(io.either("hidden_size", "n_embed"), model.hidden_size);
  io.count(io.either("n_head", "num_attention_heads"), attention.num_heads);
  io.count("seq_length", model.max_position_embeddings, 2048);
  io.number("layer_norm_epsilon", block.norm.epsilon, 1e-5);
  io.flag("apply_residual_connection_post_layernorm", block.residual_from_norm, false);
  io.flag("tie_word_embeddings", model.tie_word_embeddings, true);
  if (io.reading()) {
    attention.num_key_value_heads = attention.num_heads;
    attention.head_dim = attention.num_heads > 0 ? model.hidden_size / attention.num_heads : 0;
    block.mlp.intermediate_size = 4 * model.hidden_size;
    model.final_norm = model.embedding_norm = block.norm;
  }
  io.layers(io.either("n_layer", "num_hidden_layers"), model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  io.usual(model, kBlock);
  if (io.reading()) model.embedding_norm = model.final_norm;
}

}  // namespace

const Architecture kBloom = {
    .name = "bloom",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .hf_classifier = "BloomForSequenceClassification",
};

}  // namespace powerhouse
