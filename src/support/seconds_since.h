// Time that has passed on the steady clock.
#pragma once

#include <chrono>

namespace powerhouse {

inline double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace powerhouse
