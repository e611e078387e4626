#include "text/charsmap.h"

#include <algorithm>
#include <cstring>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/grapheme.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

constexpr std::size_t kMaxCharsmapUnits = std::size_t{1} << 20;  // nmt_nfkc's table has 60,000
constexpr std::size_t kLongestKey = 512;  // bytes: a walk ends there, though the table lead round and round
constexpr std::size_t kShortCluster = 6;  // bytes: clusters below are replaced as wholes

// A unit of the double array: the byte that leads to it, the offset to its children, whether its leaf holds a value.
std::uint32_t label(std::uint32_t unit) { return unit & (1u << 31 | 0xFF); }
std::uint64_t offset(std::uint32_t unit) { return static_cast<std::uint64_t>(unit >> 10) << ((unit & 1u << 9) >> 6); }
bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1) != 0; }

struct CharsmapEdit {
  char32_t code_point;
  std::ptrdiff_t change;
};

// The edits that put `after` in the place of `before`, counted as the package counts them.
void replace(std::vector<CharsmapEdit>& edits, std::string_view before, std::string_view after) {
  std::ptrdiff_t more = 0;
  for (const char byte : before) more -= (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
  for (std::size_t at = 0; at < after.size();) {
    const auto [code_point, length] = unicode::character_at(after, at);
    edits.push_back({code_point, 0});
    ++more;
    at += length;
  }
  if (more > 0) {
    const std::size_t added = std::min(static_cast<std::size_t>(more), edits.size());
    for (std::size_t i = edits.size() - added; i < edits.size(); ++i) edits[i].change = 1;
  } else if (more < 0 && !edits.empty()) {
    edits.back().change += more;
  }
}

}  // namespace

std::string decode_base64(std::string_view text, std::string_view field) {
  const auto refuse = [&](std::string found) {
    throw Error(ErrorKind::format, "not base64", {.field = std::string(field), .found = std::move(found)});
  };
  if (text.size() % 4 != 0) refuse(std::to_string(text.size()) + " characters");
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string out;
  out.reserve(text.size() / 4 * 3 + 3);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const std::size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) refuse(std::string(1, c));
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xFF);
  }
  return out;
}

Charsmap::Charsmap(std::string_view blob) {
  const auto refuse = [](std::string_view what) {
    throw Error(ErrorKind::format, what, {.field = "precompiled_charsmap"});
  };
  std::uint32_t size = 0;
  if (blob.size() < sizeof size) refuse("a charsmap is cut short");
  std::memcpy(&size, blob.data(), sizeof size);
  blob.remove_prefix(sizeof size);
  size -= size % 4;
  if (blob.size() < size) refuse("a charsmap is cut short");
  units_.resize(size / 4);
  std::memcpy(units_.data(), blob.data(), size);
  replacements_ = blob.substr(size);
  if (find_invalid_utf8(replacements_)) refuse("the replacements of a charsmap are no UTF-8");
}

// Calls `visit(size of the key, replacement)` for the keys that begin `text`, the shortest first, while it gives true.
template <typename Visit>
void Charsmap::walk(std::string_view text, Visit visit) const {
  if (units_.empty()) return;
  std::uint64_t at = offset(units_[0]);
  for (std::size_t i = 0; i < std::min(text.size(), kLongestKey); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || label(units_[at]) != byte) return;
    const std::uint32_t unit = units_[at];
    at ^= offset(unit);
    if (!has_leaf(unit)) continue;
    if (at >= units_.size()) return;
    const std::size_t start = units_[at] & ~(1u << 31);
    // A value that points nowhere, or into a character, is no replacement.
    if (start > replacements_.size()) return;
    if (start < replacements_.size() && (static_cast<unsigned char>(replacements_[start]) & 0xC0) == 0x80) return;
    const std::string_view rest = std::string_view(replacements_).substr(start);
    if (!visit(i + 1, rest.substr(0, rest.find('\0')))) return;
  }
}

std::optional<std::string_view> Charsmap::shortest(std::string_view text) const {
  std::optional<std::string_view> found;
  walk(text, [&](std::size_t, std::string_view replacement) {
    found = replacement;
    return false;
  });
  return found;
}

