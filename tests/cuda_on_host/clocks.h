// Vector clocks: what each thread of a block knows of the others' progress (Lamport; Mattern).
//
// A thread's own entry counts the times it told others how far it is; an access bears that number. A barrier joins what
// its threads know. So an access came before this moment exactly if its number is at most what this thread has heard.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace powerhouse::cuda_on_host {

class Clocks {
 public:
  using Knowledge = std::vector<std::uint32_t>;  // by thread

  void reset(unsigned threads) {
    known_.assign(threads, Knowledge(threads, 0));
    for (unsigned thread = 0; thread < threads; ++thread) known_[thread][thread] = 1;
  }

  std::uint32_t now(unsigned thread) const { return known_[thread][thread]; }
  bool heard(unsigned thread, unsigned other, std::uint32_t moment) const { return moment <= known_[thread][other]; }

  /// Adds what a thread knows, itself included; what it does from now on is not in it.
  void tell(unsigned thread, Knowledge& into) {
    const Knowledge& own = known_[thread];
    into.resize(own.size(), 0);
    for (std::size_t i = 0; i < own.size(); ++i) into[i] = std::max(into[i], own[i]);
    ++known_[thread][thread];
  }

  void hear(unsigned thread, const Knowledge& from) {
    Knowledge& own = known_[thread];
    for (std::size_t i = 0; i < own.size(); ++i) own[i] = std::max(own[i], from[i]);
  }

 private:
  std::vector<Knowledge> known_;
};

}  // namespace powerhouse::cuda_on_host
