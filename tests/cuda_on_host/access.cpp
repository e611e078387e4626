// One access of a thread: which memory it goes to, whether it may, what it costs.
#include "cuda_on_host/machine.h"

namespace powerhouse::cuda_on_host {
namespace {

Fault fault_of_running(FaultKind kind, std::string detail) {
  Fault fault{.kind = kind, .block = position.block, .warp = position.warp, .lane = position.lane};
  fault.detail = std::move(detail);
  return fault;
}

[[noreturn]] void end_with(Fault fault) {
  machine().report->fault = std::move(fault);
  machine().threads.abandon();
}

[[noreturn]] void fail_at_conflict(const Conflict& conflict, const std::string& buffer) {
  Fault fault = fault_of_running(conflict.kind, "");
  fault.buffer = buffer;
  fault.offset = static_cast<std::int64_t>(conflict.offset);
  if (conflict.other) {
    fault.detail = "the other: warp " + std::to_string(*conflict.other / 32) + " lane " +
                   std::to_string(*conflict.other % 32) + (conflict.other_block ? " of another block" : "");
  }
  end_with(std::move(fault));
}

}  // namespace

void fail(FaultKind kind, std::string detail) { end_with(fault_of_running(kind, std::move(detail))); }

void fail_at(FaultKind kind, std::uintptr_t address, std::string detail) {
  Machine& all = machine();
  Fault fault = fault_of_running(kind, std::move(detail));
  if (all.shared.holds(address)) {
    fault.buffer = "shared";
    fault.offset = static_cast<std::int64_t>(all.shared.offset(address));
  } else if (const GlobalBuffer* buffer = all.global->near(address)) {
    fault.buffer = buffer->name;
    fault.offset = static_cast<std::int64_t>(address - buffer->begin);
  } else {
    fault.buffer = "an unknown address";
    fault.offset = static_cast<std::int64_t>(address);
  }
  end_with(std::move(fault));
}

void check_access(std::uintptr_t address, std::size_t bytes, Use use, const char* shared_kind, const char* global_kind,
                  const void* site) {
  Machine& all = machine();
  const bool power = (bytes & (bytes - 1)) == 0;
  if (power && address % (bytes < 16 ? bytes : 16) != 0) fail_at(FaultKind::misaligned, address);
  const bool shared = all.shared.holds(address);
  if (shared) {
    const std::size_t offset = all.shared.offset(address);
    if (offset + bytes > all.shared.bytes()) fail_at(FaultKind::bounds, address);
    if (const auto conflict = all.shared.shadow.touch(offset, bytes, use, all.toucher())) {
      fail_at_conflict(*conflict, "shared");
    }
    all.proxies.plain(offset, bytes, position.index);
  } else {
    GlobalBuffer* buffer = all.global->holding(address, bytes);
    if (buffer == nullptr) fail_at(FaultKind::bounds, address);
    if (buffer->contents == Contents::output || buffer->contents == Contents::in_out) {
      if (const auto conflict = buffer->shadow.touch(address - buffer->begin, bytes, use, all.toucher())) {
        fail_at_conflict(*conflict, buffer->name);
      }
    } else if (buffer->contents == Contents::input && use != Use::read) {
      fail_at(FaultKind::read_only, address);
    }
    if (use != Use::write) buffer->bytes_read += bytes;
    if (use != Use::read) buffer->bytes_written += bytes;
  }
  const char* kind = shared ? shared_kind : global_kind;
  if (all.traffic.noting() && kind != nullptr) {
    all.traffic.note(site, kind, shared, address, static_cast<unsigned>(bytes), position.warp, position.lane);
  }
}

}  // namespace powerhouse::cuda_on_host
