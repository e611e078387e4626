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
#include "powerhouse/sequence_head.h"

namespace powerhouse {

enum class NormKind {
  rms_norm,    ///< x / rms(x) (Zhang and Sennrich 2019)
  layer_norm,  ///< (x - mean(x)) / deviation(x) (Ba et al. 2016)
};

struct Norm {
  NormKind kind = NormKind::rms_norm;
  float epsilon = 1e-5f;
  bool weight = true;        ///< times a learned weight (OLMo has none)
  bool bias = false;         ///< plus a learned bias
  bool unit_offset = false;  ///< the weight is 1 + what is stored; RMSNorm multiplies it in float32 (Gemma)
  bool round_once = false;   ///< RMSNorm: the weight is multiplied in float32 too (OLMo 2)
  bool operator==(const Norm&) const = default;
};

/// Where the norms of a layer stand. `branch` is attention or MLP.
enum class NormPlace {
  before,        ///< x + branch(norm(x))
  around,        ///< x + post_norm(branch(norm(x))) (Gemma 2)
  after_branch,  ///< x + post_norm(branch(x)) (OLMo 2)
  after_add,     ///< norm(x + branch(x)) (the original transformer, OPT-350m)
};

/// How the two branches join.
enum class Residual {
  sequential,            ///< x += attention(x); x += mlp(x)
  parallel,              ///< x += attention(norm(x)) + mlp(other_norm(x)) (GPT-NeoX)
  parallel_shared_norm,  ///< both branches read the same norm(x) (GPT-J)
};

/// How RoPE frequencies are stretched for longer contexts (transformers' rope_type).
enum class RopeScaling {
  none,
  linear,    ///< every frequency divided by `factor`
  dynamic,   ///< the base grows with the sequence beyond original_max_position_embeddings (NTK)
  yarn,      ///< low frequencies divided, high kept, a linear ramp between (Peng et al. 2023)
  longrope,  ///< every frequency divided by its own factor: one list up to the original length, another beyond
  llama3,    ///< low frequencies divided, high kept, a smooth step between (Llama 3.1)
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
  double beta_fast = 32.0;                            ///< yarn: rotations from which on a frequency is kept
  double beta_slow = 1.0;                             ///< yarn: rotations up to which a frequency is divided
  bool truncate = true;                               ///< yarn: the ramp begins and ends at whole dimensions
  double attention_factor = 1.0;                      ///< times cos and sin (yarn, longrope)
  std::int64_t original_max_position_embeddings = 0;  ///< dynamic, yarn, longrope, llama3
  std::vector<float> short_factor{};                  ///< longrope, rotary_dim/2 of them
  std::vector<float> long_factor{};                   ///< longrope
  /// Divisors of the frequencies, rotary_dim/2 of them; empty means 1 (GGUF's rope_freqs.weight).
  std::vector<float> frequency_factors{};
  bool operator==(const Rope&) const = default;
};

/// ALiBi (Press et al. 2021): a head's scores fall with distance, at the head's own slope.
struct Alibi {
  float bias_max = 8.0f;       ///< slopes are 2^(-bias_max * i / heads)
  bool scaled = false;         ///< the bias is multiplied by the score's scale too (Falcon)
  float multiplier = 1.0f;     ///< times the bias
  bool bf16_rounding = false;  ///< slopes, positions and biases are rounded to bfloat16 (Falcon)
  bool operator==(const Alibi&) const = default;
};

/// How a layer's attention knows positions. Learned positions are added to the embeddings instead (ModelConfig).
enum class PositionKind { none, rope, alibi };

/// How the projections of query, key and value lie in the checkpoint.
enum class QkvLayout {
  separate,
  concatenated,  ///< one matrix: all queries, all keys, all values
  per_head,      ///< one matrix: query, key, value of head 0, then of head 1 ... (GPT-NeoX, BLOOM)
  grouped,       ///< one matrix: a group's queries, its key, its value, then the next group (Falcon 40B)
};

/// Norm of queries and keys.
enum class QkNormScope {
  head,       ///< over each head, all heads with the same weight (Qwen3)
  each_head,  ///< over each head, every head with a weight of its own (Cohere, StableLM)
  whole,      ///< over all heads together (OLMo 2)
};

struct QkNorm {
  Norm norm{};
  QkNormScope scope = QkNormScope::head;
  bool after_rope = false;  ///< else before (HunYuan)
  bool operator==(const QkNorm&) const = default;
};

struct Attention {
  std::int64_t num_heads = 0;
  std::int64_t num_key_value_heads = 0;  ///< divides num_heads
  std::int64_t head_dim = 0;             ///< need not be hidden_size / num_heads
  QkvLayout qkv = QkvLayout::separate;
  bool qkv_bias = false;
  bool output_bias = false;
  bool sinks = false;  ///< one learned logit a head takes part in the softmax and is dropped (gpt-oss)
  std::optional<QkNorm> qk_norm{};
  std::optional<std::int64_t> sliding_window{};  ///< a token sees this many of the last, itself among them
  std::optional<float> scale{};                  ///< of scores; 1/sqrt(head_dim) where not given
  std::optional<float> softcap{};                ///< score = softcap * tanh(score / softcap)
  std::optional<float> clip_qkv{};               ///< projections are clamped to [-clip_qkv, clip_qkv]
  bool operator==(const Attention&) const = default;
};

/// Names as in transformers' hidden_act where those are plain.
enum class Activation {
  silu,
  gelu,        ///< exact, with erf
  gelu_tanh,   ///< the tanh approximation (gelu_new, gelu_pytorch_tanh)
  quick_gelu,  ///< x * sigmoid(1.702 x)
  relu,
  relu2,  ///< relu(x)^2
};

/// Mixture of experts: a router chooses some of many gated MLPs for each token. An expert computes
/// down(activation(gate) * (up + up_offset)), with gate and up cut at `clamp`.
struct Moe {
  std::int64_t num_experts = 0;
  std::int64_t num_experts_per_tok = 0;
  std::int64_t intermediate_size = 0;         ///< of each expert
  bool norm_topk_prob = true;                 ///< the chosen probabilities are made to sum to 1
  std::int64_t shared_intermediate_size = 0;  ///< of an MLP that sees every token, scaled by a sigmoid gate; 0: none
  bool bias = false;                          ///< of the router and of each expert
  bool interleaved_gate_up = false;           ///< rows of gate and up alternate in the checkpoint, else gate first
  std::optional<float> clamp{};               ///< gate is at most this, up from minus this to this (gpt-oss)
  float up_offset = 0.0f;                     ///< added to up (gpt-oss: 1)
  bool operator==(const Moe&) const = default;
};

struct Mlp {
  std::int64_t intermediate_size = 0;
  Activation activation = Activation::silu;
  bool gated = true;           ///< down(activation(gate(x)) * up(x)), else down(activation(up(x)))
  bool fused_gate_up = false;  ///< gate and up are one matrix in the checkpoint, gate first
  bool bias = false;
  std::optional<Moe> moe{};  ///< instead of the one MLP
  bool operator==(const Mlp&) const = default;
};

/// One layer.
struct Block {
  Norm norm{};
  NormPlace norm_place = NormPlace::before;
  Residual residual = Residual::sequential;
  bool residual_from_norm = false;   ///< norm(x) + branch(norm(x)) (BLOOM's apply_residual_connection_post_layernorm)
  float residual_multiplier = 1.0f;  ///< times each branch before it is added (Granite)
  PositionKind position = PositionKind::rope;
  Rope rope{};
  Alibi alibi{};
  Attention attention{};
  Mlp mlp{};
  bool operator==(const Block&) const = default;
};

struct ModelConfig {
  std::string architecture{};  ///< the family's name in the registry, e.g. "llama"
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  /// The longest sequence the model was made for; see also `longest_sequence`.
  std::int64_t max_position_embeddings = 0;

