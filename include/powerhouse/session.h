// Session: sequences in progress on a model, and their paged key-value cache.
//
//     powerhouse::Session session(model);
//     auto sequence = session.create();
//     at::Tensor logits = session.forward(sequence, prompt_ids);   // [1, vocabulary], of the last token
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/causal_lm.h"

namespace powerhouse {

/// How the cache keeps keys or values. The last six are GGUF's blocks: 32 elements share a float16 scale (and a minimum
/// in q5_1 and q4_1), in 8.5, 6, 5.5, 5, 4.5 and 4.5 bits an element. On the CPU keys and values may differ in type;
/// devices have kernels for one of the float types, q8_0 or q4_0 for both. Attention reads those types as they lie and
/// is a little slower with the others.
enum class KvType {
  automatic,  ///< the compute type; f16 where a plan runs (LoadOptions)
  f32,
  bf16,
  f16,
  q8_0,
  q5_1,
  q5_0,
  q4_1,
  q4_0,
  iq4_nl,  ///< like q4_0, with levels that lie closer around zero
};

/// "auto", "f32", "bf16", "f16", "q8_0", ...
POWERHOUSE_API std::string_view to_string(KvType type) noexcept;
/// The same words, and "float32", "bfloat16", "float16". Error{usage} otherwise.
POWERHOUSE_API KvType parse_kv_type(std::string_view text);

struct SessionOptions {
  /// In exact numerics f32 alone (LoadOptions). Error{unsupported} for others there, and for blocks where a head's size
  /// is no multiple of 32.
  KvType kv_type = KvType::automatic;
  std::optional<KvType> value_type{};  ///< of values, where it is not that of keys
  std::int64_t page_tokens = 16;       ///< tokens a page of the cache
  /// Rows a pass, single tokens of other sequences aside. Longer inputs go through in pieces of this size, so that
  /// memory stays bounded; the pieces of a sequence are the same alone and in a batch.
  std::int64_t prefill_chunk = 512;
  /// On a device steps of decoding, one new token of each sequence, are recorded as CUDA graphs and replayed, but with
  /// hooks, mixtures of experts, DoRA and trained tokens, or a cache in another float type than the model's. The same
  /// tokens without. POWERHOUSE_CUDA_GRAPHS=0 in the environment turns them off everywhere.
  bool cuda_graphs = true;
};

using SequenceId = std::int64_t;

/// Of which rows `forward` returns logits.
enum class LogitsOf { none, last, all };

/// One sequence's share of a batch.
struct SequenceInput {
  SequenceId sequence = 0;
  std::span<const std::int64_t> ids;  ///< new tokens, at least one
  LogitsOf logits = LogitsOf::last;
};

/// How a pass differs from the usual one.
struct PassOptions {
  /// Computes each token as if it came alone. In fast numerics (docs/numerics.md), where a session runs the plan of a
  /// model, a row's logits are then the same bits as token by token; for a few tokens, as many take longer.
  bool singly = false;
  /// Stops behind so many layers, where final norm and head give the logits; 0: all. The cache then lacks the keys of
  /// later layers: truncate the sequence before it goes on.
  std::int64_t layers = 0;
  /// The head, without final norm and whatever the config does to logits behind it, on what enters these layers too: 0
  /// is the embeddings, as in hidden_states of transformers. With LogitsOf::last. Error{unsupported} where embeddings
  /// are projected.
  std::span<const std::int64_t> early{};
};

/// How the token behind a row of logits is drawn, as GenerationOptions has it. Its random number is that of `counter`,
/// the token's place behind the prompt.
struct TokenDraw {
  float temperature = 0.0f;  ///< 0 is greedy
  std::int64_t top_k = 0;    ///< 0 is off
  float top_p = 1.0f;
  float min_p = 0.0f;
  std::uint64_t seed = 0;
  std::uint64_t counter = 0;
};

/// Owns sequences and cache, and keeps the model and its hooks alive. One session is used by one thread at a time;
/// several sessions may run on one model.
class POWERHOUSE_API Session {
 public:
  explicit Session(const CausalLM& model, const SessionOptions& options = {});
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  /// A new, empty sequence.
  SequenceId create();
  /// A sequence with the same tokens; pages are shared until one of the two writes to them.
  SequenceId fork(SequenceId sequence);
  /// Forgets all tokens from `length` on. Error{range} where the sequence is shorter.
  void truncate(SequenceId sequence, std::int64_t length);
  /// Ends a sequence and gives its pages back.
  void remove(SequenceId sequence);
  /// `sequence` is from now on what `by` was, which ends.
  void replace(SequenceId sequence, SequenceId by);
  /// Tokens in the cache. Error{not_found} for an unknown sequence, as everywhere here.
  std::int64_t length(SequenceId sequence) const;
  /// Tokens that can still be appended. Those of an adapter before the sequence have taken theirs.
  std::int64_t room(SequenceId sequence) const;
  /// The tokens themselves; valid until the sequence changes.
  std::span<const std::int64_t> tokens(SequenceId sequence) const;
  /// Truncates the sequence to what it shares with the beginning of `ids`, less than all of them, so that the rest can
  /// be appended: of a prompt that is cached whole, the last token is computed again for its logits. Returns the new
  /// length.
  std::int64_t keep_prefix(SequenceId sequence, std::span<const std::int64_t> ids);

