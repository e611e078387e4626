#include "cuda_on_host/warpgroup.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "cuda_on_host/machine.h"

namespace powerhouse::cuda_on_host {
namespace {

/// The fields of a matrix descriptor (PTX ISA, "Matrix descriptor"): addresses and distances in units of 16 bytes.
struct Operand {
  std::uintptr_t begin, leading, stride;

  explicit Operand(std::uint64_t bits)
      : begin((bits & 0x3FFF) << 4), leading((bits >> 16 & 0x3FFF) << 4), stride((bits >> 32 & 0x3FFF) << 4) {
    if (bits >> 62 != 1) fail(FaultKind::misaligned, "an operand without a swizzle of 128 bytes");
    if ((bits >> 49 & 7) != 0) fail(FaultKind::misaligned, "an operand with a base offset");
  }
  /// Of element k of a row or column of an operand that has k inside its rows (K-major), in bytes of shared memory.
  std::uintptr_t inside(unsigned row, unsigned k) const {
    return swizzle(begin + row / 8 * stride + row % 8 * 128 + k * 2);
  }
  /// Of an operand whose rows are the k (MN-major): segments of 64 columns, groups of 8 rows.
  std::uintptr_t across(unsigned column, unsigned k) const {
    return swizzle(begin + column / 64 * leading + k / 8 * stride + k % 8 * 128 + column % 64 * 2);
  }
  static std::uintptr_t swizzle(std::uintptr_t address) { return address ^ (address >> 7 & 7) << 4; }
};

float element(const unsigned char* at, bool bfloat) {
  std::uint16_t bits;
  std::memcpy(&bits, at, 2);
  return bfloat ? to_float(bfloat16{bits}) : to_float(float16{bits});
}

/// All bytes of an operand, read by the first lane of the warp.
void read_operands(const Warpgroups::Product& product) {
  Machine& all = machine();
  all.proxies.start();  // the block has products that go another way than plain accesses
  const Toucher reader{all.clocks, all.block, position.warp * 32};
  const auto read = [&](std::uintptr_t offset) {
    if (offset + 16 > all.shared.bytes()) {
      fail_at(FaultKind::bounds, reinterpret_cast<std::uintptr_t>(all.shared.data()) + offset, "a product's operand");
    }
    if (!all.proxies.fenced(offset, 16)) {
      fail_at(FaultKind::unfenced, reinterpret_cast<std::uintptr_t>(all.shared.data()) + offset, "a product's operand");
    }
    if (const auto conflict = all.shared.shadow.touch(offset, 16, Use::read, reader)) {
      fail_at(conflict->kind, reinterpret_cast<std::uintptr_t>(all.shared.data()) + offset, "a product's operand");
    }
  };
  const Operand b(product.b_operand);
  if (product.turned) {
    const Operand a(product.a_operand);
    for (unsigned k = 0; k < 16; ++k) {
      for (unsigned row = 0; row < 64; row += 8) read(a.across(row, k));
      for (unsigned column = 0; column < product.columns * 8; column += 8) read(b.across(column, k));
    }
  } else if (product.a[0] == nullptr) {
    const Operand a(product.a_operand);
    for (unsigned row = 0; row < 64; ++row) {
      for (unsigned k = 0; k < 16; k += 8) read(a.inside(row, k));
    }
    for (unsigned row = 0; row < product.columns * 8; ++row) {
      for (unsigned k = 0; k < 16; k += 8) read(b.inside(row, k));
    }
  } else {
    for (unsigned k = 0; k < 16; ++k) {
      for (unsigned column = 0; column < product.columns * 8; column += 8) read(b.across(column, k));
    }
  }
}

/// Calls op(register, sum) for all sums of a warp: registers as lanes hold them, sums as rows [16, columns * 8].
template <typename Op>
void for_each_sum(const Warpgroups::Product& product, float* sums, Op op) {
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned half = 0; half < 2; ++half) {
      float* row = sums + (lane / 4 + half * 8) * product.columns * 8 + lane % 4 * 2;
      float* own = product.d[lane] + half * 2;
      for (unsigned column = 0; column < product.columns; ++column, row += 8, own += 4) {
        op(own[0], row[0]);
        op(own[1], row[1]);
      }
    }
  }
}

/// sums [16, width] += left [16, 16] right [16, width]; each sum's terms are rounded and added in the order of k.
__attribute__((target_clones("avx2", "default"))) void add_product(float* sums, const float (&left)[16][16],
                                                                   const float* right, std::size_t width) {
  for (std::size_t row = 0; row < 16; ++row) {
    float* const own = sums + row * width;
    for (std::size_t k = 0; k < 16; ++k) {
      const float factor = left[row][k];
      const float* const terms = right + k * width;
      for (std::size_t n = 0; n < width; ++n) own[n] += factor * terms[n];
    }
  }
}

}  // namespace

