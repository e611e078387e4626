// Flash attention's backward kernels on one problem: the run under the shim, and gradients in float64 that it is held
// to.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "kernels/cuda/flash_attention/backward_params.h"
#include "kernels/cuda/flash_case.h"
#include "kernels/cuda_rows/on_host.h"

namespace powerhouse::testing {

/// Log-sum-exps so low that a score of 0, which absent keys would have, had an infinite weight.
inline const FlashCase kFarBelowZero{.queries = {40}, .keys = {1}, .scale = 6.0f};

class FlashBackwardProblem {
 public:
  FlashBackwardProblem(const FlashCase& one, std::uint64_t seed, bool gaps = true);

  /// All launches, as the launcher makes them. `traffic_block`: of each, the block whose accesses are counted.
  HostLauncher run(cuda_on_host::Order order, std::int64_t traffic_block = -1);
  /// What is wrong with the results of the last run; empty where nothing is.
  std::string wrong() const;
  /// Of one document with one-hot gradients and a head of keys for each of queries: as in flash_forward_case.h.
  int wrong_masks() const;
  /// Of all launches of the last run, by buffer.
  struct Bytes {
    std::uint64_t read = 0, written = 0;
  };
  const std::map<std::string, Bytes>& bytes() const { return bytes_; }
  bool same_results(const FlashBackwardProblem& other) const;

 private:
  /// A gradient and how far it may be off: what the roundings on the way can make of it.
  struct Expected {
    std::vector<double> value, bound;
    explicit Expected(std::size_t size) : value(size), bound(size) {}
  };
  void fill_results();
  void expect();
  void expect_query(int document, int head, int query);
  std::string wrong(const char* name, const GappedTensor& found, const Expected& expected) const;

  FlashInputs inputs_;
  GappedTensor dout_, dq_, dk_, dv_;
  cuda_on_host::DeviceArray<float> dsinks_, workspace_;
  Expected wanted_q_, wanted_k_, wanted_v_;  // [rows, heads, head_dim]
  std::vector<double> wanted_sinks_, sinks_bound_;
  std::unique_ptr<cuda_on_host::GlobalMemory> memory_{};
  std::map<std::string, Bytes> bytes_{};
};

}  // namespace powerhouse::testing
