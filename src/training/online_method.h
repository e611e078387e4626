// What GRPO, RLOO and PPO differ in: what they make of rewards, and their loss.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "powerhouse/online.h"
#include "training/rollouts.h"

namespace powerhouse {

/// What a micro batch is a part of.
struct OnlineStep {
  ScoreOptions options{};          // of the policy's pass
  std::int64_t micro_batches = 1;  // of this step
  std::int64_t steps_per_generation = 1;
  std::int64_t generation_tokens = 0;  // learnt from, of the generation
};

/// How completions become steps, in numbers of micro batches and completions.
struct GenerationShape {
  std::int64_t micro_batch_size = 1, steps_per_generation = 1, num_generations = 8, num_iterations = 1;
};

/// Where options are absent, the method's defaults. Error{usage} for numbers that do not fit together.
GenerationShape generation_shape(const OnlineMethod& method, const OnlineOptions& options,
                                 std::int64_t micro_batch_size, std::int64_t gradient_accumulation_steps);

class OnlineMethodRule {
 public:
  virtual ~OnlineMethodRule() = default;

  virtual std::string description() const = 0;  // "grpo (dapo), beta 0"
  virtual bool has_reference() const = 0;
  /// Whether log-probabilities of the policy that sampled are needed where every step samples anew.
  virtual bool always_old() const { return false; }
  /// Whether all passes take documents that share a prompt.
  virtual bool shares_prompts() const { return true; }
  /// Whether its loss has an entropy bonus.
  virtual bool has_entropy_bonus() const { return false; }
  /// Whether completions come in another order each time that a generation is used.
  virtual bool reorders() const { return false; }
  /// `rewards` float32 [completions, functions]; of_tokens has "old" and "ref" where they are needed. Adds
  /// of_completions' "advantages" and what else the loss asks for, and metrics.
  virtual void judge(Rollouts& rollouts, const at::Tensor& rewards, std::int64_t num_generations) const = 0;
  /// Its part of the step's loss: those of all micro batches add up.
  virtual LossResult loss(const CompletionLogProbs& policy, const RolloutBatch& batch,
                          const OnlineStep& step) const = 0;
  // What trains beside the policy.
  virtual std::vector<std::pair<std::string, at::Tensor>> extra_parameters() const { return {}; }
  virtual void save(const std::string& /*folder*/) const {}
  virtual void restore(const std::string& /*folder*/) const {}
};

/// `batch_size` completions a pass. Error{range, usage, unsupported} for options that make no sense.
std::unique_ptr<OnlineMethodRule> make_online_method(const OnlineMethod& method, const OnlineOptions& options,
                                                     std::int64_t batch_size);
std::unique_ptr<OnlineMethodRule> make_ppo_method(const PpoOptions& method, const OnlineOptions& options,
                                                  std::int64_t batch_size);

}  // namespace powerhouse
