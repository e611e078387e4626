#include "model/architectures/common.h"

#include <string>

#include "kernels/reference/dequantize.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kLargestCount = std::int64_t{1} << 31;
constexpr std::int64_t kMostLayers = 4096;

[[noreturn]] void unsupported(std::string_view field, std::string_view expected, std::string_view found) {
  throw Error(ErrorKind::unsupported, "not built",
              {.field = std::string(field), .expected = std::string(expected), .found = std::string(found)});
}

std::int64_t checked_count(std::int64_t value, std::string_view field) {
  if (value < 0 || value >= kLargestCount) {
    throw Error(ErrorKind::format, "impossible model configuration",
                {.field = std::string(field), .expected = "0 to 2^31", .found = std::to_string(value)});
  }
  return value;
}

}  // namespace

std::int64_t read_count(const Json& config, std::string_view key) {
  return checked_count(config.at(key).as_integer(key), key);
}

std::int64_t read_count_or(const Json& config, std::string_view key, std::int64_t otherwise) {
  return checked_count(config.integer_or(key, otherwise), key);
}

Rope read_rope(const Json& config, std::int64_t head_dim, double default_theta) {
  Rope rope;
  rope.theta = config.double_or("rope_theta", default_theta);
  double rotary_factor = config.double_or("partial_rotary_factor", 1.0);
  // Where both spellings stand, transformers takes the older one, unless it is empty.
  std::string_view field = "rope_scaling";
  const Json* parameters = config.get(field);
  if (parameters == nullptr || parameters->as_object(field).size() == 0) {
    field = "rope_parameters";
    parameters = config.get(field);
  }
  if (parameters != nullptr) {
    parameters->as_object(field);
    rope.theta = parameters->double_or("rope_theta", rope.theta);
    rotary_factor = parameters->double_or("partial_rotary_factor", rotary_factor);
    const std::string type = parameters->string_or("rope_type", parameters->string_or("type", "default"));
    if (type == "linear") {
      rope.scaling = RopeScaling::linear;
      rope.factor = parameters->at("factor").as_double("factor");
    } else if (type == "llama3") {
      rope.scaling = RopeScaling::llama3;
      rope.factor = parameters->at("factor").as_double("factor");
      rope.low_freq_factor = parameters->at("low_freq_factor").as_double("low_freq_factor");
      rope.high_freq_factor = parameters->at("high_freq_factor").as_double("high_freq_factor");
      rope.original_max_position_embeddings = parameters->get("original_max_position_embeddings")
                                                  ? read_count(*parameters, "original_max_position_embeddings")
                                                  : read_count(config, "max_position_embeddings");
      if (!(rope.low_freq_factor > 0) || !(rope.high_freq_factor > rope.low_freq_factor)) {
        throw Error(ErrorKind::format, "impossible model configuration",
                    {.field = "high_freq_factor", .expected = "more than low_freq_factor, both positive"});
      }
    } else if (type != "default") {
      unsupported("rope_type", "default, linear or llama3", type);
    }
  }
  if (!(rotary_factor > 0) || rotary_factor > 1) {
    throw Error(ErrorKind::format, "impossible model configuration",
                {.field = "partial_rotary_factor", .expected = "in (0, 1]", .found = std::to_string(rotary_factor)});
  }
  rope.rotary_dim = static_cast<std::int64_t>(static_cast<double>(head_dim) * rotary_factor);
  return rope;
}

Json write_rope(const Rope& rope, std::int64_t head_dim) {
  JsonObject out;
  out["rope_theta"] = rope.theta;
  switch (rope.scaling) {
    case RopeScaling::none: out["rope_type"] = "default"; break;
    case RopeScaling::linear: out["rope_type"] = "linear"; break;
    case RopeScaling::llama3:
      out["rope_type"] = "llama3";
      out["low_freq_factor"] = rope.low_freq_factor;
      out["high_freq_factor"] = rope.high_freq_factor;
      out["original_max_position_embeddings"] = rope.original_max_position_embeddings;
      break;
  }
  if (rope.scaling != RopeScaling::none) out["factor"] = rope.factor;
  if (rope.rotary_dim != head_dim) {
    out["partial_rotary_factor"] = static_cast<double>(rope.rotary_dim) / static_cast<double>(head_dim);
  }
  if (!rope.frequency_factors.empty()) {
    throw Error(ErrorKind::unsupported, "config.json has no place for a GGUF file's table of RoPE factors",
                {.field = "rope_freqs.weight"});
  }
  return out;
}

