// Rows that are attended one by one, cut into parts that threads share.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "support/thread_team.h"

namespace powerhouse::ops {

/// A sequence with more new rows than this is attended in tiles of them, others row by row.
inline constexpr std::int64_t kSingleRows = 4;

/// What a row sees that stands at `position`: all up to itself, with a window only so many of the last.
inline cpu::AttentionRow row_at(std::int64_t position, std::int64_t window) {
  const std::int64_t end = position + 1;
  return {.begin = window > 0 && window < end ? end - window : 0, .end = end, .position = position};
}

/// A long row is cut where positions say so (cpu::kAttentionPart): what comes out depends neither on the batch nor on
/// the threads. Short rows stay whole and need no second step.
class AttentionParts {
 public:
  /// Room for so many rows of together so many parts, each of `partial_floats` (cpu::attention_partial_floats): up to
  /// there `add`, `end` and `attend` allocate nothing.
  void reserve(std::size_t rows, std::size_t parts, std::int64_t partial_floats);
  /// At most so many parts has a row that ends there.
  static std::size_t parts_up_to(std::int64_t end) {
    return static_cast<std::size_t>((end + cpu::kAttentionPart - 1) / cpu::kAttentionPart);
  }

  /// Forgets the rows before; the room stays.
  void begin(std::int64_t num_kv_heads, std::int64_t num_heads, std::int64_t head_dim);
  /// A whole row.
  void add(const cpu::AttentionRow& row);
  /// After the last row.
  void end();

  /// One row from first to last, by the calling thread; `scratch` as `attention` wants it.
  void attend(const cpu::AttentionShape& shape, const cpu::AttentionRow& row, float* scratch);

  bool empty() const { return parts_.empty(); }
  /// Whether some row is cut: its parts have to be merged once all of them are there.
  bool cut() const { return !merges_.empty(); }
  const cpu::AttentionRow* rows() const { return parts_.data(); }
  const cpu::AttentionMerge* merges() const { return merges_.data(); }
  /// Work items of `attention`: parts times key-value heads; and of `merge_attention`.
  std::int64_t items() const { return static_cast<std::int64_t>(parts_.size()) * num_kv_heads_; }
  std::int64_t merge_items() const { return static_cast<std::int64_t>(merges_.size()) * num_heads_; }
  /// The items of one of `workers`: as many positions as the others have, as far as items allow.
  Range share_of(int index, int workers) const;

 private:
  std::int64_t first_item(int index, int workers) const;

  std::vector<cpu::AttentionRow> parts_{};
  std::vector<std::int64_t> ends_{};  // positions of the parts up to each
  std::vector<cpu::AttentionMerge> merges_{};
  std::vector<float> partials_{};
  std::int64_t num_kv_heads_ = 0, num_heads_ = 0, head_dim_ = 0;
};

}  // namespace powerhouse::ops
