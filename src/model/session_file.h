// A sequence of a session in a file: a safetensors file with the tokens, keys and values, layer by layer and without
// pages, whose metadata say which model and what type of cache they belong to.
#pragma once

#include <string>

#include "model/kv_cache.h"
#include "model/sequence_records.h"
#include "powerhouse/causal_lm.h"

namespace powerhouse {

void save_sequence(const std::string& path, const CausalLM& model, const KvCache& cache, std::int64_t sequence,
                   const SequenceRecord& record);

/// A new sequence in cache and records; both are as before where the file is refused.
std::int64_t restore_sequence(const std::string& path, const CausalLM& model, KvCache& cache, SequenceRecords& records);

}  // namespace powerhouse
