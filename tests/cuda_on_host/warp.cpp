#include "cuda_on_host/warp.h"

#include "cuda_on_host/machine.h"

namespace powerhouse::cuda_on_host {

Warps::Warp* Warps::join(const char* operation, unsigned mask, void* operands, const void* site) {
  Warp& warp = warps_[position.warp];
  const unsigned own = 1u << position.lane;
  if ((mask & own) == 0) fail(FaultKind::mask, std::string(operation) + ": lane not in its own mask");
  if (warp.come == 0) {
    warp.mask = mask;
    warp.operation = operation;
    warp.site = site;
  } else if (warp.site != site || warp.operation != operation) {
    fail(FaultKind::divergence, std::string(warp.operation) + " and " + operation);
  } else if (warp.mask != mask) {
    fail(FaultKind::mask, std::string(operation) + ": lanes with different masks");
  }
  warp.operands[position.lane] = operands;
  warp.come |= own;
  if (warp.come == mask) return &warp;
  machine().threads.wait(operation);
  return nullptr;
}

void Warps::release(Warp& warp) {
  const unsigned others = warp.mask & ~(1u << position.lane);
  warp.come = 0;
  for (unsigned lanes = others; lanes != 0; lanes &= lanes - 1) {
    machine().threads.wake(position.warp * 32 + static_cast<unsigned>(std::countr_zero(lanes)));
  }
}

void sync_warp(unsigned mask) {
  const InShim in_shim;
  Machine& all = machine();
  all.warps.together("a warp barrier", mask, nullptr, __builtin_return_address(0), [&](void* const*) {
    ++all.report->warp_barriers;
    Clocks::Knowledge told;
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (mask >> lane & 1) all.clocks.tell(position.warp * 32 + lane, told);
    }
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (mask >> lane & 1) all.clocks.hear(position.warp * 32 + lane, told);
    }
  });
}

namespace {

/// The lane a shuffle reads; its own where up and down leave the warp.
unsigned shuffle_source(Shuffle kind, unsigned lane, unsigned operand) {
  switch (kind) {
    case Shuffle::index: return operand % 32;
    case Shuffle::exclusive_or: return lane ^ operand % 32;
    case Shuffle::up: return lane >= operand ? lane - operand : lane;
    case Shuffle::down: return lane + operand < 32 ? lane + operand : lane;
  }
  return lane;
}

}  // namespace

std::uint32_t shuffle(Shuffle kind, std::uint32_t value, unsigned operand, unsigned mask) {
  const InShim in_shim;
  struct Operands {
    std::uint32_t value, result;
    unsigned source;
  } own{value, value, shuffle_source(kind, position.lane, operand)};
  Machine& all = machine();
  all.warps.together("a shuffle", mask, &own, __builtin_return_address(0), [&](void* const* lanes) {
    ++all.report->shuffles;
    for (unsigned lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      auto* to = static_cast<Operands*>(lanes[lane]);
      if ((mask >> to->source & 1) == 0) fail(FaultKind::mask, "a shuffle reads a lane that does not take part");
      to->result = static_cast<Operands*>(lanes[to->source])->value;
    }
  });
  return own.result;
}

unsigned vote(Vote kind, bool predicate, unsigned mask) {
  const InShim in_shim;
  struct Operands {
    bool predicate;
    unsigned result;
  } own{predicate, 0};
  Machine& all = machine();
  all.warps.together("a vote", mask, &own, __builtin_return_address(0), [&](void* const* lanes) {
    ++all.report->votes;
    unsigned ballot = 0;
    for (unsigned lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1) && static_cast<Operands*>(lanes[lane])->predicate) ballot |= 1u << lane;
    }
    const unsigned result = kind == Vote::ballot ? ballot : kind == Vote::any ? ballot != 0 : ballot == mask;
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (mask >> lane & 1) static_cast<Operands*>(lanes[lane])->result = result;
    }
  });
  return own.result;
}

}  // namespace powerhouse::cuda_on_host
