#include "cuda_on_host/shadow.h"

#include <algorithm>
#include <bit>

namespace powerhouse::cuda_on_host {
namespace {

constexpr std::size_t kGranule = 16;

/// Calls op(granule, bits of its bytes) for each granule of the range.
template <typename Op>
void for_granules(std::size_t offset, std::size_t bytes, Op op) {
  while (bytes > 0) {
    const std::size_t first = offset % kGranule;
    const std::size_t count = std::min(bytes, kGranule - first);
    op(offset / kGranule, static_cast<std::uint16_t>(((1u << count) - 1) << first));
    offset += count;
    bytes -= count;
  }
}

}  // namespace

void Shadow::reset(std::size_t bytes, bool ready) {
  granules_.resize((bytes + kGranule - 1) / kGranule);
  bytes_ = bytes;
  forget_touches();
  for (Granule& granule : granules_) granule.ready = ready ? 0xFFFF : 0;
}

void Shadow::forget_touches() {
  for (Granule& granule : granules_) {
    granule.writes.clear();
    granule.reads.clear();
    granule.in_flight = 0;
    granule.look_through_at = 8;
  }
}

void Shadow::mark_in_flight(std::size_t offset, std::size_t bytes, bool value) {
  for_granules(offset, bytes, [&](std::size_t index, std::uint16_t bits) {
    std::uint16_t& mark = granules_[index].in_flight;
    mark = static_cast<std::uint16_t>(value ? mark | bits : mark & ~bits);
  });
}

std::size_t Shadow::unwritten() const {
  std::size_t count = 0;
  for (std::size_t i = 0; i < granules_.size(); ++i) {
    const std::size_t bytes = std::min(kGranule, bytes_ - i * kGranule);
    const std::uint32_t whole = (1u << bytes) - 1;
    count += bytes - static_cast<std::size_t>(std::popcount(granules_[i].ready & whole));
  }
  return count;
}

void Shadow::keep_newest(std::vector<Touch>& reads, std::uint32_t block) {
  std::vector<std::uint16_t> later;  // bytes that a thread of the block reads further on
  for (std::size_t i = reads.size(); i-- > 0;) {
    Touch& touch = reads[i];
    if (touch.block != block) continue;
    if (later.size() <= touch.thread) later.resize(touch.thread + 1u);
    const auto newer = static_cast<std::uint16_t>(later[touch.thread] | touch.bytes);
    touch.bytes &= static_cast<std::uint16_t>(~later[touch.thread]);
    later[touch.thread] = newer;
  }
  std::erase_if(reads, [](const Touch& touch) { return touch.bytes == 0; });
}

std::optional<Conflict> Shadow::touch(Granule& granule, std::uint16_t bytes, Use use, const Toucher& by) {
  const auto first = [](unsigned bits) { return static_cast<std::size_t>(std::countr_zero(bits)); };
  const auto before = [&](const Touch& touch) {
    if (touch.block != by.block) return false;
    return touch.thread == by.thread || by.clocks.heard(by.thread, touch.thread, touch.moment);
  };
  const auto race = [&](const Touch& touch, FaultKind kind) {
    const auto both = static_cast<unsigned>(touch.bytes & bytes);
    return Conflict{kind, first(both), touch.thread, touch.block != by.block};
  };
  if (granule.in_flight & bytes) {
    return Conflict{FaultKind::copy_in_flight, first(granule.in_flight & bytes)};
  }
  const bool atomic = use == Use::atomic;
  for (const Touch& touch : granule.writes) {
    if ((touch.bytes & bytes) == 0 || before(touch) || (atomic && touch.atomic)) continue;
    return race(touch, use == Use::read ? FaultKind::write_read_race : FaultKind::write_write_race);
  }
  if (use != Use::write && (bytes & ~granule.ready) != 0) {
    return Conflict{FaultKind::uninitialized, first(bytes & static_cast<unsigned>(~granule.ready))};
  }
  const Touch mine{by.block, by.clocks.now(by.thread), static_cast<std::uint16_t>(by.thread), bytes, atomic};
  if (use == Use::read) {
    std::vector<Touch>& reads = granule.reads;
    if (reads.size() >= granule.look_through_at) {
      std::erase_if(reads, [&](const Touch& touch) { return (touch.bytes & ~bytes) == 0 && before(touch); });
      keep_newest(reads, by.block);
      granule.look_through_at = std::max<std::size_t>(8, 2 * reads.size());
    }
    reads.push_back(mine);
    return std::nullopt;
  }
  for (const Touch& touch : granule.reads) {
    if ((touch.bytes & bytes) != 0 && !before(touch)) return race(touch, FaultKind::read_write_race);
  }
  // The bytes belong to this write now. An atomic one joins those that it may be simultaneous with.
  for (auto* list : {&granule.writes, &granule.reads}) {
    for (Touch& touch : *list) {
      if (!atomic || before(touch)) touch.bytes &= static_cast<std::uint16_t>(~bytes);
    }
    std::erase_if(*list, [](const Touch& touch) { return touch.bytes == 0; });
  }
  granule.writes.push_back(mine);
  granule.ready |= bytes;
  return std::nullopt;
}

std::optional<Conflict> Shadow::touch(std::size_t offset, std::size_t bytes, Use use, const Toucher& by) {
  std::optional<Conflict> found;
  for_granules(offset, bytes, [&](std::size_t index, std::uint16_t bits) {
    if (found) return;
    found = touch(granules_[index], bits, use, by);
    if (found) found->offset += index * kGranule;
  });
  return found;
}

}  // namespace powerhouse::cuda_on_host
