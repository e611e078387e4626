// Hashes for the tables of a tokenizer, keyed by a number drawn once a process: a file cannot be made to collide, so
// open addressing stays linear whatever the vocabulary is.
#pragma once

#include <cstddef>
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

inline std::uint64_t load(const char* at, std::size_t count) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, count);  // `count` is a constant wherever this is called: one load
  return word;
}

inline std::uint64_t of(std::string_view text, std::uint64_t key) {
  const char* at = text.data();
  const std::size_t size = text.size();
  std::uint64_t state = key ^ (size + kOdd2);
  if (size >= 8) {
    for (std::size_t done = 0; done + 8 < size; done += 8) state = mix(state ^ load(at + done, 8), key | kOdd1);
    state ^= load(at + size - 8, 8);
  } else if (size >= 4) {
    state ^= load(at, 4) | load(at + size - 4, 4) << 32;
  } else if (size > 0) {
    state ^= load(at, 1) | load(at + size / 2, 1) << 8 | load(at + size - 1, 1) << 16;
  }
  return mix(mix(state, key | kOdd1) ^ kOdd2, key | kOdd1);
}

}  // namespace powerhouse::hashing
