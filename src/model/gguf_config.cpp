#include "model/gguf_config.h"

#include <algorithm>

#include "model/config_bounds.h"
#include "model/windows.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

std::string_view epsilon_key(const Norm& norm) {
  return norm.kind == NormKind::rms_norm ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
}

}  // namespace

void GgufConfig::put(std::string_view key, GgufEntry::Value value) {
  std::string name = prefix_ + std::string(key);
  // Families that tell layer by layer say the same of each.
  for (const GgufEntry& entry : entries_) {
    if (entry.key != name) continue;
    if (entry.value == value) return;
    throw Error(ErrorKind::unsupported, "llama.cpp can't tell layers apart by this key", {.field = name});
  }
  entries_.push_back({std::move(name), std::move(value)});
}

void GgufConfig::put_per_layer(std::string_view key, const std::vector<std::uint32_t>& values) {
  const bool alike = std::all_of(values.begin(), values.end(), [&](auto value) { return value == values.front(); });
  if (alike) {
    put(key, values.front());
  } else {
    put(key, std::vector<std::int32_t>(values.begin(), values.end()));  // llama.cpp's arrays are signed
  }
}

void GgufConfig::number(std::string_view key, float& value, double otherwise) {
  if (reading()) {
    value = static_cast<float>(number_or(key, otherwise));
  } else {
    put(key, value);
  }
}

void GgufConfig::inverse(std::string_view key, float& value, double otherwise) {
  float file_value = reading() ? 0.0f : 1.0f / value;
  number(key, file_value, otherwise);
  if (reading()) value = 1.0f / file_value;
}

void GgufConfig::flag(std::string_view key, bool& value, bool otherwise) {
  if (reading()) {
    value = in_->boolean(prefix_ + std::string(key)).value_or(otherwise);
  } else {
    put(key, value);
  }
}

void GgufConfig::optional(std::string_view key, std::optional<float>& value) {
  if (!reading()) {
    if (value) put(key, *value);
    return;
  }
  value.reset();
  if (const auto found = in_->number(prefix_ + std::string(key)); found && *found != 0) {
    value = static_cast<float>(*found);
  }
}

void GgufConfig::window(std::string_view key, std::optional<std::int64_t>& value) {
  if (!reading()) {
    if (value) put(key, static_cast<std::uint32_t>(*value));
    return;
  }
  value.reset();
  const std::string name = prefix_ + std::string(key);
  if (const auto found = in_->integer(name); found && *found != 0) value = checked_count(*found, name, in_->path());
}

namespace {

std::vector<bool> by_pattern(std::size_t layers, std::int64_t pattern) {
  std::vector<bool> windowed(layers);
  for (std::size_t i = 0; i < layers; ++i) windowed[i] = is_windowed(static_cast<std::int64_t>(i), pattern);
  return windowed;
}

}  // namespace

std::vector<bool> GgufConfig::windowed_layers(std::size_t layers, std::int64_t pattern) const {
  const std::string name = prefix_ + "attention.sliding_window_pattern";
  const GgufArray* listed = in_->array(name);
  if (listed == nullptr) return by_pattern(layers, in_->integer(name).value_or(pattern));
  const std::size_t size = listed->count == 0 ? 0 : listed->bytes.size() / static_cast<std::size_t>(listed->count);
  if (listed->count < layers || size == 0) {
    throw Error(ErrorKind::format, "not a value for each layer",
                {.file = in_->path(),
                 .field = name,
                 .expected = std::to_string(layers) + " of them",
                 .found = std::to_string(listed->count)});
  }
  std::vector<bool> windowed(layers);
  for (std::size_t i = 0; i < layers; ++i) {
    const auto element = listed->bytes.subspan(i * size, size);
    windowed[i] = std::any_of(element.begin(), element.end(), [](std::byte byte) { return byte != std::byte{0}; });
  }
  return windowed;
}

void GgufConfig::windows(ModelConfig& model, std::int64_t pattern) {
  std::optional<std::int64_t> size = window_of(model);
  window("attention.sliding_window", size);
  if (!size) return;
  if (reading()) {
    const std::vector<bool> windowed = windowed_layers(model.layers.size(), pattern);
    for (std::size_t i = 0; i < windowed.size(); ++i) {
      model.layers[i].attention.sliding_window = windowed[i] ? size : std::nullopt;
    }
    return;
  }
  std::vector<bool> windowed;
  for (const Block& block : model.layers) windowed.push_back(block.attention.sliding_window.has_value());
  if (windowed != by_pattern(windowed.size(), pattern)) put("attention.sliding_window_pattern", windowed);
}

