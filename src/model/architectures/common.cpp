#include "model/architectures/common.h"

#include <cmath>

namespace powerhouse {

void usual_keys(HfConfig& io, ModelConfig& model, Block& block, const UsualKeys& keys) {
  io.count("vocab_size", model.vocab_size);
  io.count("hidden_size", model.hidden_size);
  io.count("intermediate_size", block.mlp.intermediate_size);
  io.count("max_position_embeddings", model.max_position_embeddings, keys.max_position_embeddings);
  io.flag("tie_word_embeddings", model.tie_word_embeddings, keys.tie_word_embeddings);
  io.activation(keys.activation_key, block.mlp.activation, keys.activation);
  io.number(keys.epsilon_key, block.norm.epsilon, keys.epsilon);
  io.heads(block.attention, model.hidden_size, keys.head_dim);
  if (keys.with_rope) io.rope(block.rope, model, block.attention.head_dim, keys.rope);
  if (keys.with_rope && !keys.partial_rotary && block.rope.rotary_dim != block.attention.head_dim) {
    throw Error(ErrorKind::unsupported, "this family turns whole heads",
                {.field = "partial_rotary_factor",
                 .expected = std::to_string(block.attention.head_dim),
                 .found = std::to_string(block.rope.rotary_dim)});
  }
  if (io.reading()) model.final_norm = block.norm;
}

void check_whole_heads(const GgufConfig& io, const ModelConfig& model) {
  for (const Block& block : model.layers) {
    if (!io.reading() || block.rope.rotary_dim >= block.attention.head_dim) continue;
    throw Error(ErrorKind::unsupported, "this family turns whole heads",
                {.field = io.key("rope.dimension_count"),
                 .expected = std::to_string(block.attention.head_dim),
                 .found = std::to_string(block.rope.rotary_dim)});
  }
}

void gpt2_keys(HfConfig& io, ModelConfig& model, Block& block, std::string_view activation) {
  Attention& attention = block.attention;
  io.count("vocab_size", model.vocab_size);
  io.count(io.either("n_embd", "hidden_size"), model.hidden_size);
  io.count(io.either("n_head", "num_attention_heads"), attention.num_heads);
  io.count(io.either("n_positions", "max_position_embeddings"), model.max_position_embeddings, 1024);
  io.count("n_inner", block.mlp.intermediate_size, 4 * model.hidden_size);
  io.activation("activation_function", block.mlp.activation, activation);
  io.number("layer_norm_epsilon", block.norm.epsilon, 1e-5);
  io.flag("tie_word_embeddings", model.tie_word_embeddings, true);
  if (!io.reading()) return;
  attention.num_key_value_heads = attention.num_heads;
  attention.head_dim = attention.num_heads > 0 ? model.hidden_size / attention.num_heads : 0;
  model.final_norm = block.norm;
  if (block.position == PositionKind::none) model.learned_positions = model.max_position_embeddings;
}

namespace {

void set_gpt2_scales(ModelConfig& model, bool by_head, bool by_layer) {
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    Attention& attention = model.layers[i].attention;
    attention.scale.reset();
    if (by_head && !by_layer) continue;
    const double whole = by_head ? 1.0 / std::sqrt(static_cast<double>(attention.head_dim)) : 1.0;
    attention.scale = static_cast<float>(by_layer ? whole / static_cast<double>(i + 1) : whole);
  }
}

}  // namespace

void gpt2_scales(HfConfig& io, ModelConfig& model) {
  bool by_head = true;
  bool by_layer = false;
  if (!io.reading()) {
    // The two flags that give the scales there are.
    for (const bool head : {true, false}) {
      for (const bool layer : {false, true}) {
        ModelConfig tried = model;
        set_gpt2_scales(tried, head, layer);
        if (tried == model) {
          by_head = head;
          by_layer = layer;
        }
      }
    }
  }
  io.flag("scale_attn_weights", by_head, true);
  io.flag("scale_attn_by_inverse_layer_idx", by_layer, false);
  if (io.reading()) set_gpt2_scales(model, by_head, by_layer);
}

void qwen_window(HfConfig& io, ModelConfig& model, WindowedLayers otherwise) {
  std::optional<std::int64_t> window = window_of(model);
  bool windowed = window.has_value();
  io.flag("use_sliding_window", windowed, false);
  if (!windowed) return;
  if (io.reading()) window = 4096;
  io.optional_or("sliding_window", window);
  const std::int64_t border = io.reading() ? io.in().integer_or("max_window_layers", 28) : 0;
  io.layer_types(model, window, [&](std::int64_t layer) {
    return otherwise == WindowedLayers::upper ? layer >= border : layer < border && layer % 2 == 0;
  });
}

