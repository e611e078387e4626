// Room in the cache for one pass; given back unless the pass succeeded.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "model/kv_cache.h"

namespace powerhouse {

class CacheReservation {
 public:
  explicit CacheReservation(KvCache& cache) : cache_(cache) {}
  CacheReservation(const CacheReservation&) = delete;
  CacheReservation& operator=(const CacheReservation&) = delete;
  ~CacheReservation() {
    for (const auto& [sequence, tokens] : taken_) cache_.rollback(sequence);
  }
  void take(std::int64_t sequence, std::int64_t tokens) {
    taken_.emplace_back(sequence, tokens);
    cache_.reserve(sequence, tokens);
  }
  void commit() {
    for (const auto& [sequence, tokens] : taken_) cache_.commit(sequence, tokens);
    taken_.clear();
  }

 private:
  KvCache& cache_;
  std::vector<std::pair<std::int64_t, std::int64_t>> taken_;
};

}  // namespace powerhouse
