// Reads the texts and ids that tests/oracles/tokenizer*.py wrote.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "json_numbers.h"
#include "powerhouse/tokenizer.h"
#include "support/json.h"

namespace powerhouse::testing {

inline std::string text_fixture(const std::string& name) { return std::string(POWERHOUSE_FIXTURES) + "/text/" + name; }

using Ids = std::vector<std::int64_t>;

inline std::string from_hex(std::string_view digits) {
  std::string out;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  }
  return out;
}

inline std::string streamed(const Tokenizer& tokenizer, const Ids& ids, DecodeOptions options = {}) {
  DecodeStream stream(tokenizer, options);
  std::string text;
  for (const std::int64_t id : ids) text += stream.step(id);
  return text + stream.finish();
}

}  // namespace powerhouse::testing
