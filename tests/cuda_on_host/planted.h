// What a program that runs kernels with a planted fault says of what it found.
#pragma once

#include <iostream>
#include <set>
#include <string>

namespace powerhouse::cuda_on_host {

/// The program's exit code: 0 if one of the texts found holds what is expected of the fault. Prints them all.
inline int planted_verdict(const std::set<std::string>& found, const std::string& expected) {
  bool as_expected = false;
  for (const std::string& what : found) {
    std::cout << what << '\n';
    as_expected = as_expected || what.find(expected) != std::string::npos;
  }
  if (!as_expected) std::cout << "not found: " << expected << '\n';
  return as_expected ? 0 : 1;
}

}  // namespace powerhouse::cuda_on_host