Activation read_activation(const Json& config, std::string_view key) {
  const std::string name = config.string_or(key, "silu");
  if (name == "silu" || name == "swish") return Activation::silu;
  unsupported(key, "silu", name);
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

std::vector<std::int64_t> read_per_layer(const GgufFile& file, std::string_view key, std::int64_t layers) {
  auto values = file.integers(key);
  if (!values) throw Error(ErrorKind::format, "missing key", {.file = file.path(), .field = std::string(key)});
  const auto wanted = static_cast<std::size_t>(layers);
  if (file.array(key) == nullptr && values->size() == 1) values->assign(wanted, values->front());
  if (values->size() != wanted) {
    throw Error(ErrorKind::format, "wrong number of values",
                {.file = file.path(),
                 .field = std::string(key),
                 .expected = std::to_string(layers) + ", one a layer",
                 .found = std::to_string(values->size())});
  }
  for (const std::int64_t value : *values) checked_count(value, key);
  return *values;
}

Rope read_gguf_rope(const GgufFile& file, std::string_view architecture, std::int64_t head_dim) {
  const std::string prefix = std::string(architecture) + ".rope.";
  Rope rope;
  rope.theta = file.number(prefix + "freq_base").value_or(10000.0);
  rope.rotary_dim = file.integer(prefix + "dimension_count").value_or(head_dim);
  if (const auto type = file.string(prefix + "scaling.type"); type && *type != "none") {
    if (*type != "linear") unsupported(prefix + "scaling.type", "none or linear", *type);
    rope.scaling = RopeScaling::linear;
    rope.factor = file.require_number(prefix + "scaling.factor");
  } else if (const auto scale = file.number(prefix + "scale_linear"); scale && *scale != 1.0 && *scale != 0.0) {
    rope.scaling = RopeScaling::linear;  // the older spelling
    rope.factor = *scale;
  }
  if (const TensorView* factors = file.find_tensor("rope_freqs.weight")) {
    if (factors->format != BlockFormat::f32 || factors->elements() != rope.rotary_dim / 2) {
      throw Error(
          ErrorKind::format, "wrong tensor",
          {.file = file.path(),
           .field = factors->name,
           .expected = "F32 [" + std::to_string(rope.rotary_dim / 2) + "]",
           .found = std::string(block_info(factors->format).name) + " [" + std::to_string(factors->elements()) + "]"});
    }
    rope.frequency_factors.resize(static_cast<std::size_t>(factors->elements()));
    dequantize_row(factors->format, factors->data, rope.frequency_factors.data(), factors->elements());
    for (const float factor : rope.frequency_factors) {
      if (!(factor > 0)) {
        throw Error(ErrorKind::format, "RoPE factors must be positive", {.file = file.path(), .field = factors->name});
      }
    }
  }
  return rope;
}

ModelConfig read_gguf_common(const GgufFile& file, std::string_view architecture) {
  const std::string prefix = std::string(architecture) + ".";
  ModelConfig model;
  model.architecture = architecture;
  const auto count = [&](const std::string& key) { return checked_count(file.require_integer(key), key); };
  const std::int64_t layers = count(prefix + "block_count");
  if (layers > kMostLayers) {
    throw Error(ErrorKind::format, "impossible model configuration",
                {.file = file.path(),
                 .field = prefix + "block_count",
                 .expected = "at most " + std::to_string(kMostLayers),
                 .found = std::to_string(layers)});
  }
  model.layers.resize(static_cast<std::size_t>(layers));
  model.hidden_size = count(prefix + "embedding_length");
  model.max_position_embeddings = count(prefix + "context_length");
  model.final_norm.epsilon = static_cast<float>(file.require_number(prefix + "attention.layer_norm_rms_epsilon"));

  // The vocabulary's size is written in a key, or is the tokenizer's, or shows in the embedding matrix alone.
  if (const auto size = file.integer(prefix + "vocab_size")) {
    model.vocab_size = checked_count(*size, prefix + "vocab_size");
  } else if (const auto* tokens = file.array("tokenizer.ggml.tokens")) {
    model.vocab_size = static_cast<std::int64_t>(tokens->count);
  }
  if (const TensorView* embedding = file.find_tensor("token_embd.weight"); embedding && embedding->shape.size() == 2) {
    model.vocab_size = embedding->shape[0];
  }
  if (const auto id = file.integer("tokenizer.ggml.bos_token_id")) model.bos_token_id = *id;
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    if (const auto id = file.integer(key)) model.eos_token_ids.push_back(*id);
  }
  return model;
}

}  // namespace powerhouse
