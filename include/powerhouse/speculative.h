// Speculative decoding (Leviathan et al. 2023, arXiv 2211.17192; Chen et al. 2023, arXiv 2302.01318): something cheap
// drafts several tokens, and the model verifies them in one pass. The text is the model's own (docs/speculative.md).
//
//     auto drafter = powerhouse::prompt_lookup();
//     auto result  = powerhouse::generate_speculatively(model, tokenizer, prompt_ids, *drafter);
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/generation.h"

namespace powerhouse {

/// Tokens that may follow.
struct Draft {
  std::vector<std::int64_t> ids{};
  /// The distributions that they were drawn from, [vocabulary] each; empty where nothing was left to chance.
  std::vector<std::vector<double>> probabilities{};
  /// Other continuations, verified beside `ids` in the same pass, each as a branch of its own; only without
  /// probabilities.
  std::vector<std::vector<std::int64_t>> others{};
  /// Drafts that promise as much as each other have the same number, from 0 on; how many tokens of them come true is
  /// measured for each number apart.
  std::size_t promise = 0;
};

/// What a drafter is told. All of it is valid until the call returns.
struct DraftRequest {
  Session& session;                       ///< the model's; holds all tokens of `history` but the last
  SequenceId sequence;                    ///< a drafter leaves it as it finds it
  std::span<const std::int64_t> history;  ///< prompt and text so far
  std::int64_t prompt_length = 0;
  std::uint64_t seed = 0;                  ///< the text's, which `process` is to see in its context
  std::int64_t count = 0;                  ///< tokens that are wanted at most
  const GenerationOptions& options;        ///< how the text's tokens are chosen
  LogitsProcessor process{};               ///< all that they make of a row, but for a constraint
  const std::function<double()>& uniform;  ///< random numbers in [0, 1), never the same one twice
};

/// What drafts. One drafter serves one generation at a time; it may remember what it has computed from one to the next.
class POWERHOUSE_API Drafter {
 public:
  virtual ~Drafter();
  /// A generation begins. Throws where the drafter does not fit the model.
  virtual void begin(const CausalLM& /*model*/, const Tokenizer& /*tokenizer*/) {}
  /// At most request.count tokens; none where it has no idea.
  virtual Draft propose(const DraftRequest& request) = 0;
  /// Whether tokens cost nothing, so that it is asked before it is decided how many are worth verifying.
  virtual bool is_free() const { return false; }
};

/// What followed the last tokens where they stood before: the first occurrence in prompt and text of the last
/// `max_ngram` tokens that something follows, else of fewer, down to one. Right where a text repeats its prompt:
/// editing, summaries, code. The same drafts as transformers' prompt_lookup_num_tokens with max_matching_ngram_size.
/// With `max_branches` above 1 (to 16) also what followed other occurrences, where that was something else.
POWERHOUSE_API std::unique_ptr<Drafter> prompt_lookup(std::int64_t max_ngram = 4, std::int64_t max_branches = 1);

struct DraftModelOptions {
  /// Drafting stops behind a token that is less probable than this, as transformers' assistant_confidence_threshold;
  /// in [0, 1].
  float confidence = 0.4f;
};

/// A smaller model of the same vocabulary, with a cache of its own. Its tokens are chosen by the same options as the
/// text's. The heads may have different numbers of rows behind the tokens, as those that are filled up to a round
/// number do; behind an id that the smaller model has no row for it drafts nothing. Error{unsupported} at the beginning
/// of a generation with a model of another vocabulary.
POWERHOUSE_API std::unique_ptr<Drafter> draft_model(const CausalLM& model, const Tokenizer& tokenizer,
                                                    const DraftModelOptions& options = {});

/// The model's own first `layers` layers and its head (Elhoushi et al. 2024, arXiv 2404.16710). Pays where a model was
/// trained for it.
POWERHOUSE_API std::unique_ptr<Drafter> early_exit(std::int64_t layers, const DraftModelOptions& options = {});

struct SpeculativeOptions {
  std::int64_t max_draft_tokens = 10;  ///< verified in one pass; 1 to 256
  /// As many tokens are drafted as give the most text a second by what passes take and drafts come true in this
  /// generation: none where plain decoding is faster, which is tried again now and then. Otherwise always
  /// max_draft_tokens.
  bool adaptive = true;
};

struct SpeculativeStatistics {
  std::int64_t passes = 0;          ///< of the model, behind the prompt's
  std::int64_t drafted_passes = 0;  ///< that verified a draft
  std::int64_t drafted = 0;         ///< tokens
  std::int64_t accepted = 0;        ///< of those
  double draft_seconds = 0;
};

struct SpeculativeResult {
  GenerationResult generation{};
  SpeculativeStatistics statistics{};
};

/// As `generate` on a sequence. Drafts without probabilities change nothing: each token is chosen as `generate`
/// chooses it, and drafts only say which tokens' logits to compute together. Where drafts are drawn, a token x of
/// probability q is accepted with probability min(1, p(x) / q(x)) and else replaced by a draw from max(p - q, 0): the
/// text has `generate`'s distribution, though another text for a seed, and one that depends on the measured times
/// where `adaptive`. Error{usage} naming an option out of bounds.
POWERHOUSE_API SpeculativeResult generate_speculatively(Session& session, SequenceId sequence,
                                                        const Tokenizer& tokenizer, std::span<const std::int64_t> ids,
                                                        Drafter& drafter, const SpeculativeOptions& speculative = {},
                                                        const GenerationOptions& options = {});
/// The same on a sequence of its own.
POWERHOUSE_API SpeculativeResult generate_speculatively(const CausalLM& model, const Tokenizer& tokenizer,
                                                        std::span<const std::int64_t> ids, Drafter& drafter,
                                                        const SpeculativeOptions& speculative = {},
                                                        const GenerationOptions& options = {});

}  // namespace powerhouse
