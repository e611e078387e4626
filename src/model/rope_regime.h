// RoPE that depends on a sequence's length (dynamic, longrope): what each sequence of a session was computed with, and
// its tokens, so that it can be computed again when it outgrows that.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "powerhouse/model_config.h"

namespace powerhouse {

class RopeRegimes {
 public:
  explicit RopeRegimes(const ModelConfig& config);

  /// Whether any layer's frequencies depend on the length; else there is nothing to remember.
  bool needed() const { return original_ > 0; }

  /// The length to compute frequencies with when a sequence grows to `total` tokens.
  std::int64_t wanted(std::int64_t sequence, std::int64_t total) const;
  /// Whether its cache, of at least one token, was computed with another.
  bool outgrown(std::int64_t sequence, std::int64_t wanted_length) const;

  const std::vector<std::int64_t>& tokens(std::int64_t sequence) const { return at(sequence).tokens; }
  void append(std::int64_t sequence, std::span<const std::int64_t> ids, std::int64_t rope_length);
  void fork(std::int64_t from, std::int64_t to) { sequences_[to] = at(from); }
  void truncate(std::int64_t sequence, std::int64_t length);
  void remove(std::int64_t sequence) { sequences_.erase(sequence); }

 private:
  struct State {
    std::vector<std::int64_t> tokens;
    std::int64_t rope_length = 0;
  };
  const State& at(std::int64_t sequence) const;

  std::int64_t original_ = 0;  // the length beyond which frequencies change
  bool grows_ = false;         // dynamic: they go on changing
  std::map<std::int64_t, State> sequences_;
};

}  // namespace powerhouse
