// RolloutSource: one generation: completions are sampled, judged, and given what the method's loss asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "powerhouse/online.h"
#include "powerhouse/prompt_dataset.h"
#include "training/online_method.h"
#include "training/reference_model.h"
#include "training/rollouts.h"

namespace powerhouse {

/// Which completions: with the run's seed, the key of their random numbers.
struct GenerationKey {
  std::uint64_t number = 0;  // of the run
  bool evaluation = false;
};

class RolloutSource {
 public:
  /// `samples_anew`: every step sees completions of the policy that it moves. `batch_size` completions a pass for
  /// log-probabilities. Error{usage, range, unsupported}.
  RolloutSource(CausalLM& model, const OnlineMethodRule& method, std::vector<RewardFunction> rewards,
                const OnlineOptions& options, bool samples_anew, std::int64_t batch_size, std::uint64_t seed);

  Rollouts generate(const PromptDataset& data, const std::vector<std::int64_t>& rows, std::int64_t num_generations,
                    GenerationKey key) const;

  /// Judges completions that are there, with their tokens' log-probabilities by the sampler: the rest of generate.
  Rollouts judged(std::vector<Completion> completions, std::vector<std::int64_t> rows,
                  const at::Tensor& sampler_log_probs, std::int64_t num_generations) const;

  /// Whether a prompt is computed once for its completions in a pass.
  bool shares_prompts() const { return share_prompts_; }
  std::optional<ReferenceModel>& reference() { return reference_; }
  const std::optional<ReferenceModel>& reference() const { return reference_; }

 private:
  at::Tensor rewards_of(const std::vector<Completion>& completions, Metrics& metrics) const;
  void add_log_probs(Rollouts& rollouts, const at::Tensor& sampler_log_probs) const;

  CausalLM& model_;
  const OnlineMethodRule& method_;
  std::vector<RewardFunction> rewards_;
  OnlineOptions options_;
  bool samples_anew_ = false;
  std::int64_t batch_size_ = 1;
  std::uint64_t seed_ = 0;
  std::optional<ReferenceModel> reference_{};
  bool share_prompts_ = true;
};

}  // namespace powerhouse
