// ModelConfig: a decoder described by its choices, whatever the family's name.
//
// A family (src/model/architectures/) turns config.json or GGUF metadata into one of these; the decoder reads nothing
// else. Layers are described one by one, so that patterns over layers need no further idea.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "powerhouse/export.h"

namespace powerhouse {

enum class NormKind { rms_norm };

struct Norm {
  NormKind kind = NormKind::rms_norm;
  float epsilon = 1e-5f;
  bool operator==(const Norm&) const = default;
};

/// How RoPE frequencies are stretched for longer contexts (transformers' rope_type).
enum class RopeScaling {
  none,
  linear,  ///< every frequency divided by `factor`
  llama3,  ///< low frequencies divided, high kept, a smooth step between (Llama 3.1)
};

/// Which elements of a head turn together.
enum class RopeLayout {
  half,         ///< element i with i + rotary_dim/2 (GPT-NeoX, Hugging Face's Llama)
  interleaved,  ///< element 2i with 2i + 1 (GPT-J, the original Llama)
};

struct Rope {
  RopeLayout layout = RopeLayout::half;
  double theta = 10000.0;
  std::int64_t rotary_dim = 0;  ///< elements of a head that turn; even, at most head_dim
  RopeScaling scaling = RopeScaling::none;
  double factor = 1.0;
  double low_freq_factor = 1.0;                       ///< llama3
  double high_freq_factor = 4.0;                      ///< llama3
  std::int64_t original_max_position_embeddings = 0;  ///< llama3
  /// Divisors of the frequencies, rotary_dim/2 of them; empty means 1 (GGUF's rope_freqs.weight).
  std::vector<float> frequency_factors{};
  bool operator==(const Rope&) const = default;
};

struct Attention {
  std::int64_t num_heads = 0;
  std::int64_t num_key_value_heads = 0;  ///< divides num_heads
  std::int64_t head_dim = 0;             ///< need not be hidden_size / num_heads
  bool qkv_bias = false;
  bool output_bias = false;
  bool operator==(const Attention&) const = default;
};

enum class Activation { silu };

struct Mlp {
  std::int64_t intermediate_size = 0;
  Activation activation = Activation::silu;
  bool gated = true;  ///< down(activation(gate(x)) * up(x))
  bool bias = false;
  bool operator==(const Mlp&) const = default;
};

/// One layer: x += attention(norm(x)); x += mlp(norm(x)).
struct Block {
  Norm norm{};
  Rope rope{};
  Attention attention{};
  Mlp mlp{};
  bool operator==(const Block&) const = default;
};

struct ModelConfig {
  std::string architecture{};  ///< the family's name in the registry, e.g. "llama"
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t max_position_embeddings = 0;  ///< the longest sequence the model was made for
  bool tie_word_embeddings = false;          ///< the head is the embedding matrix
  Norm final_norm{};
  std::vector<Block> layers{};

  std::optional<std::int64_t> bos_token_id{};
  std::vector<std::int64_t> eos_token_ids{};

  bool operator==(const ModelConfig&) const = default;
};

/// The choices, one `key: value` a line; equal neighbouring layers are told once.
POWERHOUSE_API std::string to_string(const ModelConfig& config);
/// The same as a JSON object.
POWERHOUSE_API std::string to_json(const ModelConfig& config);

/// Names of the families that load, sorted.
POWERHOUSE_API std::vector<std::string> supported_architectures();

}  // namespace powerhouse
