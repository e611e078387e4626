#include "cuda_on_host/matrix.h"

#include <array>
#include <cstring>
#include <vector>

#include "cuda_on_host/machine.h"

namespace powerhouse::cuda_on_host {
namespace {

struct MatrixOperands {
  std::uint32_t* registers;
  unsigned char* row;
};

/// The row of a matrix and the column that hold element `half` of a lane's register.
struct Place {
  unsigned row, column;
};
Place matrix_place(unsigned lane, unsigned half, bool transposed) {
  const unsigned outer = lane / 4;
  const unsigned inner = lane % 4 * 2 + half;
  return transposed ? Place{inner, outer} : Place{outer, inner};
}

/// All lanes' rows as one request of 16 bytes each.
void note_rows(void* const* lanes, unsigned count, const char* kind, const void* site) {
  Traffic& traffic = machine().traffic;
  if (!traffic.noting()) return;
  Request request;
  request.size = 16;
  request.mask = count == 4 ? ~0u : (1u << count * 8) - 1;
  for (unsigned lane = 0; lane < count * 8; ++lane) {
    request.address[lane] = reinterpret_cast<std::uintptr_t>(static_cast<MatrixOperands*>(lanes[lane])->row);
  }
  traffic.note(site, kind, true, request);
}

/// Rows that a lane gives have to be whole, aligned and in shared memory.
void check_row(const void* row, unsigned count, Use use) {
  if (position.lane >= count * 8) return;
  Machine& all = machine();
  const auto address = reinterpret_cast<std::uintptr_t>(row);
  if (address % 16 != 0) fail_at(FaultKind::misaligned, address, "a row of ldmatrix or stmatrix");
  if (!all.shared.holds(address)) fail_at(FaultKind::bounds, address, "ldmatrix or stmatrix outside shared memory");
  check_access(address, 16, use, nullptr, nullptr, nullptr);  // as traffic it is noted for all lanes at once
}

template <typename Element>
const std::vector<float>& float_table() {
  static const std::vector<float> table = [] {
    std::vector<float> values(1 << 16);
    for (unsigned bits = 0; bits < values.size(); ++bits) {
      values[bits] = to_float(Element{static_cast<std::uint16_t>(bits)});
    }
    return values;
  }();
  return table;
}

template <typename Sum>
struct ProductOperands {
  Sum* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
};

/// The product for all lanes. K elements of a column lie in registers of `kPack` elements; `unpack(word, i)` is the
/// i-th.
template <typename Sum, typename Value, unsigned kK, unsigned kPack, typename Unpack>
void multiply(Sum* d, const std::uint32_t* a, const std::uint32_t* b, const void* site, Unpack unpack) {
  ProductOperands<Sum> own{d, a, b};
  Machine& all = machine();
  all.warps.together("a matrix product", ~0u, &own, site, [&](void* const* lanes) {
    ++all.report->products;
    Value rows[16][kK];
    Value columns[kK][8];
    Sum sums[16][8];
    constexpr unsigned kParts = kK / (4 * kPack);  // registers along k
    for (unsigned lane = 0; lane < 32; ++lane) {
      const auto& of = *static_cast<ProductOperands<Sum>*>(lanes[lane]);
      const unsigned group = lane / 4;
      const unsigned inner = lane % 4;
      for (unsigned part = 0; part < kParts; ++part) {
        for (unsigned i = 0; i < kPack; ++i) {
          const unsigned k = part * 4 * kPack + inner * kPack + i;
          rows[group][k] = unpack(of.a[part * 2], i);
          rows[group + 8][k] = unpack(of.a[part * 2 + 1], i);
          columns[k][group] = unpack(of.b[part], i);
        }
      }
      for (unsigned i = 0; i < 2; ++i) {
        sums[group][inner * 2 + i] = of.d[i];
        sums[group + 8][inner * 2 + i] = of.d[2 + i];
      }
    }
    for (unsigned m = 0; m < 16; ++m) {
      for (unsigned k = 0; k < kK; ++k) {
        for (unsigned n = 0; n < 8; ++n) sums[m][n] += static_cast<Sum>(rows[m][k] * columns[k][n]);
      }
    }
    for (unsigned lane = 0; lane < 32; ++lane) {
      Sum* to = static_cast<ProductOperands<Sum>*>(lanes[lane])->d;
      for (unsigned i = 0; i < 2; ++i) {
        to[i] = sums[lane / 4][lane % 4 * 2 + i];
        to[2 + i] = sums[lane / 4 + 8][lane % 4 * 2 + i];
      }
    }
  });
}

}  // namespace

void load_matrix(std::uint32_t* registers, const void* row, unsigned count, bool transposed) {
  const InShim in_shim;
  MatrixOperands own{registers, static_cast<unsigned char*>(const_cast<void*>(row))};
  check_row(row, count, Use::read);
  const void* site = __builtin_return_address(0);
  machine().warps.together("ldmatrix", ~0u, &own, site, [&](void* const* lanes) {
    ++machine().report->matrix_loads;
    note_rows(lanes, count, "ldmatrix", site);
    for (unsigned lane = 0; lane < 32; ++lane) {
      for (unsigned matrix = 0; matrix < count; ++matrix) {
        std::uint16_t halves[2];
        for (unsigned half = 0; half < 2; ++half) {
          const Place at = matrix_place(lane, half, transposed);
          const auto* from = static_cast<MatrixOperands*>(lanes[matrix * 8 + at.row])->row;
          std::memcpy(&halves[half], from + at.column * 2, 2);
        }
        std::memcpy(&static_cast<MatrixOperands*>(lanes[lane])->registers[matrix], halves, 4);
      }
    }
  });
}

void store_matrix(const std::uint32_t* registers, void* row, unsigned count, bool transposed) {
  const InShim in_shim;
  MatrixOperands own{const_cast<std::uint32_t*>(registers), static_cast<unsigned char*>(row)};
  check_row(row, count, Use::write);
  const void* site = __builtin_return_address(0);
  machine().warps.together("stmatrix", ~0u, &own, site, [&](void* const* lanes) {
    ++machine().report->matrix_stores;
    note_rows(lanes, count, "stmatrix", site);
    for (unsigned lane = 0; lane < 32; ++lane) {
      for (unsigned matrix = 0; matrix < count; ++matrix) {
        std::uint16_t halves[2];
        std::memcpy(halves, &static_cast<MatrixOperands*>(lanes[lane])->registers[matrix], 4);
        for (unsigned half = 0; half < 2; ++half) {
          const Place at = matrix_place(lane, half, transposed);
          auto* to = static_cast<MatrixOperands*>(lanes[matrix * 8 + at.row])->row;
          std::memcpy(to + at.column * 2, &halves[half], 2);
        }
      }
    }
  });
}

std::uint32_t transpose_matrix(std::uint32_t rows) {
  const InShim in_shim;
  std::uint32_t own[2] = {rows, 0};
  machine().warps.together("movmatrix", ~0u, own, __builtin_return_address(0), [](void* const* lanes) {
    std::uint16_t matrix[8][8];
    for (unsigned lane = 0; lane < 32; ++lane) std::memcpy(&matrix[lane / 4][lane % 4 * 2], lanes[lane], 4);
    for (unsigned lane = 0; lane < 32; ++lane) {
      const std::uint16_t halves[2] = {matrix[lane % 4 * 2][lane / 4], matrix[lane % 4 * 2 + 1][lane / 4]};
      std::memcpy(static_cast<std::uint32_t*>(lanes[lane]) + 1, halves, 4);
    }
  });
  return own[1];
}

void multiply_16816(float* d, const std::uint32_t* a, const std::uint32_t* b, bfloat16) {
  const InShim in_shim;
  multiply<float, float, 16, 2>(d, a, b, __builtin_return_address(0), [](std::uint32_t word, unsigned i) {
    return bits_float(i == 0 ? word << 16 : word & 0xFFFF0000u);
  });
}

void multiply_16816(float* d, const std::uint32_t* a, const std::uint32_t* b, float16) {
  const InShim in_shim;
  const float* table = float_table<float16>().data();
  multiply<float, float, 16, 2>(d, a, b, __builtin_return_address(0),
                                [table](std::uint32_t word, unsigned i) { return table[word >> 16 * i & 0xFFFF]; });
}

void multiply_16816(float* d, const std::uint32_t* a, const std::uint32_t* b, NamedFloat) {
  const InShim in_shim;
  multiply<float, float, 16, 2>(d, a, b, __builtin_return_address(0), [](std::uint32_t word, unsigned i) {
    return to_float(NamedFloat{static_cast<std::uint16_t>(word >> 16 * i)});
  });
}

void multiply_16832(std::int32_t* d, const std::uint32_t* a, const std::uint32_t* b) {
  const InShim in_shim;
  multiply<std::int32_t, std::int32_t, 32, 4>(d, a, b, __builtin_return_address(0), [](std::uint32_t word, unsigned i) {
    return static_cast<std::int32_t>(static_cast<std::int8_t>(word >> 8 * i));
  });
}

/// tf32 is float32 of which the products see 10 bits of mantissa.
void multiply_1688(float* d, const std::uint32_t* a, const std::uint32_t* b) {
  const InShim in_shim;
  multiply<float, float, 8, 1>(d, a, b, __builtin_return_address(0),
                               [](std::uint32_t word, unsigned) { return bits_float(word & 0xFFFFE000u); });
}

}  // namespace powerhouse::cuda_on_host
