// The reference that a policy is compared with: its weights without adapters, a copy of them, or another model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "powerhouse/causal_lm.h"
#include "powerhouse/preference.h"
#include "powerhouse/tensor_file.h"

namespace powerhouse {

class ReferenceModel {
 public:
  /// Copies the policy's weights where they train themselves and log-probabilities are not precomputed. Error{usage,
  /// unsupported} for options that make no sense.
  ReferenceModel(CausalLM& policy, const AlignmentOptions& options);

  const CausalLM& model() const { return *model_; }
  /// Names weights and arithmetic; empty where adapters of its own make it nameless.
  std::string fingerprint() const;

  /// Behind step `step`: moves towards the policy where that is due.
  void updated(std::int64_t step, const CausalLM& policy);
  void save(const std::string& folder, const CausalLM& policy) const;
  void restore(const std::string& folder, const CausalLM& policy);

 private:
  /// What follows the policy's trained parameters.
  std::vector<NamedTensor> moving(const CausalLM& policy) const;

  AlignmentOptions options_;
  std::optional<CausalLM> own_;
  CausalLM* model_;
};

}  // namespace powerhouse
