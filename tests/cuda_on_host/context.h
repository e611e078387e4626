// One flow of control beside others on one thread of the operating system: a CUDA thread runs in each.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace powerhouse::cuda_on_host {

/// A flow that stands still until another one switches to it.
class Context {
 public:
  /// To run `entry`, which never returns, on this stack.
  void prepare(unsigned char* stack, std::size_t bytes, void (*entry)());

  /// Stops the flow that runs, to be kept here, and lets `next` go on.
  void switch_to(Context& next);

 private:
#if defined(__x86_64__)
  void* stack_pointer_ = nullptr;
#else
  ucontext_t state_{};
#endif
};

/// Stacks side by side, each with a page below it that must not be touched, so that an overflow ends the program.
class Stacks {
 public:
  static constexpr std::size_t kBytes = 128 << 10;

  Stacks() = default;
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  ~Stacks();

  void reserve(std::size_t count);
  unsigned char* of(std::size_t index) const { return begin_ + index * kBytes; }
  bool hold(const void* address) const { return address >= begin_ && address < begin_ + count_ * kBytes; }

 private:
  unsigned char* begin_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace powerhouse::cuda_on_host
