// Bounds of what a configuration may say, a folder's or a GGUF file's: beyond them it is broken, and nothing is
// allocated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "powerhouse/error.h"

namespace powerhouse {

constexpr std::int64_t kLargestCount = std::int64_t{1} << 31;
constexpr std::int64_t kMostLayers = 4096;

/// `value`. Error{format} naming the key, and the file where there is one.
inline std::int64_t checked_count(std::int64_t value, std::string_view key, const std::string& file = {}) {
  if (value >= 0 && value < kLargestCount) return value;
  throw Error(ErrorKind::format, "impossible model configuration",
              {.file = file, .field = std::string(key), .expected = "0 to 2^31", .found = std::to_string(value)});
}

/// The same of a number of layers, each of which takes memory.
inline void check_layer_count(std::int64_t layers, std::string_view key, const std::string& file = {}) {
  if (layers <= kMostLayers) return;
  throw Error(ErrorKind::format, "impossible model configuration",
              {.file = file,
               .field = std::string(key),
               .expected = "at most " + std::to_string(kMostLayers),
               .found = std::to_string(layers)});
}

}  // namespace powerhouse
