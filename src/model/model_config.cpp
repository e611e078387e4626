// ModelConfig as text and as JSON.
#include "powerhouse/model_config.h"

#include <charconv>

#include "support/json.h"

namespace powerhouse {
namespace {

std::string_view name(NormKind) { return "rms_norm"; }
std::string_view name(Activation) { return "silu"; }
std::string_view name(RopeLayout layout) { return layout == RopeLayout::half ? "half" : "interleaved"; }
std::string_view name(RopeScaling scaling) {
  switch (scaling) {
    case RopeScaling::none: return "none";
    case RopeScaling::linear: return "linear";
    case RopeScaling::llama3: return "llama3";
  }
  return "";
}

// A float's shortest decimal, so that 1e-5f does not print as 9.999999747378752e-06.
double shortest(float value) {
  char buffer[32];
  const auto written = std::to_chars(buffer, buffer + sizeof buffer, value);
  double out = 0;
  std::from_chars(buffer, written.ptr, out);
  return out;
}

Json to_value(const Norm& norm) {
  JsonObject out;
  out["kind"] = std::string(name(norm.kind));
  out["epsilon"] = shortest(norm.epsilon);
  return out;
}

Json to_value(const Rope& rope) {
  JsonObject out;
  out["layout"] = std::string(name(rope.layout));
  out["theta"] = rope.theta;
  out["rotary_dim"] = rope.rotary_dim;
  out["scaling"] = std::string(name(rope.scaling));
  if (rope.scaling != RopeScaling::none) out["factor"] = rope.factor;
  if (rope.scaling == RopeScaling::llama3) {
    out["low_freq_factor"] = rope.low_freq_factor;
    out["high_freq_factor"] = rope.high_freq_factor;
    out["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  }
  if (!rope.frequency_factors.empty()) {
    Json::Array factors;
    for (const float factor : rope.frequency_factors) factors.emplace_back(shortest(factor));
    out["frequency_factors"] = std::move(factors);
  }
  return out;
}

Json to_value(const Block& block) {
  JsonObject attention;
  attention["num_heads"] = block.attention.num_heads;
  attention["num_key_value_heads"] = block.attention.num_key_value_heads;
  attention["head_dim"] = block.attention.head_dim;
  attention["qkv_bias"] = block.attention.qkv_bias;
  attention["output_bias"] = block.attention.output_bias;
  JsonObject mlp;
  mlp["intermediate_size"] = block.mlp.intermediate_size;
  mlp["activation"] = std::string(name(block.mlp.activation));
  mlp["gated"] = block.mlp.gated;
  mlp["bias"] = block.mlp.bias;
  JsonObject out;
  out["norm"] = to_value(block.norm);
  out["rope"] = to_value(block.rope);
  out["attention"] = std::move(attention);
  out["mlp"] = std::move(mlp);
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
  out["final_norm"] = to_value(config.final_norm);
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

std::string to_json(const ModelConfig& config) { return to_value(config, true).dump(); }

}  // namespace powerhouse
