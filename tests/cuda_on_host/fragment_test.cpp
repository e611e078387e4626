// Which element of a matrix lies where, against the layouts of the PTX ISA ("Matrix Fragments for mma.m16n8k16 ..." and
// "ldmatrix"), written down as strides: lanes count (lane % 4, lane / 4), elements of a lane count bit by bit of (first
// in register, ..., register). The element's place is the sum of digits times strides; (1, 100) is one row, one column.
#include <array>
#include <vector>

#include "cuda_on_host/expect_launch.h"

namespace powerhouse::cuda_on_host {
namespace {

constexpr int kRow = 1, kColumn = 100;

struct Layout {
  int inner, outer;           // strides of lane % 4 and lane / 4
  std::vector<int> elements;  // of the bits of an element's number in its lane

  int row(int lane, int element) const { return place(lane, element) % 100; }
  int column(int lane, int element) const { return place(lane, element) / 100; }

 private:
  int place(int lane, int element) const {
    int at = lane % 4 * inner + lane / 4 * outer;
    for (std::size_t bit = 0; bit < elements.size(); ++bit) at += (element >> bit & 1) * elements[bit];
    return at;
  }
};

// a is [m, k], b is [k, n], c is [m, n].
struct ProductLayouts {
  int k;
  Layout a, b;
};
const Layout kSums{2 * kColumn, kRow, {kColumn, 8 * kRow}};
const ProductLayouts k16{
    16, {2 * kColumn, kRow, {kColumn, 8 * kRow, 8 * kColumn}}, {2 * kRow, kColumn, {kRow, 8 * kRow}}};
const ProductLayouts k32{32,
                         {4 * kColumn, kRow, {kColumn, 2 * kColumn, 8 * kRow, 16 * kColumn}},
                         {4 * kRow, kColumn, {kRow, 2 * kRow, 16 * kRow}}};
const ProductLayouts k8{8, {kColumn, kRow, {8 * kRow, 4 * kColumn}}, {kRow, kColumn, {4 * kRow}}};

/// Small integers, exact in every type, whose products tell rows and columns apart.
int a_at(int m, int k) { return (m * 5 + k * 3) % 13 - 6; }
int b_at(int k, int n) { return (k * 7 + n * 4) % 11 - 5; }
int c_at(int m, int n) { return m * 8 + n; }

std::uint32_t bits_of(float value, bfloat16) { return rounded<bfloat16>(value).bits; }
std::uint32_t bits_of(float value, float16) { return rounded<float16>(value).bits; }
std::uint32_t bits_of(float value, std::int8_t) { return static_cast<std::uint8_t>(static_cast<std::int8_t>(value)); }
std::uint32_t bits_of(float value, float) { return float_bits(value); }

template <typename Type, std::size_t kRegisters>
void fill(std::uint32_t (&registers)[kRegisters], const Layout& layout, int lane, int (*value)(int, int)) {
  constexpr int kPack = 4 / static_cast<int>(sizeof(Type));
  for (auto& word : registers) word = 0;
  for (int element = 0; element < static_cast<int>(kRegisters) * kPack; ++element) {
    const auto at = static_cast<float>(value(layout.row(lane, element), layout.column(lane, element)));
    registers[element / kPack] |= bits_of(at, Type{}) << element % kPack * (32 / kPack);
  }
}

class FragmentTest : public LaunchTest {
 protected:
  /// multiply(d, a, b0, b1) in a kernel, with operands laid out by the tables.
  template <typename Type, typename Sum, typename Multiply>
  void check_product(const ProductLayouts& layouts, Multiply multiply) {
    std::vector<std::array<Sum, 4>> results(32);
    GlobalMemory memory;
    memory.add(results.data(), 32 * sizeof results[0], "results", Contents::output);
    std::uint32_t a[32][4] = {}, b[32][2] = {};
    Sum sums[32][4];
    for (int lane = 0; lane < 32; ++lane) {
      fill<Type>(a[lane], layouts.a, lane, a_at);
      fill<Type>(b[lane], layouts.b, lane, b_at);
      for (int i = 0; i < 4; ++i) sums[lane][i] = static_cast<Sum>(c_at(kSums.row(lane, i), kSums.column(lane, i)));
    }
    const LaunchReport report = launch({1}, {32}, 0, memory, {}, [&] {
      const unsigned lane = threadIdx.x;
      Sum d[4];
      for (int i = 0; i < 4; ++i) d[i] = sums[lane][i];
      multiply(d, a[lane], b[lane][0], b[lane][1]);
      for (int i = 0; i < 4; ++i) results[lane][i] = d[i];
    });
    ASSERT_FALSE(report.fault) << report.text();
    EXPECT_EQ(report.products, 1);
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) {
        const int m = kSums.row(lane, i), n = kSums.column(lane, i);
        int expected = c_at(m, n);
        for (int k = 0; k < layouts.k; ++k) expected += a_at(m, k) * b_at(k, n);
        EXPECT_EQ(results[lane][i], static_cast<Sum>(expected)) << "row " << m << " column " << n;
      }
    }
  }
};

TEST_F(FragmentTest, ProductOfBfloat16) {
  check_product<bfloat16, float>(k16, [](auto& d, const auto& a, std::uint32_t b0, std::uint32_t b1) {
    cuda::multiply_16816(d, a, b0, b1, bfloat16{});
  });
}

TEST_F(FragmentTest, ProductOfFloat16) {
  check_product<float16, float>(k16, [](auto& d, const auto& a, std::uint32_t b0, std::uint32_t b1) {
    cuda::multiply_16816(d, a, b0, b1, float16{});
  });
}

TEST_F(FragmentTest, ProductOfInt8) {
  check_product<std::int8_t, std::int32_t>(
      k32, [](auto& d, const auto& a, std::uint32_t b0, std::uint32_t b1) { cuda::multiply_16832_int8(d, a, b0, b1); });
}

