// What g++ and clang call for every plain load and store of a file compiled with -fsanitize=thread. The sanitizer's own
// library is not linked: these functions take its place.
#include <pthread.h>

#include <cstring>

#include "cuda_on_host/machine.h"

extern "C" char __executable_start, _end;  // of the program: tables of constants lie between

namespace powerhouse::cuda_on_host {
namespace {

struct Range {
  std::uintptr_t begin, end;
  bool holds(std::uintptr_t address) const { return address >= begin && address < end; }
};

Range stack_of_thread() {
  pthread_attr_t attributes;
  void* begin = nullptr;
  std::size_t size = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &begin, &size);
  pthread_attr_destroy(&attributes);
  const auto low = reinterpret_cast<std::uintptr_t>(begin);
  return {low, low + size};
}

void plain_access(void* pointer, std::size_t bytes, Use use, const void* site) {
  Machine& all = machine();
  if (!all.running || bytes == 0 || all.threads.on_stack(pointer)) return;  // not a kernel, or a thread's own variables
  const InShim in_shim;
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (use == Use::read && !all.shared.holds(address) && all.global->holding(address, bytes) == nullptr) {
    // Arguments lie on the stack of whoever launched; constants and threadIdx in the program.
    static thread_local const Range stack = stack_of_thread();
    static const Range program = {reinterpret_cast<std::uintptr_t>(&__executable_start),
                                  reinterpret_cast<std::uintptr_t>(&_end)};
    if (stack.holds(address) || program.holds(address)) return;
  }
  ++(use == Use::read ? all.report->loads : all.report->stores);
  if (use == Use::read) return check_access(address, bytes, use, "ld.shared", "ld.global", site);
  check_access(address, bytes, use, "st.shared", "st.global", site);
}

}  // namespace
}  // namespace powerhouse::cuda_on_host

// NOLINTBEGIN(bugprone-reserved-identifier): the compiler chose the names
#define POWERHOUSE_HOOK(name, bytes, use)                                                      \
  void name(void* address) {                                                                   \
    powerhouse::cuda_on_host::plain_access(address, bytes, powerhouse::cuda_on_host::Use::use, \
                                           __builtin_return_address(0));                       \
  }
#define POWERHOUSE_HOOKS(bytes)                                \
  POWERHOUSE_HOOK(__tsan_read##bytes, bytes, read)             \
  POWERHOUSE_HOOK(__tsan_write##bytes, bytes, write)           \
  POWERHOUSE_HOOK(__tsan_unaligned_read##bytes, bytes, read)   \
  POWERHOUSE_HOOK(__tsan_unaligned_write##bytes, bytes, write) \
  POWERHOUSE_HOOK(__tsan_volatile_read##bytes, bytes, read)    \
  POWERHOUSE_HOOK(__tsan_volatile_write##bytes, bytes, write)

extern "C" {
POWERHOUSE_HOOKS(1)
POWERHOUSE_HOOKS(2)
POWERHOUSE_HOOKS(4)
POWERHOUSE_HOOKS(8)
POWERHOUSE_HOOKS(16)

void __tsan_read_range(void* address, std::size_t bytes) {
  powerhouse::cuda_on_host::plain_access(address, bytes, powerhouse::cuda_on_host::Use::read,
                                         __builtin_return_address(0));
}
void __tsan_write_range(void* address, std::size_t bytes) {
  powerhouse::cuda_on_host::plain_access(address, bytes, powerhouse::cuda_on_host::Use::write,
                                         __builtin_return_address(0));
}
void* __tsan_memcpy(void* to, void* from, std::size_t bytes) {
  __tsan_read_range(from, bytes);
  __tsan_write_range(to, bytes);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memset(void* to, int value, std::size_t bytes) {
  __tsan_write_range(to, bytes);
  return std::memset(to, value, bytes);
}
void* __tsan_memmove(void* to, void* from, std::size_t bytes) {
  __tsan_read_range(from, bytes);
  __tsan_write_range(to, bytes);
  return std::memmove(to, from, bytes);
}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_vptr_read(void*) {}
}
// NOLINTEND(bugprone-reserved-identifier)
