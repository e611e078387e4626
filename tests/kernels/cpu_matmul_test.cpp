// matmul: operands turned every way, few and many rows, terms, passes and blocks against the plain loop.
#include "kernels/reference/matmul.h"

#include "kernels/cpu_kernels.h"

namespace powerhouse::testing {
namespace {

std::vector<const cpu::CpuKernels*> matmul_tables() {
  std::vector<const cpu::CpuKernels*> tables = available_tables();
  std::erase_if(tables, [](const cpu::CpuKernels* table) { return table->matmul == nullptr; });
  return tables;
}

using MatmulTest = CpuKernelTest;
INSTANTIATE_TEST_SUITE_P(, MatmulTest, ::testing::ValuesIn(matmul_tables()), table_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(MatmulTest);

std::vector<const cpu::CpuKernels*> tables_of_integers() {
  std::vector<const cpu::CpuKernels*> tables = matmul_tables();
  std::erase_if(tables, [](const auto* table) { return table->matmul_form != cpu::MatmulForm::integers; });
  return tables;
}

using MatmulIntegersTest = CpuKernelTest;
INSTANTIATE_TEST_SUITE_P(, MatmulIntegersTest, ::testing::ValuesIn(tables_of_integers()), table_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(MatmulIntegersTest);

// `count` rows of `depth`, a few elements between neighbours that lie apart.
struct Side {
  Side(std::int64_t count, std::int64_t depth, bool k_apart, std::mt19937& engine)
      : buffer(Buffer::random(Element::bf16, k_apart ? depth * (count + 3) : count * (depth + 3), engine)),
        side(k_apart ? cpu::MatmulSide{buffer.data(), 1, count + 3} : cpu::MatmulSide{buffer.data(), depth + 3, 1}) {}
  Buffer buffer;
  cpu::MatmulSide side;
};

std::int64_t items_of(const cpu::MatmulParams& params) {
  return (params.rows + params.row_block - 1) / params.row_block *
         ((params.columns + params.column_block - 1) / params.column_block);
}

void run(const cpu::CpuKernels& kernels, const cpu::MatmulParams& params) {
  std::vector<float> scratch(static_cast<std::size_t>(cpu::kMatmulScratchFloats) + 16, NAN);
  auto* first = scratch.data();
  while (reinterpret_cast<std::uintptr_t>(first) % 64 != 0) ++first;
  cpu::MatmulRoom room{.scratch = first};
  for (std::int64_t item = 0; item < items_of(params); ++item) kernels.matmul(params, item, room);
}

struct ProductShape {
  std::int64_t rows, columns;
  std::vector<std::int64_t> depths;
};

std::ostream& operator<<(std::ostream& out, const ProductShape& shape) {
  out << shape.rows << " x " << shape.columns << " of";
  for (const std::int64_t depth : shape.depths) out << " " << depth;
  return out;
}

TEST_P(MatmulTest, EqualsThePlainLoop) {
  const std::vector<ProductShape> shapes = {
      {1, 1, {1}},      {8, 48, {64}}, {16, 96, {31}}, {40, 70, {33, 5}}, {100, 130, {576, 16, 8}},
      {48, 200, {300}}, {33, 17, {2}}, {9, 50, {4500}}};
  int turn = 0;
  for (const ProductShape& shape : shapes) {
    for (int kinds = 0; kinds < 16; ++kinds, ++turn) {
      std::vector<Side> sides;
      sides.reserve(2 * shape.depths.size());
      std::vector<cpu::MatmulTerm> terms;
      std::int64_t total = 0;
      for (const std::int64_t depth : shape.depths) {
        sides.emplace_back(shape.rows, depth, kinds % 2 == 1, engine_);
        sides.emplace_back(shape.columns, depth, kinds / 2 % 2 == 1, engine_);
        terms.push_back({sides[sides.size() - 2].side, sides.back().side, depth});
        total += depth;
      }
      const Element type = kinds / 4 % 2 == 1 || total > cpu::kMatmulDepth ? Element::f32 : Element::bf16;
      const Buffer bias = Buffer::random(Element::f32, shape.columns, engine_);
      cpu::MatmulParams params{.terms = terms.data(),
                               .term_count = static_cast<int>(terms.size()),
                               .y_type = type,
                               .bias = turn % 3 == 0 ? static_cast<const float*>(bias.data()) : nullptr,
                               .rows = shape.rows,
                               .columns = shape.columns,
                               .y_stride = shape.columns + 5,
                               .row_block = turn % 2 == 0 ? 64 : 16,
                               .column_block = turn % 5 == 0 ? 48 : 96,
                               .scale = turn % 4 == 0 ? 1.0f : 0.75f,
                               .add = kinds / 8 % 2 == 1};
      Buffer found = Buffer::random(type, shape.rows * params.y_stride, engine_);
      Buffer expected = found;
      params.y = found.data();
      run(kernels(), params);
      params.y = expected.data();
      const bool in_integers = kernels().matmul_form == cpu::MatmulForm::integers;
      for (std::int64_t item = 0; item < items_of(params); ++item) reference::matmul(params, item, in_integers);
      expect_close(found, expected, spacing(type), 1e-6 * static_cast<double>(total) + 1e-6,
                   ::testing::Message() << shape << ", kinds " << kinds);
      if (HasFailure()) return;
    }
  }
}

// Elements of very different sizes, whole blocks of zeros and a row of one large element: what integers lose is at most
// half a unit of each element's neighbours.
TEST_P(MatmulIntegersTest, LoseAtMostHalfAUnit) {
  constexpr std::int64_t kRows = 24, kColumns = 50, kDepth = 200;
  Side a(kRows, kDepth, false, engine_), b(kColumns, kDepth, true, engine_);
  std::uniform_int_distribution<int> power(-20, 4);
  for (Side* side : {&a, &b}) {
    for (std::int64_t i = 0; i < side->buffer.size(); ++i) {
      side->buffer.set(i, std::ldexp(side->buffer.at(i), power(engine_)));
    }
  }
  for (std::int64_t k = 0; k < kDepth + 3; ++k) {
    if (k >= 32 && k < 96) a.buffer.set(5 * (kDepth + 3) + k, 0.0f);
    a.buffer.set(7 * (kDepth + 3) + k, k == 77 ? -3e4f : 1e-3f);
  }
  const cpu::MatmulTerm term{a.side, b.side, kDepth};
  cpu::MatmulParams params{.terms = &term,
                           .term_count = 1,
                           .y_type = Element::f32,
                           .rows = kRows,
                           .columns = kColumns,
                           .y_stride = kColumns,
                           .row_block = 32,
                           .column_block = 96};
  Buffer found(Element::f32, kRows * kColumns), exact = found;
  params.y = found.data();
  run(kernels(), params);
  params.y = exact.data();
  reference::matmul(params, 0);
  for (std::int64_t m = 0; m < kRows; ++m) {
    for (std::int64_t n = 0; n < kColumns; ++n) {
      double bound = 0, size = 0;
      for (std::int64_t k = 0; k < kDepth; ++k) {
        const double x = std::abs(reference::matmul_element(a.side, m, k));
        const double w = std::abs(reference::matmul_element(b.side, n, k));
        const double half_x = reference::matmul_unit(a.side, m, k, kDepth) / 2;
        const double half_w = reference::matmul_unit(b.side, n, k, kDepth) / 2;
        bound += x * half_w + w * half_x + half_x * half_w;
        size += x * w;
      }
      const std::int64_t at = m * kColumns + n;
      EXPECT_LE(std::abs(double{found.at(at)} - double{exact.at(at)}), bound + 1e-6 * size) << m << " " << n;
    }
  }
}

TEST_P(MatmulTest, BlocksDoNotChangeBits) {
  const Side a(150, 600, true, engine_), b(130, 600, false, engine_);
  const cpu::MatmulTerm term{a.side, b.side, 600};
  const auto in_blocks = [&](std::int64_t rows, std::int64_t columns) {
    Buffer y(Element::f32, 150 * 130);
    run(kernels(), {.terms = &term,
                    .term_count = 1,
                    .y_type = Element::f32,
                    .y = y.data(),
                    .rows = 150,
                    .columns = 130,
                    .y_stride = 130,
                    .row_block = rows,
                    .column_block = columns});
    return y;
  };
  const Buffer whole = in_blocks(160, 144);
  EXPECT_EQ(in_blocks(16, 144), whole);
  EXPECT_EQ(in_blocks(64, 48), whole);
  EXPECT_EQ(in_blocks(160, 96), whole);
}

TEST_P(MatmulTest, KeepsNothingOfWhatIsNotANumberToItself) {
  Side a(16, 32, false, engine_);
  const Side b(48, 32, true, engine_);
  a.buffer.set(3 * 35 + 7, NAN);
  const cpu::MatmulTerm term{a.side, b.side, 32};
  Buffer y(Element::bf16, 16 * 48);
  run(kernels(), {.terms = &term,
                  .term_count = 1,
                  .y = y.data(),
                  .rows = 16,
                  .columns = 48,
                  .y_stride = 48,
                  .row_block = 16,
                  .column_block = 48});
  for (std::int64_t m = 0; m < 16; ++m) {
    for (std::int64_t n = 0; n < 48; ++n) EXPECT_EQ(std::isnan(y.at(m * 48 + n)), m == 3) << m << " " << n;
  }
}

}  // namespace
}  // namespace powerhouse::testing
