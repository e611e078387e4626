#include "text/grapheme.h"

#include "text/tokenizers_unicode.h"
#include "text/unicode.h"

namespace powerhouse {
namespace {

using tokenizers_unicode::Cluster;

bool is_extend(Cluster kind) {
  return kind == Cluster::extend || kind == Cluster::linker || kind == Cluster::plain_extend;
}

// What the rules look back on: an emoji sequence, a conjunct, a run of regional indicators.
struct History {
  bool pictographic = false;  // Extended_Pictographic Extend*, and then perhaps ZWJ
  bool consonant = false;     // Consonant [Extend Linker]*
  bool linked = false;        // with a Linker among them
  bool odd_regional = false;

  void see(Cluster kind) {
    if (kind == Cluster::pictographic) {
      pictographic = true;
    } else if (!is_extend(kind) && kind != Cluster::zwj) {
      pictographic = false;
    }
    if (kind == Cluster::consonant) {
      consonant = true;
      linked = false;
    } else if (kind == Cluster::linker) {
      linked = consonant;
    } else if (kind != Cluster::extend && kind != Cluster::zwj) {
      consonant = linked = false;
    }
    odd_regional = kind == Cluster::regional && !odd_regional;
  }
};

bool joins(Cluster before, Cluster after, const History& history) {
  using enum Cluster;
  if (before == cr && after == lf) return true;
  const auto breaks = [](Cluster kind) { return kind == cr || kind == lf || kind == control; };
  if (breaks(before) || breaks(after)) return false;
  if (before == l && (after == l || after == v || after == lv || after == lvt)) return true;
  if ((before == lv || before == v) && (after == v || after == t)) return true;
  if ((before == lvt || before == t) && after == t) return true;
  if (is_extend(after) || after == zwj || after == spacing_mark || before == prepend) return true;
  if (after == consonant && history.linked) return true;
  if (before == zwj && after == pictographic && history.pictographic) return true;
  return before == regional && after == regional && history.odd_regional;
}

}  // namespace

std::size_t end_of_cluster(std::string_view text, std::size_t at) {
  const auto first = unicode::character_at(text, at);
  at += first.length;
  Cluster before = tokenizers_unicode::cluster(first.code_point);
  History history;
  history.see(before);
  while (at < text.size()) {
    const auto [code_point, length] = unicode::character_at(text, at);
    const Cluster after = tokenizers_unicode::cluster(code_point);
    if (!joins(before, after, history)) break;
    history.see(after);
    before = after;
    at += length;
  }
  return at;
}

}  // namespace powerhouse