namespace {

void read_ropes(HfConfig& io, ModelConfig& model, const RopeKeys& whole_keys, const RopeKeys& windowed_keys) {
  const Json& in = io.in();
  const Json* nested = in.get("rope_parameters");
  if (nested != nullptr && nested->get("full_attention") == nullptr) nested = nullptr;
  const std::int64_t head_dim = model.layers.front().attention.head_dim;
  const auto rope = [&](std::string_view kind, const Json* flat, const RopeKeys& keys) {
    return read_rope(in, nested != nullptr ? nested->get(kind) : flat, head_dim, model.max_position_embeddings, keys);
  };
  const Json* flat = in.get("rope_scaling");
  if (flat == nullptr && nested == nullptr) flat = in.get("rope_parameters");
  const Rope whole = rope("full_attention", flat, whole_keys);
  const Rope windowed = rope("sliding_attention", nullptr, windowed_keys);
  for (Block& block : model.layers) block.rope = block.attention.sliding_window ? windowed : whole;
}

void write_ropes(HfConfig& io, const ModelConfig& model) {
  JsonObject nested;
  for (const Block& block : model.layers) {
    JsonObject rope = write_rope(block.rope, block.attention.head_dim);
    if (block.attention.sliding_window) {
      nested["sliding_attention"] = std::move(rope);
    } else {
      nested["full_attention"] = std::move(rope);
    }
  }
  // A model with layers of one kind alone says the same of both.
  for (const char* kind : {"full_attention", "sliding_attention"}) {
    if (nested.find(kind) != nullptr) continue;
    Json other = nested.begin()->second;  // a copy: what nested holds moves where a key is added
    nested[kind] = std::move(other);
  }
  io.out()["rope_parameters"] = std::move(nested);
}

}  // namespace

void ropes_by_kind(HfConfig& io, ModelConfig& model, const RopeKeys& whole, const RopeKeys& windowed) {
  io.reading() ? read_ropes(io, model, whole, windowed) : write_ropes(io, model);
}

void rope_in_windows_only(ModelConfig& model) {
  for (Block& block : model.layers) {
    block.position = block.attention.sliding_window ? PositionKind::rope : PositionKind::none;
  }
}

Block sparse_block(const ModelConfig& model) {
  for (const Block& block : model.layers) {
    if (block.mlp.moe) return block;
  }
  Block block = model.layers.front();
  block.mlp.moe = Moe{};
  return block;
}

void dense_layers(HfConfig& io, ModelConfig& model) {
  if (!io.reading()) {
    Json::Array dense;
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      if (!model.layers[i].mlp.moe) dense.emplace_back(static_cast<std::int64_t>(i));
    }
    io.out()["mlp_only_layers"] = std::move(dense);
    io.out()["decoder_sparse_step"] = 1;
    return;
  }
  const std::int64_t step = io.in().integer_or("decoder_sparse_step", 1);
  if (step < 1) throw Error(ErrorKind::format, "impossible model configuration", {.field = "decoder_sparse_step"});
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const bool sparse = (static_cast<std::int64_t>(i) + 1) % step == 0;
    if (!sparse || model.layers[i].mlp.moe->num_experts == 0) model.layers[i].mlp.moe.reset();
  }
  if (const Json* listed = io.in().get("mlp_only_layers")) {
    for (const Json& index : listed->as_array("mlp_only_layers")) {
      const auto layer = static_cast<std::uint64_t>(index.as_integer("mlp_only_layers"));
      if (layer < model.layers.size()) model.layers[layer].mlp.moe.reset();
    }
  }
}

float query_scale(double query_pre_attn_scalar) { return static_cast<float>(std::pow(query_pre_attn_scalar, -0.5)); }

void gemma_scores(HfConfig& io, ModelConfig& model, Block& block, std::optional<float> attention_cap,
                  std::optional<float> final_cap) {
  double scalar = 256;
  if (!io.reading()) {
    const double scale = block.attention.scale ? static_cast<double>(*block.attention.scale)
                                               : std::pow(static_cast<double>(block.attention.head_dim), -0.5);
    scalar = std::pow(scale, -2.0);
    if (query_scale(std::round(scalar)) == static_cast<float>(scale)) scalar = std::round(scalar);
  }
  io.whole_number("query_pre_attn_scalar", scalar, 256);
  if (io.reading()) {
    block.attention.scale = query_scale(scalar);
    block.attention.softcap = attention_cap;
    model.final_softcap = final_cap;
  }
  if (attention_cap) io.optional_or("attn_logit_softcapping", block.attention.softcap);
  io.optional_or("final_logit_softcapping", model.final_softcap);
}

void gemma_embeddings(bool reading, ModelConfig& model) {
  if (!reading) return;
  model.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(model.hidden_size)));
  model.scaled_lookup = true;
}

Block olmo_block() {
  Block block;
  block.norm.round_once = true;
  block.norm_place = NormPlace::after_branch;
  block.attention.qk_norm = QkNorm{.norm = block.norm, .scope = QkNormScope::whole};
  return block;
}

void glm_keys(HfConfig& io, ModelConfig& model, const Block& block_of_family) {
  Block block = first_block(io, model, block_of_family);
  usual_keys(io, model, block,
             {.epsilon = 1.5625e-7,
              .max_position_embeddings = 131072,
              .head_dim = 128,
              .rope = {.rotary_factor = 0.5},
              .partial_rotary = true});
  io.flag("attention_bias", block.attention.qkv_bias, true);
  io.layers("num_hidden_layers", model, block);
}

}  // namespace powerhouse
