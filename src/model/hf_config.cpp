#include "model/hf_config.h"

#include <array>
#include <charconv>
#include <cmath>

#include "model/config_bounds.h"
#include "model/windows.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

struct ActivationName {
  std::string_view name;
  Activation activation;
};

// The first of an activation's names is the one that is written.
constexpr ActivationName kActivations[] = {
    {"silu", Activation::silu},
    {"swish", Activation::silu},
    {"gelu", Activation::gelu},
    {"gelu_python", Activation::gelu},
    {"gelu_pytorch_tanh", Activation::gelu_tanh},
    {"gelu_new", Activation::gelu_tanh},
    {"gelu_fast", Activation::gelu_tanh},
    {"gelu_python_tanh", Activation::gelu_tanh},
    {"quick_gelu", Activation::quick_gelu},
    {"relu", Activation::relu},
    {"relu2", Activation::relu2},
};

Activation activation_named(std::string_view key, std::string_view name) {
  std::string known;
  for (const ActivationName& row : kActivations) {
    if (row.name == name) return row.activation;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw Error(ErrorKind::unsupported, "unknown activation",
              {.field = std::string(key), .expected = "one of " + known, .found = std::string(name)});
}

std::string_view name_of(Activation activation) {
  for (const ActivationName& row : kActivations) {
    if (row.activation == activation) return row.name;
  }
  return "";
}

bool same(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a.as_double() == b.as_double();
  return a.dump() == b.dump();
}

}  // namespace

double shortest(float value) {
  std::array<char, 32> buffer{};
  const auto written = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  double out = 0;
  std::from_chars(buffer.data(), written.ptr, out);
  return out;
}

void HfConfig::count(std::string_view key, std::int64_t& value, std::optional<std::int64_t> otherwise) {
  if (!reading()) {
    out_[key] = value;
    return;
  }
  const Json* found = otherwise ? in_->get(key) : &in_->at(key);
  value = checked_count(found != nullptr ? found->as_integer(key) : *otherwise, key);
}

void HfConfig::number(std::string_view key, double& value, std::optional<double> otherwise) {
  if (!reading()) {
    out_[key] = value;
    return;
  }
  const Json* found = otherwise ? in_->get(key) : &in_->at(key);
  value = found != nullptr ? found->as_double(key) : *otherwise;
}

void HfConfig::number(std::string_view key, float& value, std::optional<double> otherwise) {
  double wide = shortest(value);
  number(key, wide, otherwise);
  value = static_cast<float>(wide);
}

void HfConfig::whole_number(std::string_view key, double& value, double otherwise) {
  number(key, value, otherwise);
  if (!reading() && value == std::floor(value) && std::abs(value) < 1e9) out_[key] = static_cast<std::int64_t>(value);
}

void HfConfig::flag(std::string_view key, bool& value, bool otherwise) {
  if (reading()) {
    value = in_->bool_or(key, otherwise);
  } else {
    out_[key] = value;
  }
}

void HfConfig::activation(std::string_view key, Activation& value, std::string_view otherwise) {
  if (reading()) {
    value = activation_named(key, in_->string_or(key, otherwise));
  } else {
    out_[key] = name_of(value);
  }
}

void HfConfig::optional(std::string_view key, std::optional<std::int64_t>& value) {
  if (!reading()) {
    out_[key] = value ? Json(*value) : Json();
    return;
  }
  value.reset();
  if (const Json* found = in_->get(key)) value = checked_count(found->as_integer(key), key);
}

void HfConfig::optional(std::string_view key, std::optional<float>& value) {
  if (!reading()) {
    out_[key] = value ? Json(shortest(*value)) : Json();
    return;
  }
  value.reset();
  if (const Json* found = in_->get(key)) value = static_cast<float>(found->as_double(key));
}

void HfConfig::inverse(std::string_view key, float& value, double otherwise) {
  double file_value = reading() ? 0 : inverse_of(value);
  number(key, file_value, otherwise);
  if (reading()) value = static_cast<float>(1.0 / file_value);
}