Charsmap::Prefix Charsmap::longest(std::string_view text) const {
  Prefix found;
  walk(text, [&](std::size_t size, std::string_view replacement) {
    found = {size, replacement};
    return true;
  });
  return found;
}

bool Charsmap::begins_key(std::string_view text) const {
  if (units_.empty()) return false;
  std::uint64_t at = offset(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || label(units_[at]) != byte) return false;
    at ^= offset(units_[at]);
  }
  return true;
}

void Charsmap::require_sound() const {
  const auto refuse = [](std::string_view what) {
    throw Error(ErrorKind::format, what, {.field = "precompiled_charsmap"});
  };
  if (replacements_.empty() ? !units_.empty() : replacements_.back() != '\0') refuse("a replacement has no end");
  if (units_.empty()) return;
  if (units_.size() > kMaxCharsmapUnits) refuse("a charsmap is too large");
  // Subtrees are shared, so a place may be reached on several ways: it counts again where more keys lie on the way. A
  // circle with keys in it ends at the bound, one without them after one turn.
  struct Place {
    std::uint64_t children;
    int keys;  // that end on the way
  };
  std::vector<Place> places{{offset(units_[0]), 0}};
  std::vector<std::int8_t> most(units_.size(), -1);
  std::size_t steps = 0;
  while (!places.empty()) {
    const Place place = places.back();
    places.pop_back();
    if (++steps > 4 * units_.size()) refuse("a charsmap's table is a tangle");
    for (std::uint64_t byte = 1; byte < 256; ++byte) {
      const std::uint64_t at = place.children ^ byte;
      if (at >= units_.size()) refuse("a charsmap's table leads out of it");
      const std::uint32_t unit = units_[at];
      if (label(unit) != byte || most[at] >= place.keys) continue;
      most[at] = static_cast<std::int8_t>(place.keys);
      const std::uint64_t next = at ^ offset(unit);
      int keys = place.keys;
      if (has_leaf(unit)) {
        if (next >= units_.size() || (units_[next] & ~(1u << 31)) >= replacements_.size() || ++keys > 32) {
          refuse("a charsmap's table leads out of it");
        }
      }
      places.push_back({next, keys});
    }
  }
}

PrecompiledStep::PrecompiledStep(Charsmap map) : map_(std::move(map)) {
  for (std::size_t c = 0; c < changes_.size(); ++c) {
    const char character = static_cast<char>(c);
    changes_[c] = map_.shortest({&character, 1}).has_value();
  }
}

bool PrecompiledStep::rewrite(const AlignedText& text, TextBuffer& out) const {
  const std::string_view old = text.text;
  const auto is_plain = [&](std::size_t at) {
    const auto byte = static_cast<unsigned char>(old[at]);
    return byte < 0x80 && byte != '\r' && !changes_[byte];
  };
  std::vector<CharsmapEdit> edits;
  bool modified = false;
  edits.reserve(old.size());
  for (std::size_t at = 0; at < old.size();) {
    // A character before an ASCII one is a cluster of its own.
    if (is_plain(at) && (at + 1 == old.size() || static_cast<signed char>(old[at + 1]) >= 0)) {
      edits.push_back({static_cast<unsigned char>(old[at++]), 0});
      continue;
    }
    const std::size_t end = end_of_cluster(old, at);
    const std::string_view cluster = old.substr(at, end - at);
    const auto whole = cluster.size() < kShortCluster ? map_.shortest(cluster) : std::nullopt;
    if (whole) {
      replace(edits, cluster, *whole);
      modified = true;
      at = end;
      continue;
    }
    while (at < end) {
      const auto [code_point, length] = unicode::character_at(old, at);
      if (const auto part = map_.shortest(old.substr(at, length))) {
        replace(edits, old.substr(at, length), *part);
        modified = true;
      } else {
        edits.push_back({code_point, 0});
      }
      at += length;
    }
  }
  if (!modified) return false;
  TextBuilder builder(text, out);
  for (const CharsmapEdit& edit : edits) builder.edit(edit.code_point, edit.change);
  return true;
}

}  // namespace powerhouse
