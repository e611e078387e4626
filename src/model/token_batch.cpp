// TokenBatch: documents become rows.
#include "powerhouse/token_batch.h"

#include <algorithm>
#include <string>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

void check_labels(std::span<const std::int64_t> ids, std::span<const std::int64_t> labels) {
  if (labels.empty() || labels.size() == ids.size()) return;
  throw Error(ErrorKind::usage, "a label for each id",
              {.field = "labels", .expected = std::to_string(ids.size()), .found = std::to_string(labels.size())});
}

// Rows of one document; `labels` has a label for each, or is empty: none counts.
void append(TokenBatch& batch, std::span<const std::int64_t> ids, std::span<const std::int64_t> labels,
            std::int64_t first_position) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    batch.input_ids.push_back(ids[i]);
    batch.position_ids.push_back(first_position + static_cast<std::int64_t>(i));
    batch.targets.push_back(i + 1 < ids.size() && !labels.empty() ? labels[i + 1] : kIgnoredTarget);
  }
  batch.cu_seqlens.push_back(batch.rows());
}

}  // namespace

void TokenBatch::add(std::span<const std::int64_t> ids, std::span<const std::int64_t> labels) {
  check_labels(ids, labels);
  if (ids.empty()) throw Error(ErrorKind::usage, "an empty document", {.field = "ids"});
  append(*this, ids, labels.empty() ? ids : labels, 0);
  if (!prefixes.empty()) prefixes.push_back(-1);
}

void TokenBatch::add_branches(std::span<const std::int64_t> prompt, const std::vector<Branch>& branches,
                              std::span<const std::int64_t> prompt_labels) {
  check_labels(prompt, prompt_labels);
  if (branches.empty()) throw Error(ErrorKind::usage, "a prompt without a continuation", {.field = "branches"});
  if (prompt.empty()) throw Error(ErrorKind::usage, "an empty prompt", {.field = "prompt"});
  for (const Branch& branch : branches) check_labels(branch.ids, branch.labels);
  prefixes.resize(static_cast<std::size_t>(documents()), -1);
  const auto shared = static_cast<std::int64_t>(prompt.size()) - 1;
  std::int64_t prefix = -1;
  if (shared > 0) {
    prefix = documents();
    append(*this, prompt.first(prompt.size() - 1), prompt_labels.first(prompt_labels.empty() ? 0 : prompt.size() - 1),
           0);
    if (!prompt_labels.empty()) targets.back() = prompt_labels.back();
    prefixes.push_back(-1);
  }
  std::vector<std::int64_t> ids, labels;
  for (const Branch& branch : branches) {
    const std::span<const std::int64_t> all = branch.labels.empty() ? branch.ids : branch.labels;
    ids.assign({prompt.back()});
    ids.insert(ids.end(), branch.ids.begin(), branch.ids.end());
    labels.assign({kIgnoredTarget});  // no row of this document predicts it
    labels.insert(labels.end(), all.begin(), all.end());
    append(*this, ids, labels, shared);
    prefixes.push_back(prefix);
  }
}

std::int64_t TokenBatch::target_count() const {
  return static_cast<std::int64_t>(targets.size()) - std::count(targets.begin(), targets.end(), kIgnoredTarget);
}

}  // namespace powerhouse
