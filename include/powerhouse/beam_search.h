// Beam search: the most probable continuations of a prompt, several at once. Plain, diverse (groups that shun each
// other's tokens) and constrained (phrases that must occur); docs/search.md has the rules.
//
//     auto best = powerhouse::beam_search(model, tokenizer, "The capital of France is",
//                                         {.num_beams = 5, .num_return_sequences = 3,
//                                          .generation = {.max_new_tokens = 32}});
//     for (const auto& one : best) std::cout << one.score << ' ' << one.text << '\n';
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/generation.h"

namespace powerhouse {

/// When a search ends, once there are num_beams finished hypotheses (GenerationConfig::early_stopping).
enum class EarlyStopping {
  no,     ///< "false": when the best running beam, at its present length, scores below the worst of them
  yes,    ///< "true": at once
  never,  ///< "never": when no running beam can score above the worst of them any more
};
POWERHOUSE_API std::string_view to_string(EarlyStopping when) noexcept;
/// The same words. Error{usage} otherwise.
POWERHOUSE_API EarlyStopping parse_early_stopping(std::string_view text);

/// Phrases of token ids, of which one must occur.
using PhraseAlternatives = std::vector<std::vector<std::int64_t>>;

/// Names and meanings are those of transformers' GenerationConfig.
struct BeamSearchOptions {
  std::int64_t num_beams = 4;             ///< 1 or more; 1 ends at the first EOS, as greedy decoding does
  std::int64_t num_return_sequences = 1;  ///< at most num_beams
  /// A hypothesis' score is the sum of its tokens' log-probabilities over its new tokens ^ length_penalty: above 0 long
  /// ones gain, below 0 short ones do.
  double length_penalty = 1.0;
  EarlyStopping early_stopping = EarlyStopping::no;
  /// Diverse beam search (Vijayakumar et al. 2018): so many groups of beams, one after the other; from a token's
  /// log-probability `diversity_penalty` is taken for each beam of the groups before that took it in this step. Scores
  /// have the penalties in them.
  std::int64_t num_beam_groups = 1;
  float diversity_penalty = 0.0f;  ///< 0 or more
  /// Constrained beam search (Hokamp and Liu 2017, Post and Vilar 2018): of each of these an alternative must occur in
  /// the new tokens.
  std::vector<PhraseAlternatives> force_words_ids{};
  /// Everything else, generation.constraint too: each beam follows it by itself. Penalties, rules and processors work
  /// on log-probabilities, as in transformers; a temperature above 0 means beam sampling, with top_k and all other
  /// samplers and the seed. Error{usage}: stops of any kind and on_token (hypotheses end by EOS alone and are not
  /// streamed), guidance_scale, mirostat, max_time, thinking, top_log_probs.
  GenerationOptions generation{};
};

struct BeamHypothesis {
  std::string text{};               ///< empty where no tokenizer was given
  std::vector<std::int64_t> ids{};  ///< new tokens, EOS included
  float score = 0;                  ///< sum of log-probabilities / length ^ length_penalty
  FinishReason finish_reason = FinishReason::length;
  bool constraints_met = true;  ///< all of force_words_ids occur; false only where max_new_tokens came first
};

/// The num_return_sequences best hypotheses, best first; fewer only where processors leave fewer, or a cancel came
/// before. Beams share their cache with the prompt and each other, and each step is one pass for all. Options outside
/// their bounds are Error{usage} naming the field; otherwise as `generate`.
POWERHOUSE_API std::vector<BeamHypothesis> beam_search(const CausalLM& model, const Tokenizer& tokenizer,
                                                       std::string_view prompt, const BeamSearchOptions& options = {});

/// The same for ids behind what a sequence holds, without text: afterwards it holds the prompt. EOS are
/// generation.eos_token_ids, else those of the model's config.
POWERHOUSE_API std::vector<BeamHypothesis> beam_search(Session& session, SequenceId sequence,
                                                       std::span<const std::int64_t> ids,
                                                       const BeamSearchOptions& options = {});
/// With text, and the tokenizer's EOS beside the model's.
POWERHOUSE_API std::vector<BeamHypothesis> beam_search(Session& session, SequenceId sequence,
                                                       const Tokenizer& tokenizer, std::span<const std::int64_t> ids,
                                                       const BeamSearchOptions& options = {});

}  // namespace powerhouse
