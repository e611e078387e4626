// The merges of BPE: a table from pairs of ids to rank and result (open addressing, 16 bytes a slot).
#include <algorithm>
#include <bit>
#include <limits>

#include "powerhouse/error.h"
#include "text/bpe.h"
#include "text/hashing.h"

namespace powerhouse {

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
  ranks_ = std::max(ranks_, merge.rank + 1);
}

namespace {

constexpr std::size_t kBatch = 64;

}  // namespace

MergeLoader::MergeLoader(const Vocabulary& vocabulary, std::size_t merges, Repeated repeated)
    : vocabulary_(vocabulary), repeated_(repeated) {
  if (merges >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw Error(ErrorKind::format, "too many merges", {.found = std::to_string(merges)});
  }
  table_.reserve(merges);
  batch_.reserve(kBatch);
}

void MergeLoader::refuse(std::string_view message, std::string_view found) const {
  throw Error(ErrorKind::format, message,
              {.field = "merge " + std::to_string(next_rank_), .found = std::string(found.substr(0, 80))});
}

void MergeLoader::add(std::string_view left, std::string_view right) {
  Pending pending{.start = texts_.size()};
  texts_.append(left).append(right);
  pending.middle = pending.start + left.size();
  pending.end = texts_.size();
  pending.left = vocabulary_.hash(left);
  pending.right = vocabulary_.hash(right);
  pending.joined = vocabulary_.hash(std::string_view(texts_).substr(pending.start));
  for (const std::uint64_t hash : {pending.left, pending.right, pending.joined}) vocabulary_.prefetch_slot(hash);
  batch_.push_back(pending);
  if (batch_.size() == kBatch) flush();
}

void MergeLoader::add(std::string_view pair) {
  // The left half may itself begin with a blank in vocabularies that are not byte-level.
  const std::size_t blank = pair.find(' ', 1);
  if (blank == std::string_view::npos || blank + 1 == pair.size()) {
    flush();
    refuse("a merge is not two tokens with a blank between", pair);
  }
  add(pair.substr(0, blank), pair.substr(blank + 1));
}

void MergeLoader::flush() {
  const auto each_hash = [&](auto visit) {
    for (const Pending& pending : batch_) {
      for (const std::uint64_t hash : {pending.left, pending.right, pending.joined}) visit(hash);
    }
  };
  each_hash([&](std::uint64_t hash) { vocabulary_.prefetch_entry(hash); });
  each_hash([&](std::uint64_t hash) { vocabulary_.prefetch_text(hash); });

  struct Found {
    std::int32_t left, right, result;
  };
  Found found[kBatch];
  const std::string_view texts = texts_;
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    const Pending& pending = batch_[i];
    const auto find = [&](std::size_t start, std::size_t end, std::uint64_t hash, std::string_view message) {
      const auto id = vocabulary_.find(texts.substr(start, end - start), hash);
      if (!id) {
        next_rank_ += static_cast<std::int32_t>(i);
        refuse(message, texts.substr(start, end - start));
      }
      return *id;
    };
    constexpr std::string_view kHalf = "a merge names a token that the vocabulary lacks";
    found[i].left = find(pending.start, pending.middle, pending.left, kHalf);
    found[i].right = find(pending.middle, pending.end, pending.right, kHalf);
    found[i].result =
        find(pending.start, pending.end, pending.joined, "a merge makes a token that the vocabulary lacks");
    table_.prefetch(found[i].left, found[i].right);
  }
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    table_.add(found[i].left, found[i].right, {next_rank_++, found[i].result}, repeated_ == Repeated::last_wins);
  }
  batch_.clear();
  texts_.clear();
}

MergeTable MergeLoader::take() {
  flush();
  return std::move(table_);
}

}  // namespace powerhouse
