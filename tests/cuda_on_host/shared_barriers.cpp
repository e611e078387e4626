#include "cuda_on_host/shared_barriers.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "cuda_on_host/machine.h"

namespace powerhouse::cuda_on_host {
namespace {

std::uintptr_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

/// Of a chunk of 16 bytes in rows of 128 bytes whose chunks are exclusive-ored with the row's number.
std::uintptr_t swizzled(std::uintptr_t address) { return address ^ (address >> 7 & 7) << 4; }

}  // namespace

void SharedBarriers::init(std::uintptr_t address, int arrivals, const void* site) {
  check_access(address, 8, Use::write, nullptr, nullptr, site);
  if (!machine().shared.holds(address)) fail_at(FaultKind::bounds, address, "a barrier outside shared memory");
  machine().proxies.start();
  Barrier& barrier = barriers_[address];
  barrier = {};
  barrier.expected = barrier.pending = arrivals;
}

SharedBarriers::Barrier& SharedBarriers::at(std::uintptr_t address, const void* site) {
  const auto found = barriers_.find(address);
  if (found == barriers_.end()) fail_at(FaultKind::uninitialized, address, "a barrier");
  check_access(address, 8, Use::atomic, nullptr, nullptr, site);
  return found->second;
}

void SharedBarriers::settle(Barrier& barrier) {
  Machine& all = machine();
  std::int64_t coming = 0;
  for (const Copy& copy : barrier.copies) coming += static_cast<std::int64_t>(copy.pieces.size() * 16);
  if (barrier.pending != 0 || barrier.bytes != coming) return;
  for (const Copy& copy : barrier.copies) {
    for (const Piece& piece : copy.pieces) {
      const std::size_t offset = all.shared.offset(address_of(piece.to));
      all.shared.shadow.end_copy(offset, 16);
      if (piece.from == nullptr) {
        std::memset(piece.to, 0, 16);
      } else {
        std::memcpy(piece.to, piece.from, 16);
      }
      if (all.shared.shadow.touch(offset, 16, Use::write, {all.clocks, all.block, copy.thread})) {
        fail_at(FaultKind::write_write_race, address_of(piece.to), "a copy of a tile and another");
      }
    }
    all.clocks.tell(copy.thread, barrier.told);
  }
  barrier.copies.clear();
  barrier.bytes = 0;
  barrier.pending = barrier.expected;
  ++barrier.phase;
  ++all.report->barriers;
  barrier.ended.resize(barrier.told.size(), 0);
  for (std::size_t i = 0; i < barrier.told.size(); ++i) barrier.ended[i] = std::max(barrier.ended[i], barrier.told[i]);
  barrier.told.clear();
  for (const unsigned thread : barrier.waiting) all.threads.wake(thread);
  barrier.waiting.clear();
}

void SharedBarriers::arrive(std::uintptr_t address, int bytes, const void* site) {
  Barrier& barrier = at(address, site);
  if (barrier.pending == 0) settle(barrier);
  if (barrier.pending == 0) fail(FaultKind::barrier, "more arrivals than a barrier in shared memory is for");
  barrier.bytes += bytes;
  machine().clocks.tell(position.index, barrier.told);
  --barrier.pending;
  if (!barrier.waiting.empty()) settle(barrier);
}

void SharedBarriers::wait(std::uintptr_t address, int parity, const void* site) {
  Machine& all = machine();
  Barrier& barrier = at(address, site);
  while ((barrier.phase & 1) == static_cast<unsigned>(parity)) {
    settle(barrier);
    if ((barrier.phase & 1) != static_cast<unsigned>(parity)) break;
    barrier.waiting.push_back(position.index);
    all.threads.wait("a barrier in shared memory");
  }
  if (!barrier.ended.empty()) all.clocks.hear(position.index, barrier.ended);
}

void SharedBarriers::copy(unsigned char* to, const cuda::TensorTiles& tiles, std::uintptr_t address,
                          const std::int64_t (&from)[4], const void* site) {
  Machine& all = machine();
  Barrier& barrier = at(address, site);
  ++all.report->copies;
  if (all.shared.offset(address_of(to)) % 1024 != 0) {
    fail_at(FaultKind::misaligned, address_of(to), "a tile whose rows are swizzled");
  }
  Copy copy{.thread = position.index, .pieces = {}};
  const auto inside = [&](int dimension, std::int64_t index) {
    return index >= 0 && static_cast<std::uint64_t>(index) < tiles.sizes[dimension];
  };
  for (std::int64_t row = 0; row < tiles.tile[1]; ++row) {
    const std::int64_t element = static_cast<std::int64_t>(tiles.strides[0]) * (from[1] + row) +
                                 static_cast<std::int64_t>(tiles.strides[1]) * from[2] +
                                 static_cast<std::int64_t>(tiles.strides[2]) * from[3];
    for (std::int64_t column = 0; column < tiles.tile[0]; column += 8) {
      const bool exists =
          inside(0, from[0] + column) && inside(1, from[1] + row) && inside(2, from[2]) && inside(3, from[3]);
      // Where a packed document's rows begin may lie before the tensor; only what exists is ever an address.
      const std::uintptr_t source =
          address_of(tiles.data) + static_cast<std::uintptr_t>((element + from[0] + column) * 2);
      const std::uintptr_t place = swizzled(address_of(to) + static_cast<std::uintptr_t>(row * 128 + column * 2));
      if (exists) check_access(source, 16, Use::read, nullptr, nullptr, site);
      const std::size_t offset = all.shared.offset(place);
      if (offset + 16 > all.shared.bytes()) fail_at(FaultKind::bounds, place, "a tile");
      if (!all.proxies.fenced(offset, 16)) fail_at(FaultKind::unfenced, place, "a tile");
      if (const auto conflict = all.shared.shadow.touch(offset, 16, Use::write, all.toucher())) {
        fail_at(conflict->kind, place, "a tile");
      }
      all.shared.shadow.begin_copy(offset, 16);
      std::memset(reinterpret_cast<void*>(place), 0xFF, 16);
      copy.pieces.push_back(
          {reinterpret_cast<unsigned char*>(place), exists ? reinterpret_cast<const unsigned char*>(source) : nullptr});
    }
  }
  barrier.copies.push_back(std::move(copy));
  if (!barrier.waiting.empty()) settle(barrier);
}

bool SharedBarriers::finished() const {
  for (const auto& [address, barrier] : barriers_) {
    if (!barrier.copies.empty()) return false;
  }
  return true;
}

void barrier_init(void* barrier, int arrivals) {
  const InShim in_shim;
  machine().shared_barriers.init(address_of(barrier), arrivals, __builtin_return_address(0));
}

void barrier_arrive(void* barrier, int bytes) {
  const InShim in_shim;
  machine().shared_barriers.arrive(address_of(barrier), bytes, __builtin_return_address(0));
}

void barrier_wait(void* barrier, int parity) {
  const InShim in_shim;
  machine().shared_barriers.wait(address_of(barrier), parity, __builtin_return_address(0));
}

void copy_tile(void* to, const cuda::TensorMap& map, void* barrier, int column, int row, int head, int outer) {
  const InShim in_shim;
  cuda::TensorTiles tiles;
  static_assert(sizeof tiles <= sizeof map && std::is_trivially_copyable_v<cuda::TensorTiles>);
  std::memcpy(static_cast<void*>(&tiles), &map, sizeof tiles);
  machine().shared_barriers.copy(static_cast<unsigned char*>(to), tiles, address_of(barrier),
                                 {column, row, head, outer}, __builtin_return_address(0));
}

}  // namespace powerhouse::cuda_on_host

namespace powerhouse::cuda {

/// The driver's, in the place of tensor_map.cpp: a map is the description itself.
bool encode_tensor_map(const TensorTiles& tiles, TensorMap& map) {
  std::memset(&map, 0, sizeof map);
  std::memcpy(&map, &tiles, sizeof tiles);
  return true;
}

}  // namespace powerhouse::cuda