  std::int64_t embedding_size = 0;       ///< of the embeddings, projected to hidden_size and back; 0: hidden_size (OPT)
  float embedding_scale = 1.0f;          ///< times the embeddings (Gemma: sqrt(hidden_size); Granite)
  bool scaled_lookup = false;            ///< the scale is the lookup's own: a prompt of learned rows has none (Gemma)
  std::int64_t learned_positions = 0;    ///< rows of the learned position matrix; 0: none
  std::int64_t position_offset = 0;      ///< row of the first position (OPT: 2)
  std::optional<Norm> embedding_norm{};  ///< of the embeddings (BLOOM)

  std::vector<Block> layers{};

  std::optional<Norm> final_norm = Norm{};
  bool tie_word_embeddings = false;  ///< the head is the embedding matrix
  bool lm_head_bias = false;
  float logit_scale = 1.0f;              ///< times the logits (Cohere; Granite: 1 / logits_scaling)
  std::optional<float> final_softcap{};  ///< logit = softcap * tanh(logit / softcap)
  /// In the place of the vocabulary's: then nothing is tied, and scale and softcap are not of it
  /// (sequence_classifier.h).
  std::optional<SequenceHead> sequence_head{};

  std::optional<std::int64_t> bos_token_id{};
  std::vector<std::int64_t> eos_token_ids{};

  bool operator==(const ModelConfig&) const = default;
};

/// The most tokens that a sequence may have: max_position_embeddings; that times `factor` where linear or dynamic RoPE
/// stretches it; without bound for ALiBi and for layers without positions.
POWERHOUSE_API std::int64_t longest_sequence(const ModelConfig& config);

/// The choices, one `key: value` a line; equal neighbouring layers are told once.
POWERHOUSE_API std::string to_string(const ModelConfig& config);
/// The same as a JSON object.
POWERHOUSE_API std::string to_json(const ModelConfig& config);

/// Names of the families that load, sorted.
POWERHOUSE_API std::vector<std::string> supported_architectures();

}  // namespace powerhouse
