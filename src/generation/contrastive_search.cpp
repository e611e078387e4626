// Contrastive search: each step runs the candidates side by side on forks, and one of them goes on.
#include "powerhouse/contrastive_search.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "generation/beam_candidates.h"
#include "generation/continuation.h"
#include "generation/option_bounds.h"
#include "generation/owned_sequence.h"
#include "generation/sampling_chain.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/refuse_usage.h"

namespace powerhouse {
namespace {

// Prompts go through in pieces: each row has its logits beside its hidden state.
constexpr std::size_t kPiece = 64;

void check(const ContrastiveSearchOptions& options, std::int64_t vocabulary) {
  check_options(options.generation);
  check_search(options.generation);
  const auto expect = [](bool holds, const char* field, const char* expected, const std::string& found) {
    if (!holds) {
      throw Error(ErrorKind::usage, "option out of bounds", {.field = field, .expected = expected, .found = found});
    }
  };
  const float alpha = options.penalty_alpha;
  expect(alpha >= 0 && alpha <= 1, "penalty_alpha", "0 to 1", std::to_string(alpha));
  expect(options.top_k >= 1 && options.top_k <= std::min<std::int64_t>(1024, vocabulary), "top_k",
         "1 to 1024, at most the vocabulary", std::to_string(options.top_k));
  const GenerationOptions& generation = options.generation;
  expect(generation.temperature == 0, "temperature", "0", std::to_string(generation.temperature));
  expect(generation.top_k == 0, "generation.top_k", "0: candidates are top_k of contrastive search",
         std::to_string(generation.top_k));
  const char* const truncation = truncation_of(generation);
  refuse_usage(truncation != nullptr, truncation, "contrastive search does not sample");
  const SamplingOptions& sampling = generation.sampling;
  expect(sampling.order == SamplerOrder::hf, "sampler_order", "hf: nothing is sampled",
         std::string(to_string(sampling.order)));
  expect(sampling.samplers.empty(), "samplers", "none", std::to_string(sampling.samplers.size()));
  expect(!generation.cache_prompt, "cache_prompt", "false", "true");
}

at::Tensor normalized(const at::Tensor& hidden) {
  return hidden.div(hidden.square().sum({1}, /*keepdim=*/true).sqrt().clamp_min(1e-30));
}

// The directions of hidden states so far, in rows that grow by doubling.
class Directions {
 public:
  void add(const at::Tensor& rows) {
    const std::int64_t wanted = count_ + rows.size(0);
    if (!rows_.defined() || wanted > rows_.size(0)) {
      at::Tensor larger = empty_tensor({std::max(wanted, 2 * count_), rows.size(1)}, at::kFloat);
      if (count_ > 0) larger.narrow(0, 0, count_).copy_(rows_.narrow(0, 0, count_));
      rows_ = std::move(larger);
    }
    rows_.narrow(0, count_, rows.size(0)).copy_(rows);
    count_ = wanted;
  }
  /// The largest cosine of each of `rows` with any of them.
  at::Tensor nearest(const at::Tensor& rows) const {
    return rows.matmul(rows_.narrow(0, 0, count_).t()).amax({1}).contiguous();
  }

 private:
  at::Tensor rows_{};
  std::int64_t count_ = 0;
};

class ContrastiveSearch {
 public:
  ContrastiveSearch(Session& session, OwnedSequence sequence, const ContrastiveSearchOptions& options,
                    const ChainSetting& setting)
      : session_(session), options_(options), sequence_(std::move(sequence)), chain_(options.generation, setting) {}

  /// Computes the prompt. Error{cancelled} where `cancel` came first.
  void begin(std::span<const std::int64_t> ids) {
    for (std::size_t i = 0; i < ids.size(); i += kPiece) {
      const SequenceInput piece{sequence_.id(), ids.subspan(i, std::min(kPiece, ids.size() - i)), LogitsOf::all};
      at::Tensor hidden;
      const at::Tensor logits = session_.forward_with_hidden({&piece, 1}, hidden, options_.generation.cancel);
      context_.add(normalized(hidden));
      logits_ = logits.select(0, -1).contiguous();
    }
  }

