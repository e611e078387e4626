// Knowledge distillation: a student learns a teacher's whole distribution of each next token (Hinton et al. 2015, arXiv
// 1503.02531; Agarwal et al. 2024, GKD, 2306.13649), beside the token itself or instead of it. The data are those of
// any fine-tuning (dataset.h); formulas: distillation_losses.h; the loop: trainer.h; the teacher in a file:
// teacher_store.h.
//
//     auto data = powerhouse::Dataset::open(tokenizer, {{.path = "train.jsonl"}}, {.val_set_size = 0.05});
//     student.set_requires_grad(true);
//     powerhouse::Trainer(student, teacher, data, powerhouse::DistillationOptions{.alpha = 0.5},
//                         {.learning_rate = 1e-4}).train();
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "powerhouse/dataset.h"
#include "powerhouse/distillation_losses.h"

namespace powerhouse {

class CausalLM;
class TeacherStore;  // teacher_store.h

/// A step's loss is the sum over its target tokens of
///     ce_alpha cross entropy + alpha divergence (+ hidden_state_weight mean square of hidden states)
/// divided by their number, TRL's num_items_in_batch. Divergences of models that share a vocabulary are `divergence`'s;
/// for other vocabularies see Teacher::data. Metrics: ce_loss and divergence, each a mean over what it is taken at;
/// entropy, the student's at the temperature; hidden_loss where it is asked for.
struct DistillationOptions {
  DistillOptions divergence{};       ///< beta 1, temperature 1: TRL's DistillationTrainer
  double alpha = 1;                  ///< of the divergence, 0 or more; Axolotl's kd_alpha
  std::optional<double> ce_alpha{};  ///< of the cross entropy, 0 or more, Axolotl's kd_ce_alpha; default: 1 - alpha
  /// Of the mean squared difference of the hidden states that the heads read (last_hidden_state of transformers), 0 or
  /// more. Where the widths differ a projection [teacher, student] is learnt with the student; checkpoints have it.
  double hidden_state_weight = 0;
  bool disable_dropout = false;  ///< of the student's adapters
};

/// Whom a student learns from. Exactly one of model and store, which must outlive the trainer.
struct Teacher {
  const CausalLM* model = nullptr;
  const TeacherStore* store = nullptr;
  /// For a model with another tokenizer: the same files and templates' meaning, opened with the teacher's tokenizer,
  /// training and held-back rows together (Dataset::open's result). Rows are found by file and line, and what is
  /// trained must be the same text on both sides but for blanks at its ends; special tokens are left out. Where both
  /// cut that text at the same byte, a span ends: there the distributions are compared by universal_logit_loss, mean
  /// over spans. Rows that only the student has learn from cross entropy alone. Not with hidden_state_weight.
  std::optional<Dataset> data{};
};

/// Error{range} for options out of their bounds, Error{usage} where nothing would be learnt.
POWERHOUSE_API void check(const DistillationOptions& options);

}  // namespace powerhouse
