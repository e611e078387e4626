#include "cuda_on_host/planted.h"

#include <cstdlib>
#include <iostream>

#include "cuda_on_host/planted_fault.h"

namespace powerhouse::cuda_on_host {

namespace {

int chosen = 0;
const char* const kNothing = "nothing";

}  // namespace

void plant(int number) { chosen = number; }
bool is_planted(int number) { return number == chosen; }

PlantedVerdict::PlantedVerdict(const std::string& number, std::string expected) : expected_(std::move(expected)) {
  plant(std::stoi(number));
}

void PlantedVerdict::add(const std::string& what) {
  if (what.empty() || !found_.insert(what).second) return;
  std::cout << what << '\n';
  if (expected_ != kNothing && what.find(expected_) != std::string::npos) std::exit(0);
}

int PlantedVerdict::code() const {
  if (expected_ == kNothing && found_.empty()) return 0;
  std::cout << "not found: " << expected_ << '\n';
  return 1;
}

}  // namespace powerhouse::cuda_on_host
