#include "adapters/requantize.h"

#include <algorithm>
#include <array>

#include "kernels/reference/cache.h"
#include "kernels/reference/dequantize.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kBlock = 32;

// ggml's quantize_row_q4_1_ref: scale and minimum in float16, codes 0 to 15.
void store_q4_1(const float* x, std::uint8_t* block) {
  const auto [low, high] = std::minmax_element(x, x + kBlock);
  const float scale = (*high - *low) / 15.0f;
  const float turn = scale != 0.0f ? 1.0f / scale : 0.0f;
  write_element(block, Element::f16, 0, scale);
  write_element(block, Element::f16, 1, *low);
  for (int i = 0; i < 16; ++i) {
    const auto code = [&](float value) { return std::min(15, static_cast<int>((value - *low) * turn + 0.5f)); };
    block[4 + i] = static_cast<std::uint8_t>(code(x[i]) | code(x[i + 16]) << 4);
  }
}

}  // namespace

void check_requantizes(BlockFormat format) {
  if (format == BlockFormat::q8_0 || format == BlockFormat::q4_0 || format == BlockFormat::q4_1) return;
  throw Error(ErrorKind::unsupported, "there is no quantizer of this type",
              {.field = "onto", .expected = "q8_0, q4_0 or q4_1", .found = std::string(block_info(format).name)});
}

at::Tensor requantized(const at::Tensor& values, BlockFormat format) {
  check_requantizes(format);
  at::Tensor out = values.detach().to(at::kFloat).contiguous().clone();
  auto* const data = out.mutable_data_ptr<float>();
  std::array<std::uint8_t, 64> block{};
  for (std::int64_t at = 0; at < out.numel(); at += kBlock) {
    if (format == BlockFormat::q4_1) {
      store_q4_1(data + at, block.data());
    } else {
      reference::store_block(data + at, format, block.data());
    }
    dequantize_row(format, block.data(), data + at, kBlock);
  }
  return out;
}

}  // namespace powerhouse
