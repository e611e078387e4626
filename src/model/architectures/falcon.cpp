// Falcon (Almazrouei et al. 2023) in its three wirings: 7B (one key-value head, one norm for both branches), 40B and
// 180B (grouped heads, a norm for each branch or one), RW (ALiBi, one branch after the other).
#include "model/architectures/common.h"
#include "model/architectures/families.h"

namespace powerhouse {
namespace {

constexpr std::string_view kHfNames[] = {"FalconForCausalLM", "RWForCausalLM"};
constexpr std::string_view kModelTypes[] = {"falcon", "RefinedWeb", "RefinedWebModel"};
constexpr std::string_view kGgufNames[] = {"falcon"};

bool has_two_norms(const Block& block) { return block.residual == Residual::parallel; }
bool has_one_norm(const Block& block) { return !has_two_norms(block); }

constexpr WeightName kWeights[] = {
    {Role::embed_tokens, "transformer.word_embeddings"},
    {.role = Role::attention_norm, .hf_name = "transformer.h.{}.input_layernorm", .applies = has_one_norm},
    {.role = Role::attention_norm,
     .hf_name = "transformer.h.{}.ln_attn",
     .gguf_name = "blk.{}.attn_norm_2",
     .applies = has_two_norms},
    {Role::qkv_proj, "transformer.h.{}.self_attention.query_key_value", GgufRows::concatenated},
    {Role::o_proj, "transformer.h.{}.self_attention.dense"},
    {.role = Role::mlp_norm, .hf_name = "transformer.h.{}.post_attention_layernorm", .applies = has_one_norm},
    {.role = Role::mlp_norm,
     .hf_name = "transformer.h.{}.ln_mlp",
     .gguf_name = "blk.{}.attn_norm",
     .applies = has_two_norms},
    {Role::up_proj, "transformer.h.{}.mlp.dense_h_to_4h"},
    {Role::down_proj, "transformer.h.{}.mlp.dense_4h_to_h"},
    {Role::final_norm, "transformer.ln_f"},
    {Role::lm_head, "lm_head"},
};

// transformers' eager attention, which defines the figures here, adds ALiBi to the scores and again to the mask. Its
// sdpa path adds it once.
const Block kBlock{.norm = {.kind = NormKind::layer_norm, .epsilon = 1e-5f, .bias = true},
                   .alibi = {.scaled = true, .multiplier = 2.0f, .bf16_rounding = true},
                   .mlp = {.activation = Activation::gelu, .gated = false}};

struct Wiring {
  bool new_decoder_architecture = false, multi_query = true, parallel_attn = true, alibi = false;
  std::int64_t norms = 1;
};

Wiring wiring_of(const Block& block) {
  return {.new_decoder_architecture = block.attention.qkv == QkvLayout::grouped,
          .multi_query = block.attention.qkv == QkvLayout::concatenated,
          .parallel_attn = block.residual != Residual::sequential,
          .alibi = block.position == PositionKind::alibi,
          .norms = block.residual == Residual::parallel ? 2 : 1};
}

void apply(const Wiring& wiring, Block& block) {
  block.attention.qkv = wiring.new_decoder_architecture ? QkvLayout::grouped
                        : wiring.multi_query            ? QkvLayout::concatenated
                                                        : QkvLayout::per_head;
  if (!wiring.new_decoder_architecture) {
    block.attention.num_key_value_heads = wiring.multi_query ? 1 : block.attention.num_heads;
    block.residual = wiring.parallel_attn ? Residual::parallel_shared_norm : Residual::sequential;
  } else {
    block.residual = wiring.norms == 2 ? Residual::parallel : Residual::parallel_shared_norm;
  }
  block.position = wiring.alibi ? PositionKind::alibi : PositionKind::rope;
}

void hf(HfConfig& io, ModelConfig& model) {
  Block block = first_block(io, model, kBlock);
  Attention& attention = block.attention;
  Wiring wiring = wiring_of(block);
  io.count("vocab_size", model.vocab_size);
  io.count("hidden_size", model.hidden_size);
  io.count(io.either("num_attention_heads", "n_head"), attention.num_heads);
  io.count(io.either("num_kv_heads", "n_head_kv"), attention.num_key_value_heads, attention.num_heads);
  io.count("max_position_embeddings", model.max_position_embeddings, 2048);
  io.count("ffn_hidden_size", block.mlp.intermediate_size, 4 * model.hidden_size);
  io.number("layer_norm_epsilon", block.norm.epsilon, 1e-5);
  io.activation("activation", block.mlp.activation, "gelu");
  io.flag("tie_word_embeddings", model.tie_word_embeddings, true);
  io.flag("bias", block.mlp.bias, false);
  io.flag("new_decoder_architecture", wiring.new_decoder_architecture, false);
  io.flag("multi_query", wiring.multi_query, true);
  io.flag("parallel_attn", wiring.parallel_attn, true);
  io.flag("alibi", wiring.alibi, false);
  io.count("num_ln_in_parallel_attn", wiring.norms, wiring.new_decoder_architecture ? 2 : 1);
  if (io.reading()) {
    if (wiring.new_decoder_architecture && wiring.norms != 2 && !wiring.parallel_attn) {
      throw Error(ErrorKind::unsupported, "not built for this family", {.field = "parallel_attn", .expected = "true"});
    }
    attention.head_dim = attention.num_heads > 0 ? model.hidden_size / attention.num_heads : 0;
    attention.qkv_bias = attention.output_bias = block.mlp.bias;
    apply(wiring, block);
    model.final_norm = block.norm;
  }
  if (!wiring.alibi) io.rope(block.rope, model, attention.head_dim);
  io.layers(io.either("num_hidden_layers", "n_layer"), model, block);
}

void gguf(GgufConfig& io, ModelConfig& model) {
  if (!io.reading()) {
    const Wiring wiring = wiring_of(model.layers.front());
    GgufConfig::refuse_unless(!wiring.alibi, "alibi");
    GgufConfig::refuse_unless(wiring.parallel_attn, "parallel_attn");
    io.usual(model, kBlock);
    return;
  }
  io.usual(model, kBlock);
  // As llama.cpp tells the wirings apart; one key-value head is the older decoder's.
  const bool two_norms = io.has_tensor("blk.0.attn_norm_2.weight");
  for (Block& block : model.layers) {
    const bool grouped = two_norms || block.attention.num_key_value_heads > 1;
    apply({.new_decoder_architecture = grouped, .norms = two_norms ? 2 : 1}, block);
  }
}

}  // namespace

const Architecture kFalcon = {
    .name = "falcon",
    .hf_names = kHfNames,
    .hf_model_types = kModelTypes,
    .gguf_names = kGgufNames,
    .hf = hf,
    .gguf = gguf,
    .weights = kWeights,
    .graph = {.qkv_bias = Demand::no, .output_bias = Demand::no, .mlp_bias = Demand::no},
    .hf_classifier = "FalconForSequenceClassification",
};

}  // namespace powerhouse
