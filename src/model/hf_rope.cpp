// RoPE in config.json, with the defaults that transformers 5 (modeling_rope_utils.py) fills in.
#include <cmath>

#include "model/hf_config.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

[[noreturn]] void impossible(std::string_view field, std::string_view expected, std::string_view found) {
  throw Error(ErrorKind::format, "impossible model configuration",
              {.field = std::string(field), .expected = std::string(expected), .found = std::string(found)});
}

RopeScaling scaling_named(const std::string& type) {
  if (type == "default") return RopeScaling::none;
  if (type == "linear") return RopeScaling::linear;
  if (type == "dynamic") return RopeScaling::dynamic;
  if (type == "yarn") return RopeScaling::yarn;
  if (type == "longrope" || type == "su") return RopeScaling::longrope;  // su: what Phi-3 called it first
  if (type == "llama3") return RopeScaling::llama3;
  throw Error(ErrorKind::unsupported, "unknown kind of RoPE",
              {.field = "rope_type", .expected = "default, linear, dynamic, yarn, longrope or llama3", .found = type});
}

std::vector<float> factors(const Json& parameters, std::string_view key, std::int64_t pairs) {
  std::vector<float> out;
  for (const Json& factor : parameters.at(key).as_array(key)) out.push_back(static_cast<float>(factor.as_double(key)));
  if (static_cast<std::int64_t>(out.size()) != pairs) {
    impossible(key, std::to_string(pairs) + " factors, half of what turns of a head", std::to_string(out.size()));
  }
  return out;
}

double mscale(double factor, double scale) { return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0; }

double yarn_attention_factor(const Json& parameters, double factor) {
  const double over = parameters.double_or("mscale", 0);
  const double under = parameters.double_or("mscale_all_dim", 0);
  if (over != 0 && under != 0) return mscale(factor, over) / mscale(factor, under);
  return mscale(factor, 1);
}

double longrope_attention_factor(double factor, std::int64_t original) {
  return factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(original)));
}

void read_scaling(Rope& rope, const Json& config, const Json& parameters, std::int64_t max_position_embeddings) {
  const bool by_ratio = rope.scaling == RopeScaling::yarn || rope.scaling == RopeScaling::longrope;
  // Phi-3 keeps the original length beside rope_parameters, and there it wins.
  rope.original_max_position_embeddings = max_position_embeddings;
  if (rope.scaling != RopeScaling::dynamic) {
    rope.original_max_position_embeddings =
        config.integer_or("original_max_position_embeddings",
                          parameters.integer_or("original_max_position_embeddings", max_position_embeddings));
  }
  const std::int64_t original = rope.original_max_position_embeddings;
  if (original < 1) impossible("original_max_position_embeddings", "at least 1", std::to_string(original));
  if (by_ratio && parameters.get("factor") == nullptr) {
    rope.factor = static_cast<double>(max_position_embeddings) / static_cast<double>(original);
  } else {
    rope.factor = parameters.at("factor").as_double("factor");
  }
  if (!(rope.factor > 0)) impossible("rope_parameters", "a positive factor", std::to_string(rope.factor));
  switch (rope.scaling) {
    case RopeScaling::none:
    case RopeScaling::linear: rope.original_max_position_embeddings = 0; break;
    case RopeScaling::dynamic: break;
    case RopeScaling::yarn: {
      const double fast = parameters.double_or("beta_fast", 0);
      const double slow = parameters.double_or("beta_slow", 0);
      if (fast != 0) rope.beta_fast = fast;
      if (slow != 0) rope.beta_slow = slow;
      if (!(rope.beta_fast > 0) || !(rope.beta_slow > 0)) impossible("beta_fast", "positive numbers", "");
      rope.truncate = parameters.bool_or("truncate", true);
      rope.attention_factor = parameters.double_or("attention_factor", yarn_attention_factor(parameters, rope.factor));
      break;
    }
    case RopeScaling::longrope:
      rope.short_factor = factors(parameters, "short_factor", rope.rotary_dim / 2);
      rope.long_factor = factors(parameters, "long_factor", rope.rotary_dim / 2);
      rope.attention_factor =
          parameters.double_or("attention_factor", longrope_attention_factor(rope.factor, original));
      break;
    case RopeScaling::llama3:
      rope.low_freq_factor = parameters.at("low_freq_factor").as_double("low_freq_factor");
      rope.high_freq_factor = parameters.at("high_freq_factor").as_double("high_freq_factor");
      if (!(rope.low_freq_factor > 0) || !(rope.high_freq_factor > rope.low_freq_factor)) {
        impossible("high_freq_factor", "more than low_freq_factor, both positive",
                   std::to_string(rope.high_freq_factor));
      }
      break;
  }
}

}  // namespace

