// RoPE in GGUF: {arch}.rope.*, and the tensors of factors, as llama.cpp reads them.
#include <cmath>

#include "kernels/reference/dequantize.h"
#include "model/gguf_config.h"
#include "model/llama3_factors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// llama.cpp multiplies what the key says by this for YaRN.
double yarn_magnitude(double factor) { return factor <= 1 ? 1.0 : 0.1 * std::log(factor) + 1.0; }

}  // namespace

std::vector<float> GgufConfig::factors(std::string_view name, std::int64_t pairs) const {
  const TensorView* found = in_->find_tensor(name);
  if (found == nullptr) return {};
  if (found->format != BlockFormat::f32 || found->elements() != pairs) {
    throw Error(
        ErrorKind::format, "wrong tensor",
        {.file = in_->path(),
         .field = found->name,
         .expected = "F32 [" + std::to_string(pairs) + "]",
         .found = std::string(block_info(found->format).name) + " [" + std::to_string(found->elements()) + "]"});
  }
  std::vector<float> values(static_cast<std::size_t>(found->elements()));
  dequantize_row(found->format, found->data, values.data(), found->elements());
  for (const float factor : values) {
    if (factor > 0) continue;
    throw Error(ErrorKind::format, "RoPE factors must be positive", {.file = in_->path(), .field = found->name});
  }
  return values;
}

Rope GgufConfig::read_rope(const ModelConfig& model, std::int64_t head_dim) const {
  const auto key = [&](const char* suffix) { return prefix_ + "rope." + suffix; };
  Rope rope;
  rope.theta = number_or("rope.freq_base", 10000.0);
  rope.rotary_dim = in_->integer(key("dimension_count")).value_or(head_dim);
  const std::int64_t pairs = rope.rotary_dim / 2;
  const std::int64_t original =
      in_->integer(key("scaling.original_context_length")).value_or(model.max_position_embeddings);
  const std::string type(in_->string(key("scaling.type")).value_or("none"));
  rope.frequency_factors = factors("rope_freqs.weight", pairs);
  rope.short_factor = factors("rope_factors_short.weight", pairs);
  rope.long_factor = factors("rope_factors_long.weight", pairs);
  if (!rope.short_factor.empty() && rope.long_factor.size() == rope.short_factor.size()) {
    rope.scaling = RopeScaling::longrope;
    rope.original_max_position_embeddings = original;
    rope.factor = static_cast<double>(model.max_position_embeddings) / static_cast<double>(original);
    rope.attention_factor = number_or("rope.scaling.attn_factor", 1.0);
  } else if (type == "linear" || type == "yarn") {
    rope.factor = in_->require_number(key("scaling.factor"));
    rope.scaling = type == "linear" ? RopeScaling::linear : RopeScaling::yarn;
    if (type == "yarn") {
      rope.original_max_position_embeddings = original;
      rope.beta_fast = number_or("rope.scaling.yarn_beta_fast", 32.0);
      rope.beta_slow = number_or("rope.scaling.yarn_beta_slow", 1.0);
      rope.attention_factor = number_or("rope.scaling.attn_factor", 1.0) * yarn_magnitude(rope.factor);
    }
  } else if (type != "none") {
    throw Error(ErrorKind::unsupported, "unknown kind of RoPE",
                {.file = in_->path(), .field = key("scaling.type"), .expected = "none, linear or yarn", .found = type});
  } else if (const auto scale = in_->number(key("scale_linear")); scale && *scale != 1.0 && *scale != 0.0) {
    rope.scaling = RopeScaling::linear;  // the older spelling
    rope.factor = *scale;
  }
  return rope;
}

void GgufConfig::write_rope(const Rope& rope) {
  put("rope.dimension_count", static_cast<std::uint32_t>(rope.rotary_dim));
  put("rope.freq_base", static_cast<float>(rope.theta));
  refuse_unless(rope.scaling != RopeScaling::dynamic, "dynamic RoPE");
  const auto original = static_cast<std::uint32_t>(rope.original_max_position_embeddings);
  if (!rope.frequency_factors.empty()) tensors_.emplace_back("rope_freqs.weight", rope.frequency_factors);
  switch (rope.scaling) {
    case RopeScaling::none:
    case RopeScaling::dynamic: break;
    case RopeScaling::linear:
      put("rope.scaling.type", std::string("linear"));
      put("rope.scaling.factor", static_cast<float>(rope.factor));
      break;
    case RopeScaling::yarn: {
      refuse_unless(rope.truncate, "truncate");
      // llama.cpp looks at these keys in Grok alone.
      refuse_unless(rope.beta_fast == 32.0, "beta_fast");
      refuse_unless(rope.beta_slow == 1.0, "beta_slow");
      put("rope.scaling.type", std::string("yarn"));
      put("rope.scaling.factor", static_cast<float>(rope.factor));
      put("rope.scaling.original_context_length", original);
      const double own = rope.attention_factor / yarn_magnitude(rope.factor);
      if (own != 1.0) put("rope.scaling.attn_factor", static_cast<float>(own));
      break;
    }
    case RopeScaling::longrope:
      put("rope.scaling.type", std::string("longrope"));
      put("rope.scaling.original_context_length", original);
      put("rope.scaling.attn_factor", static_cast<float>(rope.attention_factor));
      tensors_.emplace_back("rope_factors_short.weight", rope.short_factor);
      tensors_.emplace_back("rope_factors_long.weight", rope.long_factor);
      break;
    case RopeScaling::llama3: tensors_.emplace_back("rope_freqs.weight", llama3_divisors(rope)); break;
  }
}

}  // namespace powerhouse
