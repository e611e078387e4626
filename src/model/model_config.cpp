// ModelConfig as text and as JSON.
#include "powerhouse/model_config.h"

#include <algorithm>
#include <array>
#include <limits>

#include "model/hf_config.h"
#include "support/json.h"

namespace powerhouse {
namespace {

template <typename Enum, std::size_t N>
std::string_view pick(Enum value, const std::array<std::string_view, N>& names) {
  return names[static_cast<std::size_t>(value)];
}

std::string_view name(NormKind kind) { return pick(kind, std::to_array<std::string_view>({"rms_norm", "layer_norm"})); }
std::string_view name(NormPlace place) {
  return pick(place, std::to_array<std::string_view>({"before", "around", "after_branch", "after_add"}));
}
std::string_view name(Residual residual) {
  return pick(residual, std::to_array<std::string_view>({"sequential", "parallel", "parallel_shared_norm"}));
}
std::string_view name(RopeScaling scaling) {
  return pick(scaling, std::to_array<std::string_view>({"none", "linear", "dynamic", "yarn", "longrope", "llama3"}));
}
std::string_view name(RopeLayout layout) {
  return pick(layout, std::to_array<std::string_view>({"half", "interleaved"}));
}
std::string_view name(PositionKind kind) {
  return pick(kind, std::to_array<std::string_view>({"none", "rope", "alibi"}));
}
std::string_view name(QkvLayout layout) {
  return pick(layout, std::to_array<std::string_view>({"separate", "concatenated", "per_head", "grouped"}));
}
std::string_view name(QkNormScope scope) {
  return pick(scope, std::to_array<std::string_view>({"head", "each_head", "whole"}));
}
std::string_view name(Activation activation) {
  return pick(activation,
              std::to_array<std::string_view>({"silu", "gelu", "gelu_tanh", "quick_gelu", "relu", "relu2"}));
}

Json to_value(const Norm& norm) {
  JsonObject out;
  out["kind"] = name(norm.kind);
  out["epsilon"] = shortest(norm.epsilon);
  if (!norm.weight) out["weight"] = false;
  if (norm.bias) out["bias"] = true;
  if (norm.unit_offset) out["unit_offset"] = true;
  return out;
}

Json list(const std::vector<float>& values) {
  Json::Array out;
  for (const float value : values) out.emplace_back(shortest(value));
  return out;
}

Json to_value(const Rope& rope) {
  JsonObject out;
  out["layout"] = name(rope.layout);
  out["theta"] = rope.theta;
  out["rotary_dim"] = rope.rotary_dim;
  out["scaling"] = name(rope.scaling);
  if (rope.scaling != RopeScaling::none) out["factor"] = rope.factor;
  if (rope.scaling == RopeScaling::llama3) {
    out["low_freq_factor"] = rope.low_freq_factor;
    out["high_freq_factor"] = rope.high_freq_factor;
  }
  if (rope.scaling == RopeScaling::yarn) {
    out["beta_fast"] = rope.beta_fast;
    out["beta_slow"] = rope.beta_slow;
    out["truncate"] = rope.truncate;
  }
  if (rope.attention_factor != 1.0) out["attention_factor"] = rope.attention_factor;
  if (rope.original_max_position_embeddings > 0) {
    out["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  }
  if (!rope.short_factor.empty()) out["short_factor"] = list(rope.short_factor);
  if (!rope.long_factor.empty()) out["long_factor"] = list(rope.long_factor);
  if (!rope.frequency_factors.empty()) out["frequency_factors"] = list(rope.frequency_factors);
  return out;
}

Json to_value(const Attention& choice) {
  JsonObject out;
  out["num_heads"] = choice.num_heads;
  out["num_key_value_heads"] = choice.num_key_value_heads;
  out["head_dim"] = choice.head_dim;
  out["qkv"] = name(choice.qkv);
  out["qkv_bias"] = choice.qkv_bias;
  out["output_bias"] = choice.output_bias;
  if (choice.sinks) out["sinks"] = true;
  if (choice.qk_norm) {
    JsonObject norm;
    norm["scope"] = name(choice.qk_norm->scope);
    norm["norm"] = to_value(choice.qk_norm->norm);
    if (choice.qk_norm->after_rope) norm["after_rope"] = true;
    out["qk_norm"] = std::move(norm);
  }
  if (choice.sliding_window) out["sliding_window"] = *choice.sliding_window;
  if (choice.scale) out["scale"] = shortest(*choice.scale);
  if (choice.softcap) out["softcap"] = shortest(*choice.softcap);
  if (choice.clip_qkv) out["clip_qkv"] = shortest(*choice.clip_qkv);
  return out;
}

Json to_value(const Mlp& choice) {
  JsonObject out;
  out["intermediate_size"] = choice.intermediate_size;
  out["activation"] = name(choice.activation);
  out["gated"] = choice.gated;
  if (choice.fused_gate_up) out["fused_gate_up"] = true;
  out["bias"] = choice.bias;
  if (choice.moe) {
    JsonObject moe;
    moe["num_experts"] = choice.moe->num_experts;
    moe["num_experts_per_tok"] = choice.moe->num_experts_per_tok;
    moe["intermediate_size"] = choice.moe->intermediate_size;
    moe["norm_topk_prob"] = choice.moe->norm_topk_prob;
    if (choice.moe->shared_intermediate_size > 0)
      moe["shared_intermediate_size"] = choice.moe->shared_intermediate_size;
    if (choice.moe->bias) moe["bias"] = true;
    if (choice.moe->interleaved_gate_up) moe["interleaved_gate_up"] = true;
    if (choice.moe->clamp) moe["clamp"] = shortest(*choice.moe->clamp);
    if (choice.moe->up_offset != 0.0f) moe["up_offset"] = shortest(choice.moe->up_offset);
    out["moe"] = std::move(moe);
  }
  return out;
}

Json to_value(const Block& block) {
  JsonObject out;
  out["norm"] = to_value(block.norm);
  out["norm_place"] = name(block.norm_place);
  out["residual"] = name(block.residual);
  if (block.residual_from_norm) out["residual_from_norm"] = true;
  if (block.residual_multiplier != 1.0f) out["residual_multiplier"] = shortest(block.residual_multiplier);
  out["position"] = name(block.position);
  if (block.position == PositionKind::rope) out["rope"] = to_value(block.rope);
  if (block.position == PositionKind::alibi) {
    JsonObject alibi;
    alibi["bias_max"] = shortest(block.alibi.bias_max);
    if (block.alibi.scaled) alibi["scaled"] = true;
    if (block.alibi.multiplier != 1.0f) alibi["multiplier"] = shortest(block.alibi.multiplier);
    if (block.alibi.bf16_rounding) alibi["bf16_rounding"] = true;
    out["alibi"] = std::move(alibi);
  }
  out["attention"] = to_value(block.attention);
  out["mlp"] = to_value(block.mlp);
  return out;
}

Json to_value(const ModelConfig& config, bool with_layers) {
  JsonObject out;
  out["architecture"] = config.architecture;
  out["vocab_size"] = config.vocab_size;
  out["hidden_size"] = config.hidden_size;
  out["num_hidden_layers"] = static_cast<std::int64_t>(config.layers.size());
  out["max_position_embeddings"] = config.max_position_embeddings;
  out["tie_word_embeddings"] = config.tie_word_embeddings;
  if (config.embedding_size > 0) out["embedding_size"] = config.embedding_size;
  if (config.embedding_scale != 1.0f) out["embedding_scale"] = shortest(config.embedding_scale);
  if (config.scaled_lookup) out["scaled_lookup"] = true;
  if (config.learned_positions > 0) {
    out["learned_positions"] = config.learned_positions;
    out["position_offset"] = config.position_offset;
  }
  if (config.embedding_norm) out["embedding_norm"] = to_value(*config.embedding_norm);
  out["final_norm"] = config.final_norm ? to_value(*config.final_norm) : Json();
  if (config.lm_head_bias) out["lm_head_bias"] = true;
  if (config.logit_scale != 1.0f) out["logit_scale"] = shortest(config.logit_scale);
  if (config.final_softcap) out["final_softcap"] = shortest(*config.final_softcap);
  out["bos_token_id"] = config.bos_token_id ? Json(*config.bos_token_id) : Json();
  Json::Array eos;
  for (const std::int64_t id : config.eos_token_ids) eos.emplace_back(id);
  out["eos_token_ids"] = std::move(eos);
  if (with_layers) {
    Json::Array layers;
    for (const Block& block : config.layers) layers.push_back(to_value(block));
    out["layers"] = std::move(layers);
  }
  return out;
}

// "key: value" lines of an object; inner objects one level deeper.
void append_lines(std::string& out, const Json& object, const std::string& indent) {
  for (const auto& [key, value] : object.as_object()) {
    out += indent + key + ":";
    if (value.is_object()) {
      out += "\n";
      append_lines(out, value, indent + "  ");
    } else {
      out += " " + (value.is_string() ? value.as_string() : value.dump()) + "\n";
    }
  }
}

}  // namespace

std::string to_string(const ModelConfig& config) {
  std::string out;
  append_lines(out, to_value(config, false), "");
  for (std::size_t first = 0; first < config.layers.size();) {
    std::size_t last = first;
    while (last + 1 < config.layers.size() && config.layers[last + 1] == config.layers[first]) ++last;
    out += last == first ? "layer " + std::to_string(first)
                         : "layers " + std::to_string(first) + " to " + std::to_string(last);
    out += ":\n";
    append_lines(out, to_value(config.layers[first]), "  ");
    first = last + 1;
  }
  return out;
}

std::int64_t longest_sequence(const ModelConfig& config) {
  constexpr double kLongest = 1LL << 62;  // what a factor gives beyond it is no length
  if (config.learned_positions > 0) return config.max_position_embeddings;
  std::int64_t longest = std::numeric_limits<std::int64_t>::max();
  for (const Block& block : config.layers) {
    if (block.position != PositionKind::rope) continue;
    const Rope& rope = block.rope;
    std::int64_t here = config.max_position_embeddings;
    const bool stretched = rope.scaling == RopeScaling::linear || rope.scaling == RopeScaling::dynamic;
    if (stretched && rope.factor > 1)
      here = static_cast<std::int64_t>(std::min(static_cast<double>(here) * rope.factor, kLongest));
    longest = std::min(longest, here);
  }
  return longest;
}

std::string to_json(const ModelConfig& config) { return to_value(config, true).dump(); }

}  // namespace powerhouse
