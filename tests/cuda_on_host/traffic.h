// What accesses cost a GPU's memory: cycles of the 32 banks of shared memory, 32-byte sectors of global memory.
//
// One execution of a load or store by a warp is one request. Ours is told of each lane's access by itself, so the k-th
// execution of an instruction by each lane of a warp is taken for one request.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace powerhouse::cuda_on_host {

/// Addresses of a request, by lane; `mask` says which lanes take part.
struct Request {
  unsigned mask = 0;
  unsigned size = 0;  // bytes a lane
  std::uintptr_t address[32] = {};
};

struct Cost {
  std::int64_t paid = 0, ideal = 0;
};

/// Cycles: accesses of 8 and 16 bytes go in 2 and 4 phases; in each, the bank with most different words counts.
Cost bank_cycles(const Request& request);
/// Sectors: against as many as would hold the different words asked for.
Cost sectors(const Request& request);

/// All requests of one instruction.
struct InstructionTraffic {
  const char* kind = "";  ///< "ld.shared", "st.global", "ldmatrix", "cp.async to shared" ...
  bool shared = false;    ///< costs are cycles, otherwise sectors
  unsigned size = 0;
  std::int64_t requests = 0, lanes = 0;
  Cost cost{};
};

class Traffic {
 public:
  /// Requests are noted for one block, since others do the same.
  void start(bool noting);
  bool noting() const { return noting_; }
  void note(const void* site, const char* kind, bool shared, std::uintptr_t address, unsigned size, unsigned warp,
            unsigned lane);
  void note(const void* site, const char* kind, bool shared, const Request& request);
  std::vector<InstructionTraffic> take();

 private:
  using Instruction = std::tuple<const void*, std::string, unsigned>;  // where, kind, size
  struct Executions {
    const char* kind = "";
    bool shared = false;
    std::vector<Request> requests;
    std::uint32_t done[32] = {};  // by lane
  };

  bool noting_ = false;
  std::map<std::pair<Instruction, unsigned>, Executions> open_;  // by warp
  std::map<Instruction, InstructionTraffic> closed_;
};

std::string traffic_table(const std::vector<InstructionTraffic>& traffic);

}  // namespace powerhouse::cuda_on_host
