#include "cuda_on_host/copies.h"

#include <cstring>

#include "cuda_on_host/machine.h"

namespace powerhouse::cuda_on_host {

void Copies::issue(unsigned char* to, const void* from, std::size_t size, std::size_t source_bytes, const void* site) {
  Machine& all = machine();
  ++all.report->copies;
  const auto address = reinterpret_cast<std::uintptr_t>(to);
  const auto source = reinterpret_cast<std::uintptr_t>(from);
  if (!all.shared.holds(address)) fail_at(FaultKind::bounds, address, "cp.async into what is not shared memory");
  if (source % size != 0) fail_at(FaultKind::misaligned, source, "cp.async's source");
  check_access(address, size, Use::write, "cp.async to shared", nullptr, site);
  if (source_bytes > 0) {
    if (all.shared.holds(source)) fail_at(FaultKind::bounds, source, "cp.async from shared memory");
    // The source's bytes count as one access of the copy's size, which is what a warp's request asks for.
    check_access(source, source_bytes, Use::read, nullptr, "cp.async from global", site);
  }
  all.shared.shadow.begin_copy(all.shared.offset(address), size);
  std::memset(to, 0xFF, size);
  OfThread& own = threads_[position.index];
  own.issued.push_back({to, from, size, source_bytes, own.committed});
}

void Copies::commit() { ++threads_[position.index].committed; }

void Copies::wait(unsigned pending) {
  Machine& all = machine();
  OfThread& own = threads_[position.index];
  std::size_t done = 0;
  for (; done < own.issued.size() && own.issued[done].group + pending < own.committed; ++done) {
    const Copy& copy = own.issued[done];
    const std::size_t offset = all.shared.offset(reinterpret_cast<std::uintptr_t>(copy.to));
    all.shared.shadow.end_copy(offset, copy.size);
    std::memset(copy.to, 0, copy.size);
    if (copy.source_bytes > 0) std::memcpy(copy.to, copy.from, copy.source_bytes);
    // Visible to this thread from here on, so written at this moment of its clock.
    if (all.shared.shadow.touch(offset, copy.size, Use::write, all.toucher())) {
      fail_at(FaultKind::write_write_race, reinterpret_cast<std::uintptr_t>(copy.to), "a cp.async and another");
    }
  }
  own.issued.erase(own.issued.begin(), own.issued.begin() + static_cast<std::ptrdiff_t>(done));
}

void Copies::check_finished() const {
  const OfThread& own = threads_[position.index];
  if (own.issued.empty()) return;
  fail_at(FaultKind::copy_unfinished, reinterpret_cast<std::uintptr_t>(own.issued.front().to));
}

void copy_async(void* to, const void* from, std::size_t size, std::size_t source_bytes) {
  const InShim in_shim;
  machine().copies.issue(static_cast<unsigned char*>(to), from, size, source_bytes, __builtin_return_address(0));
}

void copy_async_commit() {
  const InShim in_shim;
  machine().copies.commit();
}

void copy_async_wait(unsigned pending) {
  const InShim in_shim;
  machine().copies.wait(pending);
}

}  // namespace powerhouse::cuda_on_host
