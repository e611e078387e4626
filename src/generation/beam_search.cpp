// The loop of beam search: each step takes one token of every beam of every group through the model in one pass.
#include "powerhouse/beam_search.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "generation/beam_group.h"
#include "generation/beam_options.h"
#include "generation/continuation.h"
#include "generation/owned_sequence.h"
#include "generation/stopping.h"
#include "generation/text_output.h"
#include "ops/log_probabilities.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

class Search {
 public:
  Search(Session& session, const BeamRules& rules, SequenceId prompt)
      : session_(session), cancel_(rules.options.generation.cancel) {
    const auto tokens = session.tokens(prompt);
    const std::vector<std::int64_t> history(tokens.begin(), tokens.end());
    for (std::int64_t g = 0; g < rules.options.num_beam_groups; ++g) {
      groups_.emplace_back(rules, history);
      sequences_.emplace_back();
      sequences_.back().push_back(OwnedSequence::fork(session, prompt));
    }
  }

  /// `logits` are those behind the prompt.
  std::vector<BeamHypothesis> run(const at::Tensor& logits) {
    at::Tensor rows = logits.expand({std::ssize(groups_), -1});  // each group begins with one beam
    while (true) {
      choose(ops::log_probabilities(rows, 1).contiguous());
      if (cancel_.stop_requested()) break;
      std::vector<SequenceInput> batch;
      for (std::size_t g = 0; g < groups_.size(); ++g) {
        for (std::size_t i = 0; i < sequences_[g].size(); ++i) {
          batch.push_back({.sequence = sequences_[g][i].id(), .ids = {&groups_[g].beams()[i].history.back(), 1}});
        }
      }
      if (batch.empty()) break;
      rows = session_.forward(batch);
    }
    return best();
  }

 private:
  void choose(const at::Tensor& log_probs) {
    const auto vocabulary = static_cast<std::size_t>(log_probs.size(1));
    auto* row = log_probs.data_ptr<float>();
    std::vector<std::int64_t> taken;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const std::size_t beams = groups_[g].beams().size();
      if (beams == 0) continue;
      const auto running = groups_[g].step({row, beams * vocabulary}, taken);
      row += beams * vocabulary;
      for (const BeamCandidate& one : running) taken.push_back(one.token);
      follow(sequences_[g], running);
    }
  }

  // Sequences of the beams that go on: a beam with one continuation hands its own over, others are forked.
  void follow(std::vector<OwnedSequence>& sequences, const std::vector<BeamCandidate>& running) {
    std::vector<std::int64_t> children(sequences.size(), 0);
    for (const BeamCandidate& one : running) ++children[one.beam];
    std::vector<OwnedSequence> next;
    for (const BeamCandidate& one : running) {
      OwnedSequence& parent = sequences[one.beam];
      next.push_back(--children[one.beam] > 0 ? OwnedSequence::fork(session_, parent.id()) : std::move(parent));
    }
    sequences = std::move(next);
  }

  std::vector<BeamHypothesis> best() {
    std::vector<BeamHypothesis> all;
    for (BeamGroup& group : groups_) {
      if (!group.beams().empty()) group.cut_off();
      for (BeamHypothesis& one : group.take()) all.push_back(std::move(one));
    }
    if (groups_.size() > 1) {
      std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    }
    return all;
  }

  Session& session_;
  std::stop_token cancel_;
  std::vector<BeamGroup> groups_;
  std::vector<std::vector<OwnedSequence>> sequences_;  // of each group's beams
};

std::vector<BeamHypothesis> search(Session& session, SequenceId sequence, std::span<const std::int64_t> ids,
                                   const BeamSearchOptions& options, std::unordered_set<std::int64_t> ends,
                                   const Tokenizer* tokenizer) {
  check_prompt(ids);
  const c10::AutoGradMode no_gradients(false);
  const GenerationOptions& generation = options.generation;
  at::Tensor logits;
  try {
    if (generation.cache_prompt) {
      ids = ids.subspan(static_cast<std::size_t>(session.keep_prefix(sequence, ids)));
    }
    logits = session.forward(sequence, ids, LogitsOf::last, generation.cancel);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::cancelled) throw;
    return {};
  }
  std::optional<ConstraintMatcher> matcher = matcher_of(generation, ends);
  const std::int64_t limit = std::min(generation.max_new_tokens, session.room(sequence) + 1);
  const std::uint64_t seed = generation.seed ? *generation.seed : system_seed();
  SamplingChain chain = beam_chain(
      generation,
      {.vocab_size = logits.size(-1), .eos_ids = {ends.begin(), ends.end()}, .limit = limit, .tokenizer = tokenizer});
  const BeamRules rules{.options = options,
                        .ends = std::move(ends),
                        .phrases = PhraseConstraints(options.force_words_ids),
                        .chain = std::move(chain),
                        .matcher = std::move(matcher),
                        .prompt_length = session.length(sequence),
                        .limit = limit,
                        .seed = seed,
                        .random = Random(seed, RandomStream::sampling)};
  std::vector<BeamHypothesis> best = Search(session, rules, sequence).run(logits);
  if (std::ssize(best) > options.num_return_sequences) {
    best.resize(static_cast<std::size_t>(options.num_return_sequences));
  }
  return best;
}

}  // namespace

std::vector<BeamHypothesis> beam_search(Session& session, SequenceId sequence, std::span<const std::int64_t> ids,
                                        const BeamSearchOptions& options) {
  const ModelConfig& config = session.model().config();
  check_options(options, config.vocab_size);
  const GenerationOptions& generation = options.generation;
  const auto& given = generation.eos_token_ids.empty() ? config.eos_token_ids : generation.eos_token_ids;
  std::unordered_set<std::int64_t> ends;
  if (!generation.ignore_eos) ends.insert(given.begin(), given.end());
  if (generation.sampling.dry_multiplier > 0 && !generation.sampling.dry_sequence_breakers.empty()) {
    throw Error(ErrorKind::usage, "texts that DRY's repetitions do not reach across need a tokenizer",
                {.field = "dry_sequence_breakers", .expected = "none where ids alone are searched"});
  }
  return search(session, sequence, ids, options, std::move(ends), nullptr);
}

std::vector<BeamHypothesis> beam_search(Session& session, SequenceId sequence, const Tokenizer& tokenizer,
                                        std::span<const std::int64_t> ids, const BeamSearchOptions& options) {
  const ModelConfig& config = session.model().config();
  check_options(options, config.vocab_size);
  const GenerationOptions& generation = options.generation;
  const std::unordered_set<std::int64_t> ends = end_ids(config, tokenizer, generation);
  std::vector<BeamHypothesis> best = search(session, sequence, ids, options, ends, &tokenizer);
  for (BeamHypothesis& one : best) {
    std::span<const std::int64_t> shown = one.ids;
    if (one.finish_reason == FinishReason::eos) shown = shown.first(shown.size() - 1);
    one.text = tokenizer.decode(shown, {.skip_special_tokens = generation.skip_special_tokens});
  }
  return best;
}

std::vector<BeamHypothesis> beam_search(const CausalLM& model, const Tokenizer& tokenizer, std::string_view prompt,
                                        const BeamSearchOptions& options) {
  Session session(model);
  return beam_search(session, session.create(), tokenizer, tokenizer.encode(prompt), options);
}

}  // namespace powerhouse
