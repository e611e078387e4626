// The merges of BPE: a table from pairs of ids to rank and result (open addressing, 16 bytes a slot).
#include <algorithm>
#include <bit>
#include <limits>

#include "powerhouse/error.h"
#include "text/bpe.h"
#include "text/hashing.h"

namespace powerhouse {

std::uint64_t MergeTable::pack(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

std::size_t MergeTable::probe(std::uint64_t pair) const {
  std::size_t at = hashing::of(pair, hashing::key()) & (slots_.size() - 1);
  while (slots_[at].pair != pair && slots_[at].pair != kEmpty) at = (at + 1) & (slots_.size() - 1);
  return at;
}

void MergeTable::reserve(std::size_t merges) {
  const std::size_t wanted = std::bit_ceil(std::max<std::size_t>(16, 2 * merges));
  if (wanted <= slots_.size()) return;
  std::vector<Slot> old(wanted);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.pair != kEmpty) slots_[probe(slot.pair)] = slot;
  }
}

void MergeTable::add(std::int32_t left, std::int32_t right, Merge merge, bool replace) {
  if (2 * (count_ + 1) > slots_.size()) reserve(2 * (count_ + 1));
  Slot& slot = slots_[probe(pack(left, right))];
  if (slot.pair == kEmpty) {
    ++count_;
  } else if (!replace) {
    return;
  }
  slot = {pack(left, right), merge};
}

MergeTable::Merge MergeTable::find(std::int32_t left, std::int32_t right) const {
  if (slots_.empty()) return {};
  const std::uint64_t pair = pack(left, right);
  const Slot& slot = slots_[probe(pair)];
  return slot.pair == pair ? slot.merge : Merge{};
}

MergeLoader::MergeLoader(const Vocabulary& vocabulary, std::size_t merges, Repeated repeated)
    : vocabulary_(vocabulary), repeated_(repeated) {
  if (merges >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw Error(ErrorKind::format, "too many merges", {.found = std::to_string(merges)});
  }
  table_.reserve(merges);
}

void MergeLoader::add(std::string_view left, std::string_view right) {
  const auto refuse = [&](std::string_view message, std::string_view found) {
    throw Error(ErrorKind::format, message,
                {.field = "merge " + std::to_string(next_rank_), .found = std::string(found.substr(0, 80))});
  };
  const auto half = [&](std::string_view text) {
    const auto id = vocabulary_.find(text);
    if (!id) refuse("a merge names a token that the vocabulary lacks", text);
    return *id;
  };
  const std::int32_t left_id = half(left);
  const std::int32_t right_id = half(right);
  joined_.assign(left).append(right);
  std::int64_t result = expected_;
  if (!vocabulary_.contains(result) || vocabulary_.text(result) != joined_) {
    const auto found = vocabulary_.find(joined_);
    if (!found) refuse("a merge makes a token that the vocabulary lacks", joined_);
    result = *found;
  }
  expected_ = result + 1;
  table_.add(left_id, right_id, {next_rank_++, static_cast<std::int32_t>(result)}, repeated_ == Repeated::last_wins);
}

void MergeLoader::add(std::string_view pair) {
  // The left half may itself begin with a blank in vocabularies that are not byte-level.
  const std::size_t blank = pair.find(' ', 1);
  if (blank == std::string_view::npos || blank + 1 == pair.size()) {
    throw Error(ErrorKind::format, "a merge is not two tokens with a blank between",
                {.field = "merge " + std::to_string(next_rank_), .found = std::string(pair.substr(0, 80))});
  }
  add(pair.substr(0, blank), pair.substr(blank + 1));
}

}  // namespace powerhouse
