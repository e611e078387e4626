#include "ops/attention_parts.h"

#include <algorithm>

namespace powerhouse::ops {

void AttentionParts::reserve(std::size_t rows, std::size_t parts, std::int64_t partial_floats) {
  parts_.reserve(parts);
  ends_.reserve(parts);
  merges_.reserve(rows);
  const std::size_t floats = parts > rows ? parts * static_cast<std::size_t>(partial_floats) : 0;
  if (partials_.size() < floats) partials_.resize(floats);
}

void AttentionParts::begin(std::int64_t num_kv_heads, std::int64_t num_heads, std::int64_t head_dim) {
  num_kv_heads_ = num_kv_heads;
  num_heads_ = num_heads;
  head_dim_ = head_dim;
  parts_.clear();
  ends_.clear();
  merges_.clear();
}

void AttentionParts::add(const cpu::AttentionRow& row) {
  const auto next = [](std::int64_t position) { return (position / cpu::kAttentionPart + 1) * cpu::kAttentionPart; };
  if (row.end <= next(row.begin)) {
    parts_.push_back(row);
    return;
  }
  merges_.push_back({.parts = 0, .out = row.out});
  for (std::int64_t begin = row.begin; begin < row.end; begin = next(begin)) {
    cpu::AttentionRow& part = parts_.emplace_back(row);
    part.begin = begin;
    part.end = std::min(row.end, next(begin));
    part.out = nullptr;  // its room comes in `end`
    ++merges_.back().parts;
  }
}

void AttentionParts::end() {
  const std::int64_t floats = cpu::attention_partial_floats(num_heads_, head_dim_);
  std::int64_t total = 0;
  for (const cpu::AttentionMerge& merge : merges_) total += merge.parts * floats;
  if (static_cast<std::int64_t>(partials_.size()) < total) partials_.resize(static_cast<std::size_t>(total));
  float* room = partials_.data();
  std::size_t merge = 0;
  std::int64_t left = 0;  // parts of the row at hand
  std::int64_t positions = 0;
  for (cpu::AttentionRow& part : parts_) {
    positions += std::max<std::int64_t>(1, part.end - part.begin);
    ends_.push_back(positions);
    if (part.out != nullptr) continue;
    if (left == 0) {
      merges_[merge].partials = room;
      left = merges_[merge++].parts;
    }
    part.partial = room;
    room += floats;
    --left;
  }
}

void AttentionParts::attend(const cpu::AttentionShape& shape, const cpu::AttentionRow& row, float* scratch) {
  begin(shape.num_kv_heads, shape.num_kv_heads * shape.group, shape.head_dim);
  add(row);
  end();
  const cpu::AttentionParams params{shape, rows()};
  cpu::kernels().attention(params, 0, items(), scratch);
  if (!cut()) return;
  cpu::kernels().merge_attention({.type = shape.type,
                                  .num_heads = num_heads_,
                                  .head_dim = head_dim_,
                                  .out_head_stride = shape.out_head_stride,
                                  .sinks = shape.sinks,
                                  .rows = merges()},
                                 0, merge_items());
}

std::int64_t AttentionParts::first_item(int index, int workers) const {
  if (index == workers) return items();
  // Each part counts its positions for every head.
  const std::int64_t wanted = ends_.back() * num_kv_heads_ * index / workers;
  const auto part = std::upper_bound(ends_.begin(), ends_.end(), wanted / num_kv_heads_);
  const std::int64_t number = part - ends_.begin();
  const std::int64_t before = number == 0 ? 0 : *(part - 1);
  const std::int64_t size = *part - before;
  return number * num_kv_heads_ + (wanted - before * num_kv_heads_ + size / 2) / size;
}

Range AttentionParts::share_of(int index, int workers) const {
  return {first_item(index, workers), first_item(index + 1, workers)};
}

}  // namespace powerhouse::ops