void Warpgroups::issue(Product product) {
  Warp& warp = warps_[position.warp];
  auto& issued = issued_[position.warp / 4];
  const Issue own{product.a[0] == nullptr, product.a_operand, product.b_operand, product.columns, product.add};
  if (warp.issued == issued.size()) issued.push_back(own);
  if (issued[warp.issued++] != own) fail(FaultKind::divergence, "another product than the warpgroup's other warps");
  read_operands(product);
  Sums& sums = warp.sums[product.d[0]];
  if (sums.products++ == 0) {
    sums.values.resize(16 * product.columns * 8);
    for_each_sum(product, sums.values.data(), [](float& own, float& sum) {
      sum = own;
      own = std::numeric_limits<float>::quiet_NaN();
    });
  }
  warp.open.push_back(product);
}

void Warpgroups::commit() {
  Warp& warp = warps_[position.warp];
  warp.groups.push_back(std::move(warp.open));
  warp.open.clear();
}

void Warpgroups::finish(Warp& warp, const Product& product) {
  Machine& all = machine();
  read_operands(product);
  ++all.report->products;
  const unsigned columns = product.columns;
  const unsigned char* shared = all.shared.data();
  float rows[16][16];
  const Operand b(product.b_operand);
  if (product.a[0] == nullptr) {
    const Operand a(product.a_operand);
    for (unsigned row = 0; row < 16; ++row) {
      for (unsigned k = 0; k < 16; ++k) {
        const unsigned of_group = position.warp % 4 * 16 + row;
        const std::uintptr_t at = product.turned ? a.across(of_group, k) : a.inside(of_group, k);
        rows[row][k] = element(shared + at, product.bfloat);
      }
    }
  } else {
    for (unsigned lane = 0; lane < 32; ++lane) {
      for (unsigned i = 0; i < 8; ++i) {  // registers: rows g and g + 8 of columns 2 t, then of 2 t + 8
        unsigned char halves[4];
        std::memcpy(halves, &product.a[lane][i / 2], 4);
        rows[lane / 4 + i / 2 % 2 * 8][lane % 4 * 2 + i % 2 + i / 4 * 8] = element(halves + i % 2 * 2, product.bfloat);
      }
    }
  }
  const unsigned width = columns * 8;
  const bool inside = product.a[0] == nullptr && !product.turned;
  std::vector<float> right(16 * width);  // [k, column]
  for (unsigned k = 0; k < 16; ++k) {
    for (unsigned n = 0; n < width; ++n) {
      const std::uintptr_t at = inside ? b.inside(n, k) : b.across(n, k);
      right[k * width + n] = element(shared + at, product.bfloat);
    }
  }
  Sums& sums = warp.sums[product.d[0]];
  if (!product.add) std::fill(sums.values.begin(), sums.values.end(), 0.0f);
  add_product(sums.values.data(), rows, right.data(), width);
  if (--sums.products > 0) return;
  for_each_sum(product, sums.values.data(), [](float& own, const float& sum) { own = sum; });
  warp.sums.erase(product.d[0]);
}

void Warpgroups::wait(unsigned pending) {
  Warp& warp = warps_[position.warp];
  while (warp.groups.size() > pending) {
    for (const Product& product : warp.groups.front()) finish(warp, product);
    warp.groups.erase(warp.groups.begin());
  }
}

void Warpgroups::check_finished() const {
  const Warp& warp = warps_[position.warp];
  if (!warp.groups.empty() || !warp.open.empty()) fail(FaultKind::copy_unfinished, "products of a warpgroup");
}

void multiply_warpgroup(float* d, unsigned columns, const std::uint32_t* a, std::uint64_t a_operand,
                        std::uint64_t b_operand, bool add, bool bfloat, bool turned) {
  const InShim in_shim;
  Warpgroups::Product own{{d}, {a}, a_operand, b_operand, columns, add, bfloat, turned};
  Machine& all = machine();
  all.warps.together("a warpgroup's product", ~0u, &own, __builtin_return_address(0), [&](void* const* lanes) {
    Warpgroups::Product product = own;
    for (unsigned lane = 0; lane < 32; ++lane) {
      const auto& of = *static_cast<Warpgroups::Product*>(lanes[lane]);
      product.d[lane] = of.d[0];
      product.a[lane] = of.a[0];
      if (of.a_operand != a_operand || of.b_operand != b_operand || of.add != add) {
        fail(FaultKind::divergence, "operands that differ between the lanes of a warp");
      }
    }
    all.warpgroups.issue(product);
  });
}

void warpgroup_commit() {
  const InShim in_shim;
  Machine& all = machine();
  int none = 0;
  all.warps.together("a commit", ~0u, &none, __builtin_return_address(0),
                     [&](void* const*) { all.warpgroups.commit(); });
}

void warpgroup_wait(unsigned pending) {
  const InShim in_shim;
  Machine& all = machine();
  int none = 0;
  all.warps.together("a wait for products", ~0u, &none, __builtin_return_address(0),
                     [&](void* const*) { all.warpgroups.wait(pending); });
}

std::uint64_t shared_address(const void* pointer) {
  const InShim in_shim;
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (!machine().shared.holds(address)) fail_at(FaultKind::bounds, address, "an operand outside shared memory");
  return machine().shared.offset(address);
}

}  // namespace powerhouse::cuda_on_host
