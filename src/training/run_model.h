// The tokenizer and the model that a run names, ready to train.
#pragma once

#include <optional>

#include "powerhouse/causal_lm.h"
#include "powerhouse/sequence_classifier.h"
#include "powerhouse/tokenizer.h"
#include "powerhouse/training_run.h"

namespace powerhouse {

/// Its special tokens are those of the files. Error{not_found} for a token of the run that the vocabulary lacks;
/// Error{unsupported} for another end of text than the files'.
Tokenizer run_tokenizer(const TrainingRun& run);

/// What a run on preferences compares its model with, where that is neither the base without adapters nor a copy: the
/// model that `ref_model` names, or the saved adapter that training starts from.
std::optional<CausalLM> run_reference(const TrainingRun& run, const CausalLM& model);

/// The same with a head of one number: the base's own, or a fresh one. Padding is the tokenizer's, else its EOS.
SequenceClassifier run_reward_model(const TrainingRun& run);

/// With its adapter, new or saved, or with all (or the unfrozen) parameters requiring gradients.
CausalLM run_model(const TrainingRun& run);

}  // namespace powerhouse
