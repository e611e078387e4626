// Contrastive search: each step runs the candidates side by side on forks, and one of them goes on.
#include "powerhouse/contrastive_search.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "generation/beam_candidates.h"
#include "generation/option_bounds.h"
#include "generation/owned_sequence.h"
#include "generation/sampling_chain.h"
#include "generation/stopping.h"
#include "generation/text_output.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/seconds_since.h"

namespace powerhouse {
namespace {

using Clock = std::chrono::steady_clock;

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
  expect(generation.top_p == 1, "top_p", "1", std::to_string(generation.top_p));
  expect(generation.min_p == 0, "min_p", "0", std::to_string(generation.min_p));
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
  ContrastiveSearch(Session& session, const ContrastiveSearchOptions& options, const ChainSetting& setting,
                    std::optional<ConstraintMatcher> matcher)
      : session_(session),
        options_(options),
        text_(OwnedSequence::create(session)),
        chain_(options.generation, setting),
        matcher_(std::move(matcher)) {}

  /// Computes the prompt. Error{cancelled} where `cancel` came first.
  void begin(std::span<const std::int64_t> ids) {
    history_.assign(ids.begin(), ids.end());
    prompt_length_ = std::ssize(ids);
    for (std::size_t i = 0; i < ids.size(); i += kPiece) {
      const SequenceInput piece{text_.id(), ids.subspan(i, std::min(kPiece, ids.size() - i)), LogitsOf::all};
      at::Tensor hidden;
      const at::Tensor logits = session_.forward_with_hidden({&piece, 1}, hidden, options_.generation.cancel);
      context_.add(normalized(hidden));
      logits_ = logits.select(0, -1).contiguous();
    }
  }

  std::int64_t next() {
    const std::vector<BeamCandidate> candidates = probable();
    std::vector<OwnedSequence> forks;
    std::vector<std::int64_t> tokens;
    for (const BeamCandidate& one : candidates) {
      forks.push_back(OwnedSequence::fork(session_, text_.id()));
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
    text_ = std::move(forks[best]);
    context_.add(directions.narrow(0, row, 1));
    logits_ = logits.select(0, row).contiguous();
    history_.push_back(tokens[best]);
    if (matcher_) matcher_->accept(tokens[best]);
    return tokens[best];
  }

  /// Nothing may follow.
  bool is_finished() { return matcher_ && matcher_->is_finished(); }

 private:
  // The top_k most probable tokens, with their probabilities.
  std::vector<BeamCandidate> probable() {
    const std::span<float> row(logits_.data_ptr<float>(), static_cast<std::size_t>(logits_.numel()));
    chain_.process(row, {.ids = history_, .prompt_length = prompt_length_}, matcher_ ? &*matcher_ : nullptr);
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
  OwnedSequence text_;
  SamplingChain chain_;
  std::optional<ConstraintMatcher> matcher_;
  std::vector<std::int64_t> history_;
  std::int64_t prompt_length_ = 0;
  Directions context_;
  at::Tensor logits_{};  // of what follows
};

}  // namespace

GenerationResult contrastive_search(Session& session, const Tokenizer& tokenizer, std::span<const std::int64_t> ids,
                                    const ContrastiveSearchOptions& options) {
  const ModelConfig& config = session.model().config();
  const GenerationOptions& generation = options.generation;
  check(options, config.vocab_size);
  if (ids.empty()) {
    throw Error(ErrorKind::usage, "there is nothing to continue: the prompt has no tokens", {.field = "prompt"});
  }
  const c10::AutoGradMode no_gradients(false);
  const auto ends = end_ids(config, tokenizer, generation);
  GenerationResult result{.finish_reason = FinishReason::cancelled, .prompt_tokens = std::ssize(ids)};
  const auto begin = Clock::now();
  // A token is chosen by what the model makes of it: the last too must have its place in the context.
  const std::int64_t limit = std::min(generation.max_new_tokens, longest_sequence(config) - std::ssize(ids));
  ContrastiveSearch search(session, options, chain_setting(config, tokenizer, generation, limit),
                           matcher_of(generation, ends));
  try {
    search.begin(ids);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::cancelled) throw;
    return result;
  }
  result.prompt_seconds = seconds_since(begin);
  result.finish_reason = FinishReason::length;
  TextOutput output(tokenizer, generation);
  auto first_token = begin;
  while (std::ssize(result.ids) < limit) {
    if (generation.cancel.stop_requested()) {
      result.finish_reason = FinishReason::cancelled;
      break;
    }
    result.ids.push_back(search.next());
    if (result.ids.size() == 1) {
      result.first_token_seconds = seconds_since(begin);
      first_token = Clock::now();
    }
    if (ends.contains(result.ids.back())) {
      result.finish_reason = FinishReason::eos;
      break;
    }
    output.add(result.ids.back());
    if (search.is_finished()) result.finish_reason = FinishReason::stop;
    if (output.stopped() || search.is_finished()) break;
  }
  output.finish();
  if (output.stopped()) result.finish_reason = FinishReason::stop;
  result.generation_seconds = result.ids.empty() ? 0 : seconds_since(first_token);
  result.text = output.take();
  return result;
}

GenerationResult contrastive_search(const CausalLM& model, const Tokenizer& tokenizer, std::string_view prompt,
                                    const ContrastiveSearchOptions& options) {
  Session session(model);
  return contrastive_search(session, tokenizer, tokenizer.encode(prompt), options);
}

}  // namespace powerhouse
