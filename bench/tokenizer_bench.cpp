// tokenizer_bench FOLDER TEXT PASSES [--ids FILE]: encodes a text in pieces of 4,000 characters, all pieces in one call
// a pass, and prints the seconds of each pass as JSON. The first pass is the process's first encoding.
// --ids writes the ids of the last pass as little-endian 32-bit numbers, each piece's after their count.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/error.h"
#include "powerhouse/tokenizer.h"

namespace {

constexpr std::size_t kPiece = 4000;

// Pieces of 4,000 code points.
std::vector<std::string> cut(std::string_view text) {
  std::vector<std::string> pieces;
  std::size_t start = 0;
  std::size_t count = 0;
  for (std::size_t at = 0; at <= text.size(); ++at) {
    const bool boundary = at == text.size() || (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
    if (!boundary || (at < text.size() && count++ < kPiece)) continue;
    if (start < at) pieces.emplace_back(text.substr(start, at - start));
    start = at;
    count = 1;
  }
  return pieces;
}

void write_ids(const std::string& path, const std::vector<std::vector<std::int64_t>>& ids) {
  std::ofstream file(path, std::ios::binary);
  const auto put = [&](std::uint32_t value) { file.write(reinterpret_cast<const char*>(&value), sizeof value); };
  for (const auto& piece : ids) {
    put(static_cast<std::uint32_t>(piece.size()));
    for (const std::int64_t id : piece) put(static_cast<std::uint32_t>(id));
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) {
    std::cerr << "usage: tokenizer_bench FOLDER TEXT PASSES [--ids FILE]\n";
    return 2;
  }
  try {
    std::ifstream file(arguments[2], std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    const std::vector<std::string> pieces = cut(text);
    const auto tokenizer = powerhouse::Tokenizer::from_pretrained(arguments[1]);
    std::vector<std::vector<std::int64_t>> ids;
    std::cout << '[';
    for (int pass = 0; pass < std::atoi(arguments[3]); ++pass) {
      ids = {};
      const auto begin = std::chrono::steady_clock::now();
      ids = tokenizer.encode_batch_ids(pieces, {.add_special_tokens = false});
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
      std::cout << (pass == 0 ? "" : ", ") << seconds.count();
    }
    std::cout << "]\n";
    if (count > 5 && std::string_view(arguments[4]) == "--ids") write_ids(arguments[5], ids);
    return 0;
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
