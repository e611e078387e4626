// Weights of blocks in a kernel's memory: every format that the CUDA kernels know, with scales that are plain numbers.
#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "cuda_on_host/memory.h"
#include "kernels/random_blocks.h"

namespace powerhouse::testing {

inline constexpr BlockFormat kFormats[] = {
    BlockFormat::q4_0,    BlockFormat::q4_1,     BlockFormat::q5_0,    BlockFormat::q5_1,   BlockFormat::q8_0,
    BlockFormat::q2_k,    BlockFormat::q3_k,     BlockFormat::q4_k,    BlockFormat::q5_k,   BlockFormat::q6_k,
    BlockFormat::iq1_s,   BlockFormat::iq1_m,    BlockFormat::iq2_xxs, BlockFormat::iq2_xs, BlockFormat::iq2_s,
    BlockFormat::iq3_xxs, BlockFormat::iq3_s,    BlockFormat::iq4_nl,  BlockFormat::iq4_xs, BlockFormat::tq1_0,
    BlockFormat::tq2_0,   BlockFormat::mxfp4,    BlockFormat::nf4,     BlockFormat::fp4,    BlockFormat::nf4_32,
    BlockFormat::fp4_32,  BlockFormat::int8_rows};

/// Any bytes as codes; scales that are plain numbers.
inline std::vector<std::uint8_t> plain_blocks(BlockFormat format, std::int64_t blocks, std::mt19937& engine) {
  const BlockInfo info = block_info(format);
  std::vector<std::uint8_t> bytes = random_blocks(format, blocks * info.block_elements, engine);
  for (std::size_t block = 0; block < bytes.size(); block += static_cast<std::size_t>(info.block_bytes)) {
    std::uint8_t* const at = bytes.data() + block;
    const auto half = rounded<float16>(0.01f + static_cast<float>(engine() % 100) * 1e-4f);
    const float number = 0.01f + static_cast<float>(engine() % 100) * 1e-4f;
    switch (format) {
      case BlockFormat::tq1_0: std::memcpy(at + 52, &half, 2); break;
      case BlockFormat::tq2_0: std::memcpy(at + 64, &half, 2); break;
      case BlockFormat::iq1_m:  // the scale's upper four bits
        at[55] = static_cast<std::uint8_t>((at[55] & 0x0F) | 0x20);
        break;
      case BlockFormat::mxfp4: at[0] = static_cast<std::uint8_t>(118 + engine() % 8); break;
      case BlockFormat::nf4:
      case BlockFormat::fp4:
      case BlockFormat::nf4_32:
      case BlockFormat::fp4_32:
      case BlockFormat::int8_rows: std::memcpy(at, &number, 4); break;
      default: break;
    }
  }
  return bytes;
}

/// Blocks in a kernel's memory, behind them as much as fills `unit` bytes, which may be read where it is filled.
class DeviceBlocks {
 public:
  DeviceBlocks(cuda_on_host::GlobalMemory& memory, const std::vector<std::uint8_t>& bytes, bool filled,
               std::size_t unit = 16)
      : bytes_((bytes.size() + unit - 1) / unit * unit) {
    std::memset(bytes_.data(), 0xFF, bytes_.bytes());
    if (!bytes.empty()) std::memcpy(bytes_.data(), bytes.data(), bytes.size());
    memory.add(bytes_.data(), filled ? bytes_.bytes() : bytes.size(), "blocks", cuda_on_host::Contents::input);
  }
  const std::uint8_t* data() const { return bytes_.data(); }

 private:
  cuda_on_host::DeviceArray<std::uint8_t> bytes_;
};

}  // namespace powerhouse::testing
