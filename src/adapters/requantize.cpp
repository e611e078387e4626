#include "adapters/requantize.h"

#include <array>

#include "kernels/reference/cache.h"
#include "kernels/reference/dequantize.h"
#include "kernels/reference/encode.h"
#include "powerhouse/error.h"

namespace powerhouse {

void check_requantizes(BlockFormat format) {
  if (format == BlockFormat::q8_0 || format == BlockFormat::q4_0 || format == BlockFormat::q4_1) return;
  throw Error(ErrorKind::unsupported, "there is no quantizer of this type",
              {.field = "onto", .expected = "q8_0, q4_0 or q4_1", .found = std::string(block_info(format).name)});
}

at::Tensor requantized(const at::Tensor& values, BlockFormat format) {
  constexpr std::int64_t kBlock = 32;
  check_requantizes(format);
  at::Tensor out = values.detach().to(at::kFloat).contiguous().clone();
  auto* const data = out.mutable_data_ptr<float>();
  std::array<std::uint8_t, 64> block{};
  for (std::int64_t at = 0; at < out.numel(); at += kBlock) {
    if (format == BlockFormat::q4_1) {
      encode_row(format, data + at, nullptr, kBlock, block.data());
    } else {
      reference::store_block(data + at, format, block.data());
    }
    dequantize_row(format, block.data(), data + at, kBlock);
  }
  return out;
}

}  // namespace powerhouse
