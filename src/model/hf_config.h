// HfConfig: config.json, read and written by the same lines. A family says once which key holds which choice:
//
//     io.count("hidden_size", model.hidden_size);
//     io.flag("attention_bias", attention.qkv_bias, false);
//
// Reading, a missing or null key leaves the default (without one it is an Error); writing, the key is always written.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/model_config.h"
#include "support/json.h"

namespace powerhouse {

/// How a family spells RoPE beside `rope_parameters`.
struct RopeKeys {
  double theta = 10000.0;      // the default
  double rotary_factor = 1.0;  // the default
  std::string_view theta_key = "rope_theta";
  std::string_view rotary_factor_key = "partial_rotary_factor";
};

class HfConfig {
 public:
  /// Reads `config`, which must outlive this.
  explicit HfConfig(const Json& config) : in_(&config) {}
  /// Writes.
  HfConfig() = default;

  bool reading() const { return in_ != nullptr; }
  const Json& in() const { return *in_; }
  JsonObject& out() { return out_; }

  /// 0 to 2^31, so that products of two fit.
  void count(std::string_view key, std::int64_t& value, std::optional<std::int64_t> otherwise = {});
  void number(std::string_view key, double& value, std::optional<double> otherwise = {});
  void number(std::string_view key, float& value, std::optional<double> otherwise = {});
  /// Written as an integer where it is one: transformers refuses these keys otherwise.
  void whole_number(std::string_view key, double& value, double otherwise);
  void flag(std::string_view key, bool& value, bool otherwise);
  /// transformers' names of activations. Error{unsupported} for others.
  void activation(std::string_view key, Activation& value, std::string_view otherwise);
  /// Nothing where the key is missing or null.
  void optional(std::string_view key, std::optional<std::int64_t>& value);
  void optional(std::string_view key, std::optional<float>& value);
  /// A missing key leaves `value` as it is; null means none.
  template <typename T>
  void optional_or(std::string_view key, std::optional<T>& value) {
    if (!reading() || in_->as_object("config").find(key) != nullptr) optional(key, value);
  }
  /// The file holds 1 / value.
  void inverse(std::string_view key, float& value, double otherwise);
  /// The second key where the file has that one alone.
  std::string_view either(std::string_view key, std::string_view older) const {
    return reading() && in_->get(key) == nullptr && in_->get(older) != nullptr ? older : key;
  }
  /// A key for which this family's block is built for one value alone. Error{unsupported} for another.
  void only(std::string_view key, const Json& value);

  /// The number of layers, each a copy of `block`.
  void layers(std::string_view key, ModelConfig& model, const Block& block);
  /// num_attention_heads, num_key_value_heads and head_dim under their usual names; a missing head_dim is
  /// hidden_size / num_attention_heads unless given.
  void heads(Attention& attention, std::int64_t hidden_size, std::optional<std::int64_t> head_dim = {});
  /// RoPE from either spelling: transformers 5's `rope_parameters`, or `rope_theta` with `rope_scaling`. Sets
  /// rotary_dim from `head_dim`.
  void rope(Rope& rope, const ModelConfig& model, std::int64_t head_dim, const RopeKeys& keys = {});
  /// For each layer whether it attends through `window`: `layer_types`, or where that is missing what `otherwise` says
  /// of the layer.
  void layer_types(ModelConfig& model, std::optional<std::int64_t> window,
                   const std::function<bool(std::int64_t layer)>& otherwise);
  /// `sliding_window` (4096 where the key is missing) and the layers that have it, where `layer_types` is missing by
  /// `pattern`, or by what `pattern_key` says instead (is_windowed).
  void windows(ModelConfig& model, std::int64_t pattern, std::string_view pattern_key = {});

 private:
  const Json* in_ = nullptr;
  JsonObject out_;
};

/// RoPE as an object of `rope_parameters` (which may be null), with what stands beside it in `config`.
Rope read_rope(const Json& config, const Json* parameters, std::int64_t head_dim, std::int64_t max_position_embeddings,
               const RopeKeys& keys);
/// The same as transformers 5 writes it.
JsonObject write_rope(const Rope& rope, std::int64_t head_dim);

/// bos_token_id and eos_token_id (one id, or a list).
void read_special_ids(const Json& config, ModelConfig& model);

/// Whether `list` (null: not there) has a value for each layer. Error{format} naming `key` where not.
void check_per_layer(const Json* list, std::string_view key, const ModelConfig& model);

/// 1 / value in double, as the round number that gives `value` where there is one.
double inverse_of(float value);

/// A float's shortest decimal as a double, so that 1e-5f does not print as 9.999999747378752e-06.
double shortest(float value);

}  // namespace powerhouse
