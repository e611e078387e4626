// What the lanes of a warp do together: each lays down its operands and waits; the last to come computes for all.
//
// All lanes of the mask have to come from one instruction with one mask; otherwise the warp has diverged, which is
// reported and does not hang. Only a warp barrier orders memory: shuffles, votes and products do not (PTX ISA).
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace powerhouse::cuda_on_host {

class Warps {
 public:
  void reset(unsigned warps) { warps_.assign(warps, {}); }

  /// compute(operands by lane) runs once, in the last lane's turn.
  template <typename Compute>
  void together(const char* operation, unsigned mask, void* operands, const void* site, Compute compute) {
    Warp* last = join(operation, mask, operands, site);
    if (last == nullptr) return;
    compute(last->operands);
    release(*last);
  }

 private:
  struct Warp {
    unsigned mask = 0, come = 0;
    const char* operation = nullptr;
    const void* site = nullptr;
    void* operands[32] = {};
  };

  Warp* join(const char* operation, unsigned mask, void* operands, const void* site);
  void release(Warp& warp);

  std::vector<Warp> warps_;
};

enum class Shuffle { index, exclusive_or, up, down };
enum class Vote { ballot, any, all };

void sync_warp(unsigned mask);
std::uint32_t shuffle(Shuffle kind, std::uint32_t value, unsigned operand, unsigned mask);
/// ballot: the lanes with a true predicate; any and all: 1 or 0.
unsigned vote(Vote kind, bool predicate, unsigned mask);

}  // namespace powerhouse::cuda_on_host
