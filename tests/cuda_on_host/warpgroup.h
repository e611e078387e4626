// Products of a warpgroup (wgmma), which run on their own until they are waited for.
//
// A product happens as late as it may: when its warp waits for its group. Its sums are NaN from its issue on, so that
// whoever reads them early has wrong numbers, and its operands are read then, so that a stage that was given back too
// early holds something else. Each warp's quarter is computed by itself; that the four warps of a warpgroup issue the
// same is checked.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "kernels/common/float16.h"

namespace powerhouse::cuda_on_host {

class Warpgroups {
 public:
  void reset(unsigned warps) {
    warps_.assign(warps, {});
    issued_.assign(warps / 4 + 1, {});
  }

  struct Product {
    float* d[32];                // of each lane
    const std::uint32_t* a[32];  // of each lane; null: both operands are in shared memory
    std::uint64_t a_operand, b_operand;
    unsigned columns;  // fragments of 8 columns
    bool add, bfloat;
    bool turned = false;  // both operands are in shared memory with the k as rows
  };
  void issue(Product product);
  void commit();
  /// Until at most `pending` of the newest groups are unfinished.
  void wait(unsigned pending);
  /// The running thread ends.
  void check_finished() const;

 private:
  struct Sums {
    std::vector<float> values;  // [16 rows, columns * 8]
    unsigned products = 0;      // that are to come
  };
  struct Warp {
    std::vector<std::vector<Product>> groups;
    std::vector<Product> open;
    std::map<float*, Sums> sums;  // by the first lane's
    std::size_t issued = 0;
  };
  struct Issue {
    bool in_shared;
    std::uint64_t a_operand, b_operand;
    unsigned columns;
    bool add;
    bool operator==(const Issue&) const = default;
  };

  void finish(Warp& warp, const Product& product);

  std::vector<Warp> warps_;
  std::vector<std::vector<Issue>> issued_;  // by warpgroup, by whichever warp came first
};

/// d = a b, or d += a b where `add`, of `columns` fragments; a null: by its operand. `turned`: both operands have the k
/// as rows.
void multiply_warpgroup(float* d, unsigned columns, const std::uint32_t* a, std::uint64_t a_operand,
                        std::uint64_t b_operand, bool add, bool bfloat, bool turned = false);
void warpgroup_commit();
void warpgroup_wait(unsigned pending);
/// An address in shared memory as operands have it.
std::uint64_t shared_address(const void* pointer);

}  // namespace powerhouse::cuda_on_host
