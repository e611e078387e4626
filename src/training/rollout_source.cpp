#include "training/rollout_source.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>

#include "generation/sample_many.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/philox.h"

namespace powerhouse {
namespace {

GenerationOptions sampling(const OnlineOptions& options) {
  return {.max_new_tokens = options.max_completion_length,
          .temperature = options.temperature,
          .top_k = options.top_k,
          .top_p = options.top_p,
          .min_p = options.min_p,
          .repetition_penalty = options.repetition_penalty};
}

// A seed for each completion of each generation, whatever was sampled before.
std::uint64_t completion_seed(std::uint64_t seed, const GenerationKey& key, std::size_t completion) {
  constexpr std::uint32_t kEvaluation = 1u << 31;
  const auto lane = static_cast<std::uint32_t>(completion) | (key.evaluation ? kEvaluation : 0);
  const auto words = Random(seed, RandomStream::sampling, lane).block(key.number);
  return std::uint64_t{words[1]} << 32 | words[0];
}

at::Tensor floats(const std::vector<float>& values) {
  at::Tensor out = empty_tensor({std::ssize(values)}, at::kFloat);
  std::copy(values.begin(), values.end(), out.data_ptr<float>());
  return out;
}

// A head may have more rows than the vocabulary has tokens; as transformers, what is sampled there has no text.
std::string text_of(const Tokenizer& tokenizer, std::vector<std::int64_t> ids) {
  std::erase_if(ids, [&](std::int64_t id) { return id >= static_cast<std::int64_t>(tokenizer.vocab_size()); });
  return tokenizer.decode(ids, {.skip_special_tokens = true});
}

void add_lengths(Metrics& metrics, std::string_view what, std::vector<double> lengths) {
  if (lengths.empty()) lengths.push_back(0);  // as TRL
  double sum = 0;
  for (const double length : lengths) sum += length;
  const auto [least, most] = std::minmax_element(lengths.begin(), lengths.end());
  const auto add = [&](const char* statistic, double value) {
    metrics.emplace_back("completions/" + std::string(statistic) + std::string(what), value);
  };
  add("mean_", sum / static_cast<double>(lengths.size()));
  add("min_", *least);
  add("max_", *most);
}

Metrics length_metrics(const std::vector<Completion>& completions) {
  std::vector<double> all, ended;
  for (const Completion& one : completions) {
    all.push_back(static_cast<double>(one.ids.size()));
    if (one.ended) ended.push_back(all.back());
  }
  Metrics metrics;
  add_lengths(metrics, "length", all);
  metrics.emplace_back("completions/clipped_ratio",
                       1 - static_cast<double>(ended.size()) / static_cast<double>(completions.size()));
  add_lengths(metrics, "terminated_length", ended);
  return metrics;
}

// NaN apart: a function's mean and deviation, with n - 1.
void add_reward_metrics(Metrics& metrics, const std::string& name, const std::vector<double>& rewards) {
  double sum = 0, squares = 0, count = 0;
  for (const double reward : rewards) {
    if (std::isnan(reward)) continue;
    sum += reward;
    ++count;
  }
  if (count > 0) metrics.emplace_back("rewards/" + name + "/mean", sum / count);
  for (const double reward : rewards)
    squares += std::isnan(reward) ? 0 : (reward - sum / count) * (reward - sum / count);
  if (count > 1) metrics.emplace_back("rewards/" + name + "/std", std::sqrt(squares / (count - 1)));
}

}  // namespace

RolloutSource::RolloutSource(CausalLM& model, const OnlineMethodRule& method, std::vector<RewardFunction> rewards,
                             const OnlineOptions& options, bool samples_anew, std::int64_t batch_size,
                             std::uint64_t seed)
    : model_(model),
      method_(method),
      rewards_(std::move(rewards)),
      options_(options),
      samples_anew_(samples_anew),
      batch_size_(batch_size),
      seed_(seed) {
  if (rewards_.empty()) throw Error(ErrorKind::usage, "no reward function", {.field = "rewards"});
  for (const RewardFunction& reward : rewards_) {
    if (!reward.judge) throw Error(ErrorKind::usage, "an empty reward function", {.field = reward.name});
    const auto same = std::count_if(rewards_.begin(), rewards_.end(),
                                    [&](const RewardFunction& other) { return other.name == reward.name; });
    if (reward.name.empty() || same > 1)
      throw Error(ErrorKind::usage, "reward functions need names of their own",
                  {.field = "rewards", .found = reward.name});
  }
  const AlignmentOptions alignment{.ref_model = options.ref_model,
                                   .sync_ref_model = options.sync_ref_model,
                                   .ref_model_mixup_alpha = options.ref_model_mixup_alpha,
                                   .ref_model_sync_steps = options.ref_model_sync_steps};
  if (method.has_reference()) {
    reference_.emplace(model, alignment);
  } else if (options.ref_model != nullptr || options.sync_ref_model) {
    throw Error(ErrorKind::usage, "has no effect: beta is 0", {.field = "ref_model"});
  }
  share_prompts_ =
      method.shares_prompts() && may_share_prompts(model) && (!reference_ || may_share_prompts(reference_->model()));
}

Rollouts RolloutSource::generate(const PromptDataset& data, const std::vector<std::int64_t>& rows,
                                 std::int64_t num_generations, GenerationKey key) const {
  std::vector<Prompt> prompts;
  std::vector<std::vector<std::int64_t>> ids;
  for (const std::int64_t row : rows) {
    prompts.push_back(data.prompt(row));
    ids.push_back(prompts.back().ids);
  }
  const ManyOptions many{.per_prompt = num_generations,
                         .seed = [&](std::size_t completion) { return completion_seed(seed_, key, completion); }};
  const std::vector<SampledCompletion> sampled = sample_many(model_, data.tokenizer(), ids, sampling(options_), many);
  std::vector<Completion> completions;
  std::vector<std::int64_t> row_of;
  std::vector<float> log_probs;
  for (std::size_t i = 0; i < sampled.size(); ++i) {
    const std::size_t from = i / static_cast<std::size_t>(num_generations);
    const Prompt& prompt = prompts[from];
    completions.push_back({.prompt = prompt.text,
                           .conversational = prompt.conversational,
                           .prompt_ids = prompt.ids,
                           .text = text_of(data.tokenizer(), sampled[i].ids),
                           .ids = sampled[i].ids,
                           .ended = sampled[i].ended,
                           .columns = prompt.columns});
    row_of.push_back(rows[from]);
    log_probs.insert(log_probs.end(), sampled[i].log_probs.begin(), sampled[i].log_probs.end());
  }
  return judged(std::move(completions), std::move(row_of), floats(log_probs), num_generations);
}

Rollouts RolloutSource::judged(std::vector<Completion> completions, std::vector<std::int64_t> rows,
                               const at::Tensor& sampler_log_probs, std::int64_t num_generations) const {
  Rollouts out;
  out.rows = std::move(rows);
  out.share_prompts = share_prompts_;
  out.metrics = length_metrics(completions);
  const at::Tensor rewards = rewards_of(completions, out.metrics);
  std::vector<std::int64_t> learnt;  // places of tokens among all
  std::int64_t place = 0;
  for (const Completion& one : completions) {
    PreferenceSequence sequence{one.prompt_ids, std::ssize(one.prompt_ids)};
    const bool masked = options_.mask_truncated_completions && !one.ended;
    for (const std::int64_t id : one.ids) {
      if (!masked) sequence.input_ids.push_back(id);
      if (!masked) learnt.push_back(place);
      ++place;
    }
    out.sequences.push_back(std::move(sequence));
    out.ended.push_back(one.ended);
  }
  add_log_probs(out, sampler_log_probs.index_select(0, index_tensor(learnt)));
  method_.judge(out, rewards, num_generations);
  return out;
}

at::Tensor RolloutSource::rewards_of(const std::vector<Completion>& completions, Metrics& metrics) const {
  const auto count = completions.size();
  at::Tensor out = empty_tensor({std::ssize(completions), std::ssize(rewards_)}, at::kFloat);
  for (std::size_t f = 0; f < rewards_.size(); ++f) {
    const std::vector<double> rewards = rewards_[f].judge(completions);
    if (rewards.size() != count) {
      throw Error(
          ErrorKind::usage, "a reward function must give a number for each completion",
          {.field = rewards_[f].name, .expected = std::to_string(count), .found = std::to_string(rewards.size())});
    }
    add_reward_metrics(metrics, rewards_[f].name, rewards);
    for (std::size_t i = 0; i < count; ++i) {
      out.data_ptr<float>()[i * rewards_.size() + f] = static_cast<float>(rewards[i]);
    }
  }
  return out;
}

// What the sampler says is what the trainer would find only in exact numerics.
void RolloutSource::add_log_probs(Rollouts& rollouts, const at::Tensor& sampler_log_probs) const {
  if (model_.numerics() == Numerics::exact) {
    rollouts.of_tokens["old"] = sampler_log_probs;
  } else if (method_.always_old() || !samples_anew_) {
    const at::Tensor old = token_log_probs(model_, rollouts, batch_size_, options_.temperature);
    rollouts.of_tokens["old"] = old;
    if (old.size(0) > 0) {
      const at::Tensor difference = old.sub(sampler_log_probs).abs();
      rollouts.metrics.emplace_back("sampling/sampling_logp_difference/mean", difference.mean().item<double>());
      rollouts.metrics.emplace_back("sampling/sampling_logp_difference/max", difference.max().item<double>());
    }
  }
  if (!reference_) return;
  rollouts.of_tokens["ref"] = token_log_probs(reference_->model(), rollouts, batch_size_, options_.temperature);
}

}  // namespace powerhouse
