// The tokenizer and the model that a run names, ready to train.
#pragma once

#include <optional>

#include "powerhouse/causal_lm.h"
#include "powerhouse/sequence_classifier.h"
#include "powerhouse/tokenizer.h"
#include "powerhouse/training_run.h"

namespace powerhouse {

/// With the run's special tokens in the place of the files'. Errors as Tokenizer::from_pretrained's.
Tokenizer run_tokenizer(const TrainingRun& run);

/// What a run on preferences compares its model with, where that is neither the base without adapters nor a copy: the
/// model that `ref_model` names, or the saved adapter that training starts from.
std::optional<CausalLM> run_reference(const TrainingRun& run, const CausalLM& model);

/// With its adapter, new or saved, or with all (or the unfrozen) parameters requiring gradients. Its config names the
/// run's special tokens, and what is saved has a tokenizer that does.
CausalLM run_model(const TrainingRun& run, const Tokenizer& tokenizer);

/// The token that reward models take for padding, as in TRL: the tokenizer's own, else its EOS.
std::optional<std::int64_t> padding_token(const Tokenizer& tokenizer);

/// The head over sequences that the base has, if it has one.
std::optional<SequenceHead> base_head(const TrainingRun& run);

/// The same with a head over sequences: the base's own, or a fresh one, with padding_token().
SequenceClassifier run_classifier(const TrainingRun& run, const Tokenizer& tokenizer, SequenceHeadOptions fresh);

}  // namespace powerhouse
