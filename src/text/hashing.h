// Hashes for the tables of a tokenizer, keyed by a number drawn once a process: a file cannot be made to collide, so
// open addressing stays linear whatever the vocabulary is.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace powerhouse::hashing {

/// The process's key.
std::uint64_t key();

/// 128-bit product folded: every bit of the result depends on every bit of both.
inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

constexpr std::uint64_t kOdd1 = 0x9E3779B97F4A7C15u;
constexpr std::uint64_t kOdd2 = 0xD6E8FEB86659FD93u;

inline std::uint64_t of(std::uint64_t value, std::uint64_t key) { return mix(value ^ key, key | kOdd1); }

inline std::uint64_t of(std::string_view text, std::uint64_t key) {
  std::uint64_t state = key ^ mix(text.size() + kOdd2, kOdd1);
  const char* at = text.data();
  std::size_t left = text.size();
  const auto take = [&](std::size_t count) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, count);
    state = mix(state ^ word, key | kOdd1);
    at += count;
    left -= count;
  };
  while (left >= 8) take(8);
  if (left > 0) take(left);
  return mix(state ^ kOdd2, key | kOdd1);
}

}  // namespace powerhouse::hashing
