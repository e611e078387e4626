// Text from a model: greedy and sampled decoding, streaming, stopping.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/causal_lm.h"
#include "powerhouse/chat.h"
#include "powerhouse/constraint.h"
#include "powerhouse/export.h"
#include "powerhouse/logits_processor.h"
#include "powerhouse/session.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

/// Names and meanings are those of transformers' GenerationConfig. Processors run in its order: repetition penalty,
/// the user's own, the constraint, temperature, top_k, top_p, min_p.
struct GenerationOptions {
  std::int64_t max_new_tokens = 256;
  float temperature = 0.0f;  ///< 0 is greedy; otherwise logits are divided by it. Not negative.
  std::int64_t top_k = 0;    ///< keep the k most probable tokens (ties with the k-th stay); 0 is off
  float top_p = 1.0f;        ///< keep the smallest set that holds this probability (Holtzman et al. 2020); in (0, 1]
  float min_p = 0.0f;  ///< drop tokens below min_p times the best one's probability (Nguyen et al. 2024); in [0, 1]
  float repetition_penalty =
      1.0f;  ///< > 0; logits of tokens seen are divided (positive) or multiplied (CTRL, Keskar et al. 2019)
  std::optional<std::uint64_t> seed{};        ///< the same seed gives the same text; none draws one from the system
  std::vector<std::string> stop{};            ///< stop strings; found across token boundaries, never shown
  std::vector<std::int64_t> eos_token_ids{};  ///< empty: those of the tokenizer and the model
  bool ignore_eos = false;                    ///< go on to max_new_tokens (benchmarks)
  bool skip_special_tokens = true;            ///< leave special tokens out of the text
  /// `generate` on a sequence: the ids are a whole prompt, not a continuation. What the sequence holds of its beginning
  /// is not computed again; what else it holds is forgotten.
  bool cache_prompt = false;
  std::vector<LogitsProcessor> processors{};  ///< the user's own, in order
  /// What the text may be. It ends where nothing can follow (finish reason `stop`), or by EOS where it is complete.
  std::optional<Constraint> constraint{};
  std::function<void(std::string_view)> on_token{};  ///< each piece of text as soon as it can be shown
  std::stop_token cancel{};                          ///< ends the generation with finish reason `cancelled`
};

enum class FinishReason { length, eos, stop, cancelled };
POWERHOUSE_API std::string_view to_string(FinishReason reason) noexcept;

struct GenerationResult {
  std::string text{};               ///< what was generated, without the prompt, the stop string or EOS
  std::vector<std::int64_t> ids{};  ///< generated tokens, EOS included
  FinishReason finish_reason = FinishReason::length;
  std::int64_t prompt_tokens = 0;
  std::int64_t reused_tokens = 0;  ///< of the prompt, that the sequence held already (cache_prompt)
  std::uint64_t seed = 0;          ///< the seed that was used
  double prompt_seconds = 0;       ///< prefill, up to the first logits
  double first_token_seconds = 0;  ///< from the call to the first token
  double generation_seconds = 0;   ///< everything after the first token
  double prompt_tokens_per_second() const {
    return prompt_seconds > 0 ? static_cast<double>(prompt_tokens - reused_tokens) / prompt_seconds : 0;
  }
  double new_tokens_per_second() const {
    return generation_seconds > 0 && ids.size() > 1 ? static_cast<double>(ids.size() - 1) / generation_seconds : 0;
  }
};

/// Continues `prompt`, encoded with the tokenizer's special tokens. Error{range} where it does not fit the context,
/// Error{usage} for options outside their bounds, Error{numeric} for logits that are not finite.
POWERHOUSE_API GenerationResult generate(const CausalLM& model, const Tokenizer& tokenizer, std::string_view prompt,
                                         const GenerationOptions& options = {});

/// Continues token ids on a sequence of a session: `ids` are appended to what the cache holds. `tokenizer` makes the
/// text. After it the cache holds prompt and generated tokens but the last one. See also options.cache_prompt.
POWERHOUSE_API GenerationResult generate(Session& session, SequenceId sequence, const Tokenizer& tokenizer,
                                         std::span<const std::int64_t> ids, const GenerationOptions& options = {});

/// Answers a conversation through the tokenizer's chat template.
POWERHOUSE_API GenerationResult chat(const CausalLM& model, const Tokenizer& tokenizer,
                                     std::span<const Message> messages, const GenerationOptions& options = {});
POWERHOUSE_API GenerationResult chat(const CausalLM& model, const Tokenizer& tokenizer,
                                     std::initializer_list<Message> messages, const GenerationOptions& options = {});
/// The same through a template of the caller's.
POWERHOUSE_API GenerationResult chat(const CausalLM& model, const Tokenizer& tokenizer,
                                     const ChatTemplate& chat_template, std::span<const Message> messages,
                                     const GenerationOptions& options = {});

/// The same on a sequence: what it holds of the conversation's beginning is reused, so that a turn costs only what is
/// new in it.
POWERHOUSE_API GenerationResult chat(Session& session, SequenceId sequence, const Tokenizer& tokenizer,
                                     const ChatTemplate& chat_template, std::span<const Message> messages,
                                     const GenerationOptions& options = {});

/// A conversation that keeps its history, and the part of its cache that still holds, between turns.
class POWERHOUSE_API Conversation {
 public:
  Conversation(const CausalLM& model, Tokenizer tokenizer, std::string_view system = {},
               const SessionOptions& session = {});
  /// The same through a template of the caller's, e.g. ChatTemplate::from_format("alpaca").
  Conversation(const CausalLM& model, Tokenizer tokenizer, ChatTemplate chat_template, std::string_view system = {},
               const SessionOptions& session = {});
  Conversation(Conversation&&) noexcept;
  Conversation& operator=(Conversation&&) noexcept;
  ~Conversation();

  /// The answer to one more user message; both join the history. When it throws, the history is as before.
  GenerationResult send(std::string_view message, const GenerationOptions& options = {});
  const std::vector<Message>& history() const;

  /// The cache, without the history, to and from a file (Session::save): another conversation that begins in the same
  /// way, with a long system message for one, need not compute that again.
  void save_cache(const std::string& path) const;
  void restore_cache(const std::string& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace powerhouse