double GgufConfig::number_or(std::string_view key, double otherwise) const {
  return in_->number(prefix_ + std::string(key)).value_or(otherwise);
}

void GgufConfig::refuse_unless(bool holds, std::string_view field) {
  if (holds) return;
  throw Error(ErrorKind::unsupported, "llama.cpp has no graph for this choice, so there is no GGUF of it",
              {.field = std::string(field)});
}

std::int64_t GgufConfig::count(const std::string& key) const {
  return checked_count(in_->require_integer(prefix_ + key), prefix_ + key, in_->path());
}

std::vector<std::int64_t> GgufConfig::per_layer(const std::string& suffix, std::size_t layers) const {
  const std::string key = prefix_ + suffix;
  auto values = in_->integers(key);
  if (!values) throw Error(ErrorKind::format, "missing key", {.file = in_->path(), .field = key});
  if (in_->array(key) == nullptr && values->size() == 1) values->assign(layers, values->front());
  if (values->size() != layers) {
    throw Error(ErrorKind::format, "wrong number of values",
                {.file = in_->path(),
                 .field = key,
                 .expected = std::to_string(layers) + ", one a layer",
                 .found = std::to_string(values->size())});
  }
  for (const std::int64_t value : *values) checked_count(value, key, in_->path());
  return *values;
}

void GgufConfig::usual(ModelConfig& model, const Block& block) {
  reading() ? read_usual(model, block) : write_usual(model);
}

void GgufConfig::read_usual(ModelConfig& model, const Block& block) {
  const std::int64_t layers = count("block_count");
  check_layer_count(layers, prefix_ + "block_count", in_->path());
  model.layers.assign(static_cast<std::size_t>(layers), block);
  model.hidden_size = count("embedding_length");
  model.max_position_embeddings = count("context_length");
  model.final_norm = block.norm;
  const std::string epsilon(epsilon_key(block.norm));
  // OLMo's epsilon is fixed; files need not tell.
  model.final_norm->epsilon = static_cast<float>(block.norm.weight ? in_->require_number(prefix_ + epsilon)
                                                                   : number_or(epsilon, block.norm.epsilon));
  // The vocabulary's size is written in a key, or is the tokenizer's, or shows in the embedding matrix alone.
  if (const auto size = in_->integer(prefix_ + "vocab_size")) {
    model.vocab_size = checked_count(*size, prefix_ + "vocab_size", in_->path());
  } else if (const auto* tokens = in_->array("tokenizer.ggml.tokens")) {
    model.vocab_size = static_cast<std::int64_t>(tokens->count);
  }
  if (const TensorView* embedding = in_->find_tensor("token_embd.weight"); embedding && embedding->shape.size() == 2) {
    model.vocab_size = embedding->shape[0];
  }
  if (const auto id = in_->integer("tokenizer.ggml.bos_token_id")) model.bos_token_id = *id;
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    if (const auto id = in_->integer(key)) model.eos_token_ids.push_back(*id);
  }
  // GGUF says by a tensor's presence what config.json says by a flag.
  model.tie_word_embeddings = !has_tensor("output.weight");
  model.lm_head_bias = has_tensor("output.bias");
  for (std::size_t layer = 0; layer < model.layers.size(); ++layer) read_layer(model, layer);
}

