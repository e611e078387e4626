// Encoders of every instruction set against the plain loops: the same bytes, however rows are split.
#include <algorithm>
#include <cmath>

#include "kernels/cpu_kernels.h"
#include "kernels/reference/encode.h"

namespace powerhouse::testing {
namespace {

class EncodeTest : public CpuKernelTest {
 protected:
  /// Rows of several kinds: of one size, with outliers, with zeros and constants, vanishing, and so large that sums of
  /// squares overflow.
  std::vector<float> rows(std::int64_t count, std::int64_t columns) {
    std::normal_distribution<float> normal;
    std::vector<float> out(static_cast<std::size_t>(count * columns));
    for (std::int64_t row = 0; row < count; ++row) {
      static constexpr float kSizes[] = {0.02f, 1.0f, 1e-9f, 1e-30f, 1e-41f, 3e4f, 1e18f, 3e37f};
      const float size = kSizes[static_cast<std::size_t>(row) % std::size(kSizes)];
      float group = 1.0f;
      for (std::int64_t i = 0; i < columns; ++i) {
        if (i % 16 == 0) group = engine_() % 6 == 0 ? 0.0f : std::exp(normal(engine_));
        float value = normal(engine_) * size * group;
        if (engine_() % 97 == 0) value *= 20.0f;
        if (row % 3 == 1 && i / 32 % 5 == 2) value = size;
        if (row % 5 == 2) value = std::abs(value);
        out[static_cast<std::size_t>(row * columns + i)] = std::clamp(value, -3e38f, 3e38f);
      }
    }
    return out;
  }

  std::vector<float> importance(std::int64_t columns) {
    std::normal_distribution<float> normal;
    std::vector<float> out(static_cast<std::size_t>(columns));
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = engine_() % 9 == 0 || i / 32 % 7 == 3 ? 0.0f : std::exp(2 * normal(engine_));
    }
    return out;
  }
};
POWERHOUSE_EVERY_INSTRUCTION_SET(EncodeTest);

TEST_P(EncodeTest, HasTheBytesOfThePlainLoop) {
  constexpr std::int64_t kRows = 9;
  for (int number = 0; number < kBlockFormatCount; ++number) {
    const auto format = static_cast<BlockFormat>(number);
    if (!can_encode(format)) continue;
    const BlockInfo info = block_info(format);
    for (const std::int64_t columns : {256, 768, 1280}) {
      const std::vector<float> x = rows(kRows, columns);
      const std::vector<float> weights = importance(columns);
      const std::int64_t row_bytes = columns / info.block_elements * info.block_bytes;
      for (const bool weighted : {false, true}) {
        if (!weighted && needs_importance(format)) continue;
        const float* const use = weighted ? weights.data() : nullptr;
        std::vector<std::uint8_t> expected(static_cast<std::size_t>(kRows * row_bytes), 0x5A);
        std::vector<std::uint8_t> found(expected.size(), 0x5A);
        bool made[kRows];
        bool failed[kRows];
        for (std::int64_t row = 0; row < kRows; ++row) {
          failed[row] = true;
          made[row] = encode_row(format, x.data() + row * columns, use, columns, expected.data() + row * row_bytes);
        }
        const cpu::EncodeParams params{.format = format,
                                       .rows = x.data(),
                                       .columns = columns,
                                       .importance = use,
                                       .blocks = found.data(),
                                       .failed = failed};
        kernels().encode(params, 0, 1);
        kernels().encode(params, 1, 6);
        kernels().encode(params, 6, kRows);
        for (std::int64_t row = 0; row < kRows; ++row) {
          SCOPED_TRACE(std::string(info.name) + (weighted ? ", weighted" : "") + ", row " + std::to_string(row));
          ASSERT_EQ(made[row], !failed[row]);
          for (std::int64_t i = row * row_bytes; made[row] && i < (row + 1) * row_bytes; ++i) {
            ASSERT_EQ(found[static_cast<std::size_t>(i)], expected[static_cast<std::size_t>(i)])
                << "columns " << columns << ", block " << i % row_bytes / info.block_bytes << ", byte "
                << i % row_bytes % info.block_bytes;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
