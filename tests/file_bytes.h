// The bytes of a file.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

namespace powerhouse::testing {

inline std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace powerhouse::testing
