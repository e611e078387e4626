// What a program that runs kernels with a planted fault says of what it finds.
#pragma once

#include <set>
#include <string>

namespace powerhouse::cuda_on_host {

/// The program passes with the first text that holds what is expected.
class PlantedVerdict {
 public:
  /// Plants fault `number`. `expected`: part of a text, or "nothing".
  PlantedVerdict(const std::string& number, std::string expected);
  /// Prints the text, unless it is empty or was found before. Ends the program if it is the one expected.
  void add(const std::string& what);
  /// The exit code of a program that has not ended: 0 if nothing was expected and nothing found.
  int code() const;

 private:
  std::string expected_;
  std::set<std::string> found_;
};

}  // namespace powerhouse::cuda_on_host
