// A prompt is computed once and forked; then each pass takes one token of every completion that has not ended.
#include "generation/sample_many.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <optional>

#include "generation/option_bounds.h"
#include "generation/sampling_chain.h"
#include "generation/stopping.h"
#include "ops/log_probabilities.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/refuse_usage.h"

namespace powerhouse {
namespace {

struct Running {
  std::size_t completion = 0;
  SequenceId sequence = 0;
  std::uint64_t seed = 0;
  SamplingChain chain;
  std::vector<std::int64_t> history;  // prompt and completion
  std::int64_t prompt_length = 0, limit = 0;
  std::optional<ConstraintMatcher> matcher{};
};

void check(const GenerationOptions& options, const ManyOptions& many) {
  check_options(options);
  refuse_usage(many.log_probs && options.temperature == 0.0f, "temperature",
               "greedy completions have no probabilities");
  refuse_usage(options.max_new_tokens < 1, "max_new_tokens", "must be 1 or more");
  refuse_usage(!options.stop.empty(), "stop", "completions of many end by EOS alone");
  refuse_usage(!options.stop_regex.empty(), "stop_regex", "completions of many end by EOS alone");
  refuse_usage(!options.stop_token_ids.empty(), "stop_token_ids", "completions of many end by EOS alone");
  refuse_usage(options.max_time.has_value(), "max_time", "completions of many have no time of their own");
  refuse_usage(options.thinking.has_value(), "thinking", "completions of many have no budget for thoughts");
  refuse_usage(options.top_log_probs.has_value(), "top_log_probs",
               "completions of many have those of their tokens alone");
  refuse_usage(options.seed.has_value(), "seed", "each completion has its own seed");
  refuse_usage(options.on_token != nullptr, "on_token", "completions of many are not streamed");
  refuse_usage(options.sampling.guidance_scale != 1.0f, "guidance_scale",
               "completions of many have no negative prompt");
  refuse_usage(many.per_prompt < 1, "per_prompt", "must be 1 or more");
}

class Sampler {
 public:
  Sampler(const CausalLM& model, const Tokenizer& tokenizer, const GenerationOptions& options, const ManyOptions& many)
      : options_(options), many_(many), ends_(end_ids(model.config(), tokenizer, options)) {}

  std::optional<ConstraintMatcher> matcher() const { return matcher_of(options_, ends_); }

  /// Takes a token for each of `running` from its row of logits; returns those that go on.
  std::vector<Running> step(std::vector<Running> running, const at::Tensor& logits,
                            std::vector<SampledCompletion>& out) const {
    std::vector<std::int64_t> chosen;
    // Before the row is changed.
    const at::Tensor log_probs = many_.log_probs ? ops::log_probabilities(logits, options_.temperature) : at::Tensor();
    const at::Tensor rows = logits.contiguous();
    const auto vocabulary = static_cast<std::size_t>(rows.size(1));
    for (std::size_t i = 0; i < running.size(); ++i) {
      Running& one = running[i];
      const std::span<float> row(rows.data_ptr<float>() + i * vocabulary, vocabulary);
      chosen.push_back(one.chain.choose(row, {.ids = one.history, .prompt_length = one.prompt_length, .seed = one.seed},
                                        one.matcher ? &*one.matcher : nullptr));
    }
    if (log_probs.defined()) {
      const at::Tensor taken = log_probs.gather(1, index_tensor(chosen).unsqueeze(1)).squeeze(1);
      const auto* const values = taken.const_data_ptr<float>();
      for (std::size_t i = 0; i < running.size(); ++i) out[running[i].completion].log_probs.push_back(values[i]);
    }
    std::vector<Running> rest;
    for (std::size_t i = 0; i < running.size(); ++i) {
      if (goes_on(running[i], chosen[i], out[running[i].completion])) rest.push_back(std::move(running[i]));
    }
    return rest;
  }

 private:
  bool goes_on(Running& one, std::int64_t id, SampledCompletion& completion) const {
    completion.ids.push_back(id);
    completion.ended = ends_.contains(id);
    one.history.push_back(id);
    if (!completion.ended) {
      if (one.matcher) one.matcher->accept(id);
      completion.stopped = many_.on_token && many_.on_token(one.completion, id);
      completion.stopped = completion.stopped || (one.matcher && one.matcher->is_finished());
    }
    completion.whole = completion.ended || completion.stopped || std::ssize(completion.ids) >= one.limit;
    return !completion.whole;
  }

  const GenerationOptions& options_;
  const ManyOptions& many_;
  std::unordered_set<std::int64_t> ends_;
};

}  // namespace

std::vector<SampledCompletion> sample_many(const CausalLM& model, const Tokenizer& tokenizer,
                                           const std::vector<std::vector<std::int64_t>>& prompts,
                                           const GenerationOptions& options, const ManyOptions& many) {
  check(options, many);
  const c10::AutoGradMode no_gradients(false);
  std::vector<SampledCompletion> out(prompts.size() * static_cast<std::size_t>(many.per_prompt));
  Session session(model);
  const Sampler sampler(model, tokenizer, options, many);
  std::vector<Running> running;
  for (std::size_t p = 0; p < prompts.size(); ++p) {
    const SequenceId sequence = session.create();
    // One row for all: each completion may change its own.
    const at::Tensor logits =
        session.forward(sequence, prompts[p], LogitsOf::last, options.cancel).expand({many.per_prompt, -1});
    const std::int64_t limit = std::min(options.max_new_tokens, session.room(sequence) + 1);
    const SamplingChain chain(options, chain_setting(model.config(), tokenizer, options, limit));
    std::vector<Running> group;
    for (std::int64_t i = 0; i < many.per_prompt; ++i) {
      const std::size_t completion = p * static_cast<std::size_t>(many.per_prompt) + static_cast<std::size_t>(i);
      group.push_back({.completion = completion,
                       .sequence = i == 0 ? sequence : session.fork(sequence),
                       .seed = many.seed(completion),
                       .chain = chain,
                       .history = prompts[p],
                       .prompt_length = std::ssize(prompts[p]),
                       .limit = limit,
                       .matcher = sampler.matcher()});
    }
    for (Running& one : sampler.step(std::move(group), logits.contiguous(), out)) running.push_back(std::move(one));
  }
  while (!running.empty() && !options.cancel.stop_requested()) {
    std::vector<SequenceInput> batch;
    batch.reserve(running.size());
    for (const Running& one : running) batch.push_back({.sequence = one.sequence, .ids = {&one.history.back(), 1}});
    const at::Tensor logits = session.forward(batch);
    running = sampler.step(std::move(running), logits, out);
  }
  return out;
}

}  // namespace powerhouse
