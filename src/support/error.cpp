// Error: one line of text made of file, field, message, expected and found.
#include "powerhouse/error.h"

#include <algorithm>

#include "support/utf8.h"

namespace powerhouse {
namespace {

// File names, tensor names and metadata come from untrusted files: control characters would break the one-line promise.
constexpr std::size_t kLongest = 400;
// What was expected is our own words: the names of all families fit.
constexpr std::size_t kLongestExpected = 4000;

void append_part(std::string& out, std::string_view text, std::size_t longest = kLongest) {
  std::size_t end = std::min(text.size(), longest);
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
  append_printable(out, text.substr(0, end));
  if (end < text.size()) out += "...";
}

std::string compose(std::string_view message, const ErrorDetails& details) {
  std::string out;
  if (!details.file.empty()) {
    append_part(out, details.file);
    out += ": ";
  }
  if (!details.field.empty()) {
    append_part(out, details.field);
    out += ": ";
  }
  append_part(out, message);
  if (!details.expected.empty() || !details.found.empty()) {
    out += " (";
    if (!details.expected.empty()) {
      out += "expected ";
      append_part(out, details.expected, kLongestExpected);
    }
    if (!details.found.empty()) {
      if (!details.expected.empty()) out += ", ";
      out += "found ";
      append_part(out, details.found);
    }
    out += ')';
  }
  return out;
}

}  // namespace

std::string_view to_string(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::usage: return "usage";
    case ErrorKind::not_found: return "not_found";
    case ErrorKind::format: return "format";
    case ErrorKind::unsupported: return "unsupported";
    case ErrorKind::range: return "range";
    case ErrorKind::io: return "io";
    case ErrorKind::memory: return "memory";
    case ErrorKind::device: return "device";
    case ErrorKind::numeric: return "numeric";
    case ErrorKind::cancelled: return "cancelled";
  }
  return "unknown";
}

Error::Error(ErrorKind kind, std::string_view message, ErrorDetails details)
    : std::runtime_error(compose(message, details)), kind_(kind), message_(message), details_(std::move(details)) {}

Error::Error(const Error&) = default;
Error& Error::operator=(const Error&) = default;
Error::~Error() = default;

Error Error::in_file(std::string_view file) const {
  if (!details_.file.empty()) return *this;
  ErrorDetails details = details_;
  details.file = file;
  return Error(kind_, message_, std::move(details));
}

}  // namespace powerhouse
