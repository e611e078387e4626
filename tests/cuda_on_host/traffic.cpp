#include "cuda_on_host/traffic.h"

#include <algorithm>
#include <bit>
#include <cstdio>

namespace powerhouse::cuda_on_host {
namespace {

/// The different units of so many bytes that lanes [begin, end) touch.
std::vector<std::uintptr_t> touched(const Request& request, unsigned begin, unsigned end, std::uintptr_t unit) {
  std::vector<std::uintptr_t> units;
  for (unsigned lane = begin; lane < end; ++lane) {
    if ((request.mask >> lane & 1) == 0) continue;
    const std::uintptr_t last = (request.address[lane] + request.size - 1) / unit;
    for (std::uintptr_t at = request.address[lane] / unit; at <= last; ++at) units.push_back(at);
  }
  std::sort(units.begin(), units.end());
  units.erase(std::unique(units.begin(), units.end()), units.end());
  return units;
}

}  // namespace

Cost bank_cycles(const Request& request) {
  const unsigned lanes = request.size >= 16 ? 8 : request.size == 8 ? 16 : 32;  // of a phase
  Cost cost;
  for (unsigned begin = 0; begin < 32; begin += lanes) {
    std::int64_t words[32] = {};
    for (const std::uintptr_t word : touched(request, begin, begin + lanes, 4)) ++words[word % 32];
    const std::int64_t cycles = *std::max_element(words, words + 32);
    cost.paid += cycles;
    cost.ideal += cycles > 0;
  }
  return cost;
}

Cost sectors(const Request& request) {
  const auto words = static_cast<std::int64_t>(touched(request, 0, 32, 4).size());
  return {static_cast<std::int64_t>(touched(request, 0, 32, 32).size()), (words + 7) / 8};
}

void Traffic::start(bool noting) {
  noting_ = noting;
  open_.clear();
}

void Traffic::note(const void* site, const char* kind, bool shared, std::uintptr_t address, unsigned size,
                   unsigned warp, unsigned lane) {
  Executions& executions = open_[{{site, kind, size}, warp}];
  executions.kind = kind;
  executions.shared = shared;
  const std::uint32_t turn = executions.done[lane]++;
  if (executions.requests.size() <= turn) executions.requests.resize(turn + 1);
  Request& request = executions.requests[turn];
  request.mask |= 1u << lane;
  request.size = size;
  request.address[lane] = address;
}

void Traffic::note(const void* site, const char* kind, bool shared, const Request& request) {
  InstructionTraffic& sum = closed_[{site, kind, request.size}];
  const Cost cost = shared ? bank_cycles(request) : sectors(request);
  sum.kind = kind;
  sum.shared = shared;
  sum.size = request.size;
  ++sum.requests;
  sum.lanes += std::popcount(request.mask);
  sum.cost.paid += cost.paid;
  sum.cost.ideal += cost.ideal;
}

std::vector<InstructionTraffic> Traffic::take() {
  for (const auto& [key, executions] : open_) {
    const void* site = std::get<0>(key.first);
    for (const Request& request : executions.requests) note(site, executions.kind, executions.shared, request);
  }
  std::vector<InstructionTraffic> all;
  for (const auto& [key, sum] : closed_) all.push_back(sum);
  open_.clear();
  closed_.clear();
  noting_ = false;
  return all;
}

std::string traffic_table(const std::vector<InstructionTraffic>& traffic) {
  std::string out;
  for (const InstructionTraffic& row : traffic) {
    char line[160];
    const auto requests = static_cast<double>(row.requests);
    std::snprintf(line, sizeof line, "%-20s %2u B  requests %6lld  lanes %5.1f  %s a request %6.2f (ideal %5.2f)\n",
                  row.kind, row.size, static_cast<long long>(row.requests), static_cast<double>(row.lanes) / requests,
                  row.shared ? "cycles " : "sectors", static_cast<double>(row.cost.paid) / requests,
                  static_cast<double>(row.cost.ideal) / requests);
    out += line;
  }
  return out;
}

}  // namespace powerhouse::cuda_on_host