  /// Writes a sequence, its tokens and its part of the cache, to a file, atomically: a safetensors file with `tokens`,
  /// and `layers.N.key` (after RoPE) and `layers.N.value` [length, num_key_value_heads, head_dim] in the cache's type;
  /// blocks as bytes [length, bytes a token].
  void save(SequenceId sequence, const std::string& path) const;
  /// A new sequence from such a file: what is appended gives the same bits as without the detour, also where
  /// page_tokens differs. Error{format} where the file is no saved sequence or is damaged, Error{usage} where it was
  /// saved with another model (its config, or a sample of its weights) or another type of cache, or, in exact numerics,
  /// computed by other numerics, in another compute type or by another instruction set. Hooks are the caller's
  /// affair.
  SequenceId restore(const std::string& path);

  /// Appends tokens to a sequence. Returns float32 [rows, vocabulary] on the CPU, without gradients: the last row, all
  /// rows, or an undefined tensor. Error{range} beyond `room` or outside the vocabulary, Error{usage} where the model's
  /// adapter has other virtual tokens than when the session began; the sequence is then as before. Error{numeric} at
  /// the first logits that are not finite, naming the layer where they begin. Error{cancelled} where `cancel` is
  /// requested before the last pass; the sequence is then as before.
  ///
  /// RoPE that depends on the sequence's length (dynamic, longrope) is fixed by the length of the first pass beyond
  /// original_max_position_embeddings: a sequence that grows across it is computed again from its first token, once.
  at::Tensor forward(SequenceId sequence, std::span<const std::int64_t> ids, LogitsOf logits = LogitsOf::last,
                     const std::stop_token& cancel = {});
  /// The same by `options`. Where they name early layers, [early + 1, vocabulary]: a row for each, and the last layer's
  /// behind them. Error{range} for layers that are not there.
  at::Tensor forward(SequenceId sequence, std::span<const std::int64_t> ids, LogitsOf logits,
                     const PassOptions& options, const std::stop_token& cancel = {});
  /// The same for several sequences in one pass; rows of the result follow the order of `batch`.
  at::Tensor forward(std::span<const SequenceInput> batch, const std::stop_token& cancel = {});
  /// By `options`; early layers are those of one sequence, Error{usage} for more.
  at::Tensor forward(std::span<const SequenceInput> batch, const PassOptions& options,
                     const std::stop_token& cancel = {});

  /// As `forward`, and `hidden` becomes what the head makes the logits of: float32 [rows, hidden_size] on the CPU, of
  /// the last layer behind the final norm, transformers' hidden_states[-1]. Runs as with a hook.
  at::Tensor forward_with_hidden(std::span<const SequenceInput> batch, at::Tensor& hidden,
                                 const std::stop_token& cancel = {});

  /// As `forward`, but a token is drawn behind the last of each sequence where its logits are, so that token ids alone
  /// come back from a device; `draws` has a rule for each of `batch`. Sums over a row are in float32 there: with a
  /// temperature, a number that falls between two tokens' shares can draw the other than on the CPU. Error{unsupported}
  /// where `can_draw` is false, Error{numeric} also where every token is forbidden.
  std::vector<std::int64_t> draw(std::span<const SequenceInput> batch, std::span<const TokenDraw> draws,
                                 const std::stop_token& cancel = {});
  /// Whether the model is on a device that draws.
  bool can_draw() const;

  /// Bytes of the cache's pages, used and spare.
  std::size_t cache_bytes() const;
  /// Bytes of the keys and values of one token in all layers.
  std::size_t cache_bytes_per_token() const;
  const CausalLM& model() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace powerhouse