Rope read_rope(const Json& config, const Json* parameters, std::int64_t head_dim, std::int64_t max_position_embeddings,
               const RopeKeys& keys) {
  Rope rope;
  rope.theta = config.double_or(keys.theta_key, keys.theta);
  double rotary_factor = config.double_or(keys.rotary_factor_key, keys.rotary_factor);
  if (parameters != nullptr) {
    rope.theta = parameters->double_or("rope_theta", rope.theta);
    rotary_factor = parameters->double_or("partial_rotary_factor", rotary_factor);
  }
  if (!(rotary_factor > 0) || rotary_factor > 1) {
    impossible(keys.rotary_factor_key, "in (0, 1]", std::to_string(rotary_factor));
  }
  rope.rotary_dim = static_cast<std::int64_t>(static_cast<double>(head_dim) * rotary_factor);
  if (parameters != nullptr) {
    rope.scaling = scaling_named(parameters->string_or("rope_type", parameters->string_or("type", "default")));
    if (rope.scaling != RopeScaling::none) read_scaling(rope, config, *parameters, max_position_embeddings);
  }
  return rope;
}

JsonObject write_rope(const Rope& rope, std::int64_t head_dim) {
  constexpr std::string_view kTypes[] = {"default", "linear", "dynamic", "yarn", "longrope", "llama3"};
  if (!rope.frequency_factors.empty()) {
    throw Error(ErrorKind::unsupported, "config.json has no place for a table of RoPE factors that is not Llama 3's",
                {.field = "rope_freqs.weight"});
  }
  JsonObject out;
  out["rope_theta"] = rope.theta;
  out["rope_type"] = kTypes[static_cast<std::size_t>(rope.scaling)];
  if (rope.scaling != RopeScaling::none) out["factor"] = rope.factor;
  if (rope.rotary_dim != head_dim) {
    out["partial_rotary_factor"] = static_cast<double>(rope.rotary_dim) / static_cast<double>(head_dim);
  }
  if (rope.scaling == RopeScaling::yarn || rope.scaling == RopeScaling::longrope) {
    out["attention_factor"] = rope.attention_factor;
  }
  if (rope.scaling != RopeScaling::none && rope.scaling != RopeScaling::linear) {
    out["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  }
  const auto list = [](const std::vector<float>& values) {
    Json::Array array;
    for (const float value : values) array.emplace_back(shortest(value));
    return array;
  };
  switch (rope.scaling) {
    case RopeScaling::none:
    case RopeScaling::linear:
    case RopeScaling::dynamic: break;
    case RopeScaling::yarn:
      out["beta_fast"] = rope.beta_fast;
      out["beta_slow"] = rope.beta_slow;
      out["truncate"] = rope.truncate;
      break;
    case RopeScaling::longrope:
      out["short_factor"] = list(rope.short_factor);
      out["long_factor"] = list(rope.long_factor);
      break;
    case RopeScaling::llama3:
      out["low_freq_factor"] = rope.low_freq_factor;
      out["high_freq_factor"] = rope.high_freq_factor;
      break;
  }
  return out;
}

void HfConfig::rope(Rope& rope, const ModelConfig& model, std::int64_t head_dim, const RopeKeys& keys) {
  if (reading()) {
    // Where both spellings stand, transformers takes the older one, unless it is empty.
    const Json* parameters = in_->get("rope_scaling");
    if (parameters == nullptr || parameters->as_object("rope_scaling").size() == 0) {
      parameters = in_->get("rope_parameters");
      if (parameters != nullptr) parameters->as_object("rope_parameters");
    }
    const RopeLayout layout = rope.layout;
    rope = read_rope(*in_, parameters, head_dim, model.max_position_embeddings, keys);
    rope.layout = layout;
    return;
  }
  JsonObject parameters = write_rope(rope, head_dim);
  const double rotary_factor = static_cast<double>(rope.rotary_dim) / static_cast<double>(head_dim);
  const bool tell_factor = rotary_factor != keys.rotary_factor || rope.rotary_dim != head_dim;
  if (tell_factor) parameters["partial_rotary_factor"] = rotary_factor;
  out_["rope_parameters"] = parameters;
  // What transformers 4 looks for.
  out_[keys.theta_key] = rope.theta;
  if (tell_factor) out_[keys.rotary_factor_key] = rotary_factor;
  if (rope.scaling != RopeScaling::none) {
    JsonObject scaling;
    for (const auto& [key, value] : parameters) {
      if (key != "rope_theta") scaling[key] = value;
    }
    out_["rope_scaling"] = std::move(scaling);
  }
}

}  // namespace powerhouse
