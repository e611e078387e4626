// What stands in a TeacherStore, and how rows of a batch are found in it: by their content, so that order, packing and
// cutting of rows may be others than when it was made.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <unordered_map>

#include "powerhouse/distillation_losses.h"
#include "powerhouse/teacher_store.h"
#include "powerhouse/token_batch.h"

namespace powerhouse {

/// What names a document of a batch: its tokens, and which of them are targets.
std::int64_t document_hash(const TokenBatch& batch, std::int64_t document);
/// Targets of a document.
std::int64_t target_count(const TokenBatch& batch, std::int64_t document);

struct TeacherStore::Impl {
  std::string path{}, about{}, fingerprint{};
  std::int64_t top_k = 0, vocab_size = 0;
  double temperature = 1;
  TopTokens tokens{};
  std::unordered_map<std::int64_t, std::int64_t> first{};  // target of a document

  /// Of all targets of a batch. Error{usage} for a document that is not there, which `document` then names.
  TopTokens of(const TokenBatch& batch) const;
  /// The first document of a batch that is not there, or -1.
  std::int64_t missing(const TokenBatch& batch) const;
};

}  // namespace powerhouse
