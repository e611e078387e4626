#include "cuda_on_host/proxies.h"

#include <algorithm>

#include "cuda_on_host/machine.h"

namespace powerhouse::cuda_on_host {

void Proxies::reset(std::size_t bytes, std::size_t threads) {
  noting_ = false;
  granules_.resize((bytes + 15) / 16);
  for (auto& granule : granules_) granule.clear();
  fences_.assign(threads, 0);
}

void Proxies::plain(std::size_t offset, std::size_t bytes, unsigned thread) {
  if (!noting_) return;
  for (std::size_t at = offset / 16; at <= (offset + bytes - 1) / 16; ++at) {
    auto& granule = granules_[at];
    const auto own = std::find_if(granule.begin(), granule.end(), [&](Access one) { return one.thread == thread; });
    if (own != granule.end()) granule.erase(own);
    granule.push_back({thread, fences_[thread]});
  }
}

bool Proxies::fenced(std::size_t offset, std::size_t bytes) {
  for (std::size_t at = offset / 16; at <= (offset + bytes - 1) / 16; ++at) {
    for (const Access access : granules_[at]) {
      if (fences_[access.thread] == access.fences) return false;
    }
    granules_[at].clear();
  }
  return true;
}

void fence_async() {
  const InShim in_shim;
  machine().proxies.fence(position.index);
}

}  // namespace powerhouse::cuda_on_host
