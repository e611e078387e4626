// Twelve instructions switch flows on x86-64: the registers that a call keeps go on the stack, and the stack changes.
// Elsewhere ucontext does it, which asks the kernel for the signal mask each time and is slower.
#include "cuda_on_host/context.h"

#include <sys/mman.h>

#include <new>

namespace powerhouse::cuda_on_host {

#if defined(__x86_64__)

extern "C" void powerhouse_switch_stack(void** save, void* load);
asm(R"(.text
.globl powerhouse_switch_stack
.type powerhouse_switch_stack,@function
powerhouse_switch_stack:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp,(%rdi)
  mov %rsi,%rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size powerhouse_switch_stack,.-powerhouse_switch_stack
)");

void Context::prepare(unsigned char* stack, std::size_t bytes, void (*entry)()) {
  auto** top = reinterpret_cast<void**>(stack + bytes - 64);
  *--top = nullptr;  // where entry would return to; it also aligns the stack as a call does
  *--top = reinterpret_cast<void*>(entry);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  stack_pointer_ = top;
}

void Context::switch_to(Context& next) { powerhouse_switch_stack(&stack_pointer_, next.stack_pointer_); }

#else

void Context::prepare(unsigned char* stack, std::size_t bytes, void (*entry)()) {
  getcontext(&state_);
  state_.uc_stack.ss_sp = stack;
  state_.uc_stack.ss_size = bytes;
  state_.uc_link = nullptr;
  makecontext(&state_, entry, 0);
}

void Context::switch_to(Context& next) { swapcontext(&state_, &next.state_); }

#endif

void Stacks::reserve(std::size_t count) {
  if (count <= count_) return;
  if (begin_ != nullptr) munmap(begin_, count_ * kBytes);
  void* memory =
      mmap(nullptr, count * kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  begin_ = static_cast<unsigned char*>(memory);
  count_ = count;
  for (std::size_t i = 0; i < count; ++i) mprotect(of(i), 4096, PROT_NONE);
}

Stacks::~Stacks() {
  if (begin_ != nullptr) munmap(begin_, count_ * kBytes);
}

}  // namespace powerhouse::cuda_on_host
