// GgufConfig: a model's GGUF metadata, read and written by the same lines, as HfConfig does for config.json. Keys are
// written without the architecture's prefix: "attention.scale" stands for "granite.attention.scale".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "powerhouse/model_config.h"

namespace powerhouse {

class GgufConfig {
 public:
  /// Reads; the file must outlive this.
  GgufConfig(std::string_view architecture, const GgufFile& file)
      : prefix_(std::string(architecture) + "."), in_(&file) {}
  /// Writes.
  explicit GgufConfig(std::string_view architecture) : prefix_(std::string(architecture) + ".") {}

  bool reading() const { return in_ != nullptr; }
  const std::vector<GgufEntry>& entries() const { return entries_; }
  /// Small float32 tensors that are configuration too (RoPE factors).
  const std::vector<std::pair<std::string, std::vector<float>>>& tensors() const { return tensors_; }

  /// What llama.cpp spells alike in all families: sizes, heads, epsilon, RoPE, experts, and biases (which GGUF tells by
  /// their tensors). Reading, every layer becomes a copy of `block` filled in.
  void usual(ModelConfig& model, const Block& block);

  void number(std::string_view key, float& value, double otherwise);
  /// The file holds 1 / value.
  void inverse(std::string_view key, float& value, double otherwise);
  void flag(std::string_view key, bool& value, bool otherwise);
  /// Absent where there is none.
  void optional(std::string_view key, std::optional<float>& value);
  /// The same; 0 means none too.
  void window(std::string_view key, std::optional<std::int64_t>& value);

  /// attention.sliding_window and which layers have it: all but the last of each `pattern` (2: every second), unless
  /// attention.sliding_window_pattern says otherwise, by another number or layer by layer.
  void windows(ModelConfig& model, std::int64_t pattern);

  /// The whole key, for errors.
  std::string key(std::string_view suffix) const { return prefix_ + std::string(suffix); }

  // Reading only.
  bool has_tensor(std::string_view name) const { return in_->find_tensor(name) != nullptr; }
  bool has_key(std::string_view key) const { return in_->find(prefix_ + std::string(key)) != nullptr; }
  double number_or(std::string_view key, double otherwise) const;

  /// Writing: Error{unsupported} naming the choice for which llama.cpp has no graph.
  static void refuse_unless(bool holds, std::string_view field);

 private:
  void read_usual(ModelConfig& model, const Block& block);
  void read_layer(ModelConfig& model, std::size_t layer);
  void write_usual(const ModelConfig& model);
  Rope read_rope(const ModelConfig& model, std::int64_t head_dim) const;
  void write_rope(const Rope& rope);
  std::vector<bool> windowed_layers(std::size_t layers, std::int64_t pattern) const;
  std::vector<float> factors(std::string_view name, std::int64_t pairs) const;
  std::int64_t count(const std::string& key) const;
  std::vector<std::int64_t> per_layer(const std::string& key, std::size_t layers) const;
  void put(std::string_view key, GgufEntry::Value value);
  void put_per_layer(std::string_view key, const std::vector<std::uint32_t>& values);

  std::string prefix_;
  const GgufFile* in_ = nullptr;
  std::vector<GgufEntry> entries_;
  std::vector<std::pair<std::string, std::vector<float>>> tensors_;
};

}  // namespace powerhouse
