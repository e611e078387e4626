// PlanBuffers: what a pass needs beside the weights. All room is made before the pass begins, on one thread: steps only
// say which part of it they use.
#pragma once

#include <memory>
#include <vector>

#include "model/kv_cache.h"
#include "model/plan_parts.h"
#include "ops/attention_parts.h"
#include "support/thread_team.h"

namespace powerhouse {

/// Room for `size` values; what there is stays.
template <typename T>
void grow(std::vector<T>& values, std::int64_t size) {
  if (static_cast<std::int64_t>(values.size()) < size) values.resize(static_cast<std::size_t>(size));
}

/// Rows as products read them.
struct PlanInput {
  std::vector<float> floats{};
  std::vector<std::int16_t> codes{};
  std::vector<float> scales{}, totals{};
  std::vector<std::int32_t> sums{};
  std::vector<std::uint16_t> bf16{};
  std::vector<float> ordered{};  // floats and bf16 with columns in the product's order, in which codes always are
  std::vector<std::uint16_t> ordered_bf16{};
  std::vector<char> many{};  // of each row: it is multiplied as a row of many, not by codes
  std::int64_t width = 0;
  std::int64_t stride = 0;  // PlanRowSize::stride(width)

  void reserve(std::int64_t rows, const PlanRowSize& size);
  std::size_t bytes() const;
  /// Rows of this width from here on.
  void begin(std::int64_t row_width) noexcept {
    width = row_width;
    stride = PlanRowSize::stride(row_width);
  }
  cpu::QuantizedRows quantized() { return {codes.data(), scales.data(), totals.data(), sums.data(), stride}; }
};

/// body(rows, many) of each run of rows that are multiplied alike.
template <typename Body>
void for_runs(const PlanInput& input, Range rows, Body body) {
  for (Range run{rows.begin, rows.begin}; run.begin < rows.end; run.begin = run.end) {
    const char many = input.many[static_cast<std::size_t>(run.begin)];
    while (run.end < rows.end && input.many[static_cast<std::size_t>(run.end)] == many) ++run.end;
    body(run, many != 0);
  }
}

/// Which experts the rows go to. A slot is a row at one of its experts; slots are sorted by expert, then by row.
struct PlanRoutes {
  std::vector<std::int64_t> experts{};  // [rows, chosen], the most probable first
  std::vector<float> weights{};         // [rows, chosen]
  std::vector<std::int64_t> first{};    // [experts + 1], the first slot of each expert
  std::vector<std::int64_t> places{};   // of each slot, its place in the two tables above

  void reserve(std::int64_t slots, std::int64_t expert_count);
  Range slots_of(std::size_t expert) const { return {first[expert], first[expert + 1]}; }
};

/// A sequence of the batch: how much of it stands in the cache, and where.
struct PlanSequence {
  std::int64_t before = 0;              // tokens of earlier passes
  std::vector<KvCache::Pages> pages{};  // of layers of each width
};

/// Kept from pass to pass.
struct PlanBuffers {
  std::vector<float> x{}, qkv{}, context{}, up{}, branch{};
  PlanInput input{};  // of many rows, shared by the workers
  struct Own {
    PlanInput input{};  // of few rows: each worker prepares all of them itself, which costs less than waiting
    std::vector<float> scratch{};
    std::vector<float> tile{};  // rows of blocks as numbers
    PlanInput routed{};         // rows of few slots
    PlanRoutes routes{};
    std::vector<float> probabilities{};
    ops::AttentionParts parts{};    // of one row, in exact numerics
    std::vector<float> low_rank{};  // some of the sums that adapters add
  };
  std::vector<Own> own{};                        // of each worker
  std::vector<std::vector<float>> cos{}, sin{};  // of each distinct RoPE: [rows, rotary_dim / 2]
  std::vector<std::int64_t> sequence_of{};       // of each row
  std::vector<char> many{}, many_logits{};       // of each row, and of each row of logits: see kManyRows
  std::vector<PlanSequence> sequences{};
  ops::AttentionParts parts{};            // rows that are attended one by one, in the layer at hand
  std::vector<float> early{};             // PackedBatch::early of each row of logits, and behind them the last layer's
  std::vector<float> embedded{};          // rows as wide as embeddings that are projected
  std::vector<float> low_rank{};          // t of the product at hand: see PlanAdapters
  std::vector<float> router{}, expert{};  // products of PlanMoe::router and of one expert
  PlanInput routed{};                     // rows of slots
  PlanRoutes routes{};
  /// Of what grows with the rows.
  std::size_t bytes() const;
  std::unique_ptr<PlanBuffers> next{};  // where a plan keeps them
};

/// What a plan keeps for the next pass, at most: making it anew takes a share of a pass that is small where a pass
/// needs more.
inline constexpr std::size_t kKeptBytes = std::size_t{64} << 20;

/// Up to this many rows are prepared by every worker for itself, and so many slots.
inline constexpr std::int64_t kOwnRows = 4;
inline constexpr std::int64_t kOwnSlots = 8;

/// What adapters add is made in pieces of so many rows and floats, which stay in the first-level cache.
inline constexpr std::int64_t kLowRankRows = 128;
inline constexpr std::int64_t kLowRankFloats = kLowRankRows * cpu::kGemmMaxPanels * kPanelRows;

}  // namespace powerhouse