void HfConfig::only(std::string_view key, const Json& value) {
  if (!reading()) {
    out_[key] = value;
    return;
  }
  const Json* found = in_->get(key);
  if (found == nullptr || same(*found, value)) return;
  throw Error(ErrorKind::unsupported, "not built for this family",
              {.field = std::string(key), .expected = value.dump(), .found = found->dump()});
}

void HfConfig::layers(std::string_view key, ModelConfig& model, const Block& block) {
  auto layers = static_cast<std::int64_t>(model.layers.size());
  count(key, layers);
  check_layer_count(layers, key);
  if (reading()) model.layers.assign(static_cast<std::size_t>(layers), block);
}

void HfConfig::heads(Attention& attention, std::int64_t hidden_size, std::optional<std::int64_t> head_dim) {
  count("num_attention_heads", attention.num_heads);
  count("num_key_value_heads", attention.num_key_value_heads, attention.num_heads);
  count("head_dim", attention.head_dim,
        head_dim                  ? *head_dim
        : attention.num_heads > 0 ? hidden_size / attention.num_heads
                                  : 0);
}

void HfConfig::layer_types(ModelConfig& model, std::optional<std::int64_t> window,
                           const std::function<bool(std::int64_t layer)>& otherwise) {
  constexpr std::string_view kSliding = "sliding_attention";
  constexpr std::string_view kFull = "full_attention";
  if (!reading()) {
    Json::Array types;
    for (const Block& block : model.layers) types.emplace_back(block.attention.sliding_window ? kSliding : kFull);
    out_["layer_types"] = std::move(types);
    return;
  }
  const Json* types = in_->get("layer_types");
  check_per_layer(types, "layer_types", model);
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    bool sliding = otherwise(static_cast<std::int64_t>(i));
    if (types != nullptr) {
      const std::string& type = types->as_array()[i].as_string("layer_types");
      if (type != kSliding && type != kFull) {
        throw Error(ErrorKind::unsupported, "unknown kind of layer",
                    {.field = "layer_types", .expected = "full_attention or sliding_attention", .found = type});
      }
      sliding = type == kSliding;
    }
    model.layers[i].attention.sliding_window = sliding ? window : std::nullopt;
  }
}

void HfConfig::windows(ModelConfig& model, std::int64_t pattern, std::string_view pattern_key) {
  std::optional<std::int64_t> window = reading() ? std::optional<std::int64_t>(4096) : window_of(model);
  optional_or("sliding_window", window);
  if (reading() && !pattern_key.empty()) pattern = in_->integer_or(pattern_key, pattern);
  layer_types(model, window, [&](std::int64_t layer) { return is_windowed(layer, pattern); });
}

void check_per_layer(const Json* list, std::string_view key, const ModelConfig& model) {
  if (list == nullptr || list->as_array(key).size() == model.layers.size()) return;
  throw Error(ErrorKind::format, "wrong number of values",
              {.field = std::string(key),
               .expected = std::to_string(model.layers.size()) + ", one a layer",
               .found = std::to_string(list->as_array().size())});
}

double inverse_of(float value) {
  const double inverse = 1.0 / static_cast<double>(value);
  const double round = std::round(inverse * 1e4) / 1e4;
  return static_cast<float>(1.0 / round) == value ? round : inverse;
}

void read_special_ids(const Json& config, ModelConfig& model) {
  if (const Json* id = config.get("bos_token_id")) {
    // A list of BOS ids occurs in the wild; none can be singled out.
    if (id->is_number()) model.bos_token_id = id->as_integer("bos_token_id");
  }
  if (const Json* id = config.get("eos_token_id")) {
    model.eos_token_ids.clear();
    if (id->is_array()) {
      for (const Json& element : id->as_array()) model.eos_token_ids.push_back(element.as_integer("eos_token_id"));
    } else {
      model.eos_token_ids.push_back(id->as_integer("eos_token_id"));
    }
  }
}

}  // namespace powerhouse
