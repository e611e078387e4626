// What a session remembers of its sequences beside their cache: the tokens, and where RoPE depends on a sequence's
// length (dynamic, longrope), the length that the cache was computed with. A sequence that outgrows it is computed
// again from its tokens.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "powerhouse/model_config.h"

namespace powerhouse {

struct SequenceRecord {
  std::vector<std::int64_t> tokens{};
  std::int64_t rope_length = 0;  // 0: no tokens, or frequencies that do not depend on the length
};

class SequenceRecords {
 public:
  explicit SequenceRecords(const ModelConfig& config);

  /// The length to compute frequencies with when a sequence grows to `total` tokens; 0 where they do not depend on it.
  std::int64_t wanted(std::int64_t sequence, std::int64_t total) const;
  /// Whether its cache, of at least one token, was computed with another.
  bool outgrown(std::int64_t sequence, std::int64_t wanted_length) const;
  /// Whether a sequence can have come to this record.
  bool plausible(const SequenceRecord& record) const;

  const SequenceRecord& at(std::int64_t sequence) const;
  void put(std::int64_t sequence, SequenceRecord record) { records_[sequence] = std::move(record); }
  void append(std::int64_t sequence, std::span<const std::int64_t> ids, std::int64_t rope_length);
  void fork(std::int64_t from, std::int64_t to) { put(to, at(from)); }
  /// Of two that have records.
  void swap(std::int64_t a, std::int64_t b) { std::swap(records_.at(a), records_.at(b)); }
  void truncate(std::int64_t sequence, std::int64_t length);
  void remove(std::int64_t sequence) { records_.erase(sequence); }

 private:
  std::int64_t original_ = 0;  // the length beyond which frequencies change; 0: they never do
  bool grows_ = false;         // dynamic: they go on changing
  std::map<std::int64_t, SequenceRecord> records_;
};

}  // namespace powerhouse