TEST_F(FragmentTest, ProductOfTf32) {
  check_product<float, float>(
      k8, [](auto& d, const auto& a, std::uint32_t b0, std::uint32_t b1) { cuda::multiply_1688_tf32(d, a, b0, b1); });
}

TEST_F(FragmentTest, Tf32ReadsTenBitsOfMantissa) {
  std::vector<std::array<float, 4>> results(32);
  GlobalMemory memory;
  memory.add(results.data(), 32 * sizeof results[0], "results", Contents::output);
  const LaunchReport report = launch({1}, {32}, 0, memory, {}, [&] {
    const std::uint32_t x = float_bits(1.0f + 0x1p-10f + 0x1p-11f);
    const std::uint32_t a[4] = {x, x, x, x};
    float d[4] = {};
    cuda::multiply_1688_tf32(d, a, float_bits(1.0f), float_bits(1.0f));
    for (int i = 0; i < 4; ++i) results[threadIdx.x][i] = d[i];
  });
  ASSERT_FALSE(report.fault) << report.text();
  EXPECT_EQ(results[0][0], 8 * (1.0f + 0x1p-10f));
}

// ldmatrix, movmatrix and stmatrix: an 8 x 8 matrix by its rows in memory.
const Layout kMatrix{2 * kColumn, kRow, {kColumn}};
const Layout kTransposed{2 * kRow, kColumn, {kRow}};

class MatrixTest : public LaunchTest {
 protected:
  /// Four matrices one after another, the element at (row, column) of matrix m being 64 m + 8 row + column.
  static std::uint32_t expected(const Layout& layout, int lane, int matrix) {
    std::uint32_t word = 0;
    for (int half = 0; half < 2; ++half) {
      word |= static_cast<std::uint32_t>(matrix * 64 + layout.row(lane, half) * 8 + layout.column(lane, half))
              << half * 16;
    }
    return word;
  }
};

TEST_F(MatrixTest, Loads) {
  std::uint32_t found[2][32][4] = {};
  GlobalMemory memory;
  memory.add(found, sizeof found, "found", Contents::output);
  const LaunchReport report = launch({1}, {32}, 512, memory, {.traffic_block = 0}, [&] {
    auto* elements = reinterpret_cast<std::uint16_t*>(shared());
    for (unsigned i = thread(); i < 256; i += 32) elements[i] = static_cast<std::uint16_t>(i);
    cuda::sync_warp();
    std::uint32_t r[4];
    cuda::load_matrix_x4(r, elements + thread() * 8);
    for (int i = 0; i < 4; ++i) found[0][thread()][i] = r[i];
    cuda::load_matrix_x4_transposed(r, elements + thread() * 8);
    for (int i = 0; i < 4; ++i) found[1][thread()][i] = r[i];
  });
  ASSERT_FALSE(report.fault) << report.text();
  EXPECT_EQ(report.matrix_loads, 2);
  for (int lane = 0; lane < 32; ++lane) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      EXPECT_EQ(found[0][lane][matrix], expected(kMatrix, lane, matrix));
      EXPECT_EQ(found[1][lane][matrix], expected(kTransposed, lane, matrix));
    }
  }
  std::int64_t cycles = 0;
  for (const InstructionTraffic& row : report.traffic)
    cycles += row.kind == std::string("ldmatrix") ? row.cost.paid : 0;
  EXPECT_EQ(cycles, 8);  // two loads of four phases, rows side by side
}

TEST_F(MatrixTest, TransposesInRegisters) {
  std::uint32_t found[32] = {}, rows[32];
  for (int lane = 0; lane < 32; ++lane) rows[lane] = expected(kMatrix, lane, 0);
  GlobalMemory memory;
  memory.add(found, sizeof found, "found", Contents::output);
  const LaunchReport report = launch({1}, {32}, 0, memory, {}, [&] {
    const std::uint32_t own = rows[thread()];
    found[thread()] = cuda::transpose_matrix(own);
  });
  ASSERT_FALSE(report.fault) << report.text();
  for (int lane = 0; lane < 32; ++lane) EXPECT_EQ(found[lane], expected(kTransposed, lane, 0));
}

TEST_F(MatrixTest, Stores) {
  std::uint16_t found[256] = {};
  std::uint32_t fragments[32][4];
  for (int lane = 0; lane < 32; ++lane) {
    for (int matrix = 0; matrix < 4; ++matrix) fragments[lane][matrix] = expected(kMatrix, lane, matrix);
  }
  GlobalMemory memory;
  memory.add(found, sizeof found, "found", Contents::output);
  const LaunchReport report = launch({1}, {32}, 512, memory, {}, [&] {
    auto* elements = reinterpret_cast<std::uint16_t*>(shared());
    std::uint32_t r[4];
    for (int matrix = 0; matrix < 4; ++matrix) r[matrix] = fragments[thread()][matrix];
    cuda::store_matrix_x4(r, elements + thread() * 8);
    cuda::sync_warp();
    for (unsigned i = thread(); i < 256; i += 32) found[i] = elements[i];
  });
  ASSERT_FALSE(report.fault) << report.text();
  EXPECT_EQ(report.matrix_stores, 1);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(found[i], i);
}

TEST_F(MatrixTest, StoreIsAWriteOfWhoGaveTheRow) {
  expect_fault({FaultKind::write_read_race, FaultKind::uninitialized}, "at shared+", {}, [&] {
    const std::uint32_t r[4] = {};
    cuda::store_matrix_x4(r, shared() + thread() * 4);
    output[thread()] = shared()[(thread() + 8) % 32 * 4];
  });
}

}  // namespace
}  // namespace powerhouse::cuda_on_host
