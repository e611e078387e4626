// Training on preferences: the methods, and what they share. Data: preference_dataset.h; formulas: dpo_loss.h and
// preference_losses.h; the loop: trainer.h.
//
//     auto data = powerhouse::PreferenceDataset::open(tokenizer, {{.path = "pairs.jsonl"}}, {.val_set_size = 0.1});
//     model.add_adapter("dpo", {.rank = 16, .alpha = 32});
//     powerhouse::Trainer(model, data, powerhouse::DpoOptions{.beta = 0.1}, {.learning_rate = 5e-6}).train();
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "powerhouse/dpo_loss.h"
#include "powerhouse/preference_losses.h"

namespace powerhouse {

class CausalLM;

/// SimPO is CpoOptions{.loss_type = CpoLossType::simpo}, IPO DpoOptions{.loss_type = {DpoLossType::ipo}}.
using PreferenceOptions = std::variant<DpoOptions, OrpoOptions, KtoOptions, CpoOptions>;

/// What methods share beside their loss. All but disable_dropout are of the reference model, which DPO and KTO have,
/// and Error{usage} for the others. Names and defaults are TRL's.
struct AlignmentOptions {
  /// The reference: another model, which must outlive the trainer. Without one it is the trained model without its
  /// adapters; where there are none, a copy of the model as the trainer is given it.
  CausalLM* ref_model = nullptr;
  /// Scores all rows with the reference once, before the first step, so that no step has to, and no copy is needed.
  /// KTO, which scores mismatched completions of a micro batch too, needs TrainingOptions::shuffle off.
  bool precompute_ref_log_probs = false;
  std::int64_t precompute_ref_batch_size = 0;  ///< rows a pass; 0: the micro batch's. Not of KTO
  /// Where precomputed log-probabilities are kept and found again, in a file named by a hash of reference, data and
  /// method. Empty: TrainingOptions::output_dir, or nowhere. A reference with adapters of its own is never kept.
  std::string ref_cache_dir{};
  /// Every so many steps the reference moves to alpha * model + (1 - alpha) * reference (TR-DPO, Gorbatovski et al.
  /// 2024, arXiv 2404.09656). Not with adapters, as in TRL, and not with precomputed log-probabilities.
  bool sync_ref_model = false;
  double ref_model_mixup_alpha = 0.6;
  std::int64_t ref_model_sync_steps = 512;
  bool disable_dropout = true;  ///< of adapters, in training
};

}  // namespace powerhouse