void GgufConfig::read_layer(ModelConfig& model, std::size_t layer) {
  Block& block = model.layers[layer];
  Attention& attention = block.attention;
  const std::size_t layers = model.layers.size();
  block.norm.epsilon = model.final_norm->epsilon;
  if (attention.qk_norm) {
    // Its weights tell its kind; the epsilon is everyone's.
    const Norm kind = attention.qk_norm->norm;
    attention.qk_norm->norm = block.norm;
    attention.qk_norm->norm.bias = kind.bias;
  }
  attention.num_heads = per_layer("attention.head_count", layers)[layer];
  attention.num_key_value_heads =
      has_key("attention.head_count_kv") ? per_layer("attention.head_count_kv", layers)[layer] : attention.num_heads;
  const std::int64_t otherwise = attention.num_heads > 0 ? model.hidden_size / attention.num_heads : 0;
  attention.head_dim = in_->integer(prefix_ + "attention.key_length").value_or(otherwise);
  if (in_->integer(prefix_ + "attention.value_length").value_or(attention.head_dim) != attention.head_dim) {
    throw Error(ErrorKind::unsupported, "key and value heads of different size are not built",
                {.file = in_->path(), .field = prefix_ + "attention.value_length"});
  }
  const std::string prefix = "blk." + std::to_string(layer) + ".";
  const auto has = [&](const char* name) { return has_tensor(prefix + name); };
  // Older conversions of families with separate projections fuse them, and the other way round.
  attention.qkv_bias = has("attn_q.bias") || has("attn_qkv.bias");
  attention.output_bias = has("attn_output.bias");
  block.mlp.bias = has("ffn_up.bias");
  if (block.mlp.moe) {
    Moe& moe = *block.mlp.moe;
    moe.num_experts = count("expert_count");
    moe.num_experts_per_tok = count("expert_used_count");
    const std::string inner =
        has_key("expert_feed_forward_length") ? "expert_feed_forward_length" : "feed_forward_length";
    moe.intermediate_size = per_layer(inner, layers)[layer];
    if (const TensorView* shared = in_->find_tensor(prefix + "ffn_up_shexp.weight");
        shared && shared->shape.size() == 2) {
      moe.shared_intermediate_size = shared->shape[0];
    }
    if (!has("ffn_gate_inp.weight")) block.mlp.moe.reset();
  } else if (has_key("expert_count") && count("expert_count") > 0) {
    throw Error(ErrorKind::unsupported, "a mixture of experts is not built for this family",
                {.file = in_->path(), .field = prefix_ + "expert_count"});
  }
  block.mlp.intermediate_size = has_key("feed_forward_length") || !block.mlp.moe
                                    ? per_layer("feed_forward_length", layers)[layer]
                                    : block.mlp.moe->intermediate_size;
  if (block.position == PositionKind::rope) {
    const RopeLayout layout = block.rope.layout;
    block.rope = layer == 0 ? read_rope(model, attention.head_dim) : model.layers[0].rope;
    block.rope.layout = layout;
  }
}

void GgufConfig::write_usual(const ModelConfig& model) {
  const Block& first = model.layers.front();
  put("vocab_size", static_cast<std::uint32_t>(model.vocab_size));
  put("context_length", static_cast<std::uint32_t>(model.max_position_embeddings));
  put("embedding_length", static_cast<std::uint32_t>(model.hidden_size));
  put("block_count", static_cast<std::uint32_t>(model.layers.size()));
  std::vector<std::uint32_t> inner, heads, kv_heads;
  for (const Block& block : model.layers) {
    inner.push_back(static_cast<std::uint32_t>(block.mlp.intermediate_size));
    heads.push_back(static_cast<std::uint32_t>(block.attention.num_heads));
    kv_heads.push_back(static_cast<std::uint32_t>(block.attention.num_key_value_heads));
    refuse_unless(block.attention.head_dim == first.attention.head_dim, "head_dim");
  }
  put_per_layer("feed_forward_length", inner);
  put_per_layer("attention.head_count", heads);
  put_per_layer("attention.head_count_kv", kv_heads);
  put("attention.key_length", static_cast<std::uint32_t>(first.attention.head_dim));
  put("attention.value_length", static_cast<std::uint32_t>(first.attention.head_dim));
  put(epsilon_key(first.norm), first.norm.epsilon);
  for (const Block& block : model.layers) {
    if (!block.mlp.moe) continue;
    put("expert_count", static_cast<std::uint32_t>(block.mlp.moe->num_experts));
    put("expert_used_count", static_cast<std::uint32_t>(block.mlp.moe->num_experts_per_tok));
    put("expert_feed_forward_length", static_cast<std::uint32_t>(block.mlp.moe->intermediate_size));
    if (block.mlp.moe->shared_intermediate_size > 0) {
      put("expert_shared_feed_forward_length", static_cast<std::uint32_t>(block.mlp.moe->shared_intermediate_size));
    }
  }
  // Where kinds of layers turn differently, the family says the rest.
  for (const Block& block : model.layers) {
    if (block.position != PositionKind::rope || (first.attention.sliding_window && block.attention.sliding_window))
      continue;
    write_rope(block.rope);
    return;
  }
  if (first.position == PositionKind::rope) write_rope(first.rope);
}

}  // namespace powerhouse
