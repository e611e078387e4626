// The head over sequences in config.json: id2label and label2id, problem_type, pad_token_id.
#pragma once

#include <string>
#include <vector>

#include "model/architecture.h"

namespace powerhouse {

/// Whether config.json names this family's class with a head over sequences.
bool is_classifier(const Architecture& architecture, const Json& config);

/// As transformers reads it: without id2label there are num_labels labels, else two. Error{format} for labels that
/// don't count from 0, and where num_labels says another number.
SequenceHead read_sequence_head(const Json& config, std::int64_t vocab_size);
void write_sequence_head(JsonObject& config, const SequenceHead& head);

/// "LABEL_0", "LABEL_1" ...: what transformers calls labels that nobody named.
std::vector<std::string> unnamed_labels(std::int64_t count);

/// Error{format} for no labels, a problem_type that the number of labels can't be, padding outside the vocabulary;
/// Error{unsupported} for a family that transformers has no such class of.
void check_sequence_head(const Architecture& architecture, const ModelConfig& config);

}  // namespace powerhouse