  /// The token that `text` goes on with; the caller takes it.
  std::int64_t next(Continuation& text) {
    const std::vector<BeamCandidate> candidates = probable(text);
    std::vector<OwnedSequence> forks;
    std::vector<std::int64_t> tokens;
    for (const BeamCandidate& one : candidates) {
      forks.push_back(OwnedSequence::fork(session_, sequence_.id()));
      tokens.push_back(one.token);
    }
    std::vector<SequenceInput> batch;
    for (std::size_t i = 0; i < forks.size(); ++i) {
      batch.push_back({.sequence = forks[i].id(), .ids = {&tokens[i], 1}});
    }
    at::Tensor hidden;
    const at::Tensor logits = session_.forward_with_hidden(batch, hidden);
    const at::Tensor directions = normalized(hidden);
    const at::Tensor nearest = context_.nearest(directions);
    std::size_t best = 0;
    float best_score = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const float alpha = options_.penalty_alpha;
      const float score = (1 - alpha) * candidates[i].score - alpha * nearest.const_data_ptr<float>()[i];
      if (i > 0 && !(score > best_score)) continue;
      best = i;
      best_score = score;
    }
    const auto row = static_cast<std::int64_t>(best);
    sequence_ = std::move(forks[best]);
    context_.add(directions.narrow(0, row, 1));
    logits_ = logits.select(0, row).contiguous();
    return tokens[best];
  }

 private:
  // The top_k most probable tokens, with their probabilities.
  std::vector<BeamCandidate> probable(Continuation& text) {
    const std::span<float> row(logits_.data_ptr<float>(), static_cast<std::size_t>(logits_.numel()));
    chain_.process(row, text.context(), text.matcher());
    const at::Tensor probabilities = logits_.softmax(-1);
    const float* const values = probabilities.const_data_ptr<float>();
    BestCandidates best(static_cast<std::size_t>(options_.top_k));
    best.add(row, 0, 0);
    std::vector<BeamCandidate> candidates = best.take();
    if (candidates.empty()) throw Error(ErrorKind::numeric, "every token is forbidden", {.field = "logits"});
    for (BeamCandidate& one : candidates) one.score = values[one.token];
    return candidates;
  }

  Session& session_;
  const ContrastiveSearchOptions& options_;
  OwnedSequence sequence_;
  SamplingChain chain_;
  Directions context_;
  at::Tensor logits_{};  // of what follows
};

}  // namespace

GenerationResult contrastive_search(Session& session, const Tokenizer& tokenizer, std::span<const std::int64_t> ids,
                                    const ContrastiveSearchOptions& options) {
  const ModelConfig& config = session.model().config();
  const GenerationOptions& generation = options.generation;
  check(options, config.vocab_size);
  check_prompt(ids);
  const c10::AutoGradMode no_gradients(false);
  // A token is chosen by what the model makes of it: the last too must have its place in the context.
  OwnedSequence sequence = OwnedSequence::create(session);
  const std::int64_t room = session.room(sequence.id()) - std::ssize(ids);
  Continuation text(config, tokenizer, {ids.begin(), ids.end()}, std::ssize(ids), room, generation);
  ContrastiveSearch search(session, std::move(sequence), options,
                           chain_setting(config, tokenizer, generation, text.limit()));
  try {
    search.begin(ids);
    text.prefilled();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::cancelled) throw;
    text.cancelled();
  }
  while (text.wants_more()) text.take(search.next(text));
  return text.finish();
}

GenerationResult contrastive_search(const CausalLM& model, const Tokenizer& tokenizer, std::string_view prompt,
                                    const ContrastiveSearchOptions& options) {
  Session session(model);
  return contrastive_search(session, tokenizer, tokenizer.encode(prompt), options);
}

}  // namespace powerhouse
