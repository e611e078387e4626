#include "support/utf8.h"

#include <cstring>

namespace powerhouse {
namespace {

struct Lead {
  int length;                             // of the whole sequence, 0 where the byte can't lead
  unsigned char second_low, second_high;  // bounds of the second byte (Unicode 15, table 3-7)
};

Lead classify(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

bool is_ascii_16(const char* at) {
  std::uint64_t words[2];
  std::memcpy(words, at, sizeof words);
  return ((words[0] | words[1]) & 0x8080808080808080u) == 0;
}

}  // namespace

Utf8Step decode_utf8(std::string_view text) noexcept {
  const auto first = static_cast<unsigned char>(text[0]);
  const Lead lead = classify(first);
  if (lead.length == 1) return {.code_point = first, .length = 1, .valid = true};
  if (lead.length == 0) return {.length = 1};
  char32_t code_point = first & (0xFFu >> (lead.length + 1));
  for (int i = 1; i < lead.length; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (at >= text.size()) return {.length = at, .incomplete = true};
    const auto byte = static_cast<unsigned char>(text[at]);
    const unsigned char low = i == 1 ? lead.second_low : 0x80;
    const unsigned char high = i == 1 ? lead.second_high : 0xBF;
    if (byte < low || byte > high) return {.length = at};
    code_point = code_point << 6 | (byte & 0x3Fu);
  }
  return {.code_point = code_point, .length = static_cast<std::size_t>(lead.length), .valid = true};
}

std::optional<std::size_t> find_invalid_utf8(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size();) {
    while (at + 16 <= text.size() && is_ascii_16(text.data() + at)) at += 16;
    if (at == text.size()) break;
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const Utf8Step step = decode_utf8(text.substr(at));
    if (!step.valid) return at;
    at += step.length;
  }
  return std::nullopt;
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto put = [&out](char32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

void append_printable(std::string& out, std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const bool c1 = byte == 0xC2 && at + 1 < text.size() && (static_cast<unsigned char>(text[at + 1]) & 0xE0u) == 0x80u;
    if (byte == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7F || c1) {
      out += '?';
      at += c1 ? 1 : 0;
    } else {
      out += text[at];
    }
  }
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text.substr(at));
    if (step.valid) {
      out.append(text.substr(at, step.length));
    } else {
      append_utf8(out, 0xFFFD);
    }
    at += step.length;
  }
  return out;
}

}  // namespace powerhouse
