#include "ops/repacked_weight.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/common/float16.h"
#include "kernels/cuda/product_plan.h"
#include "ops/device_kernels.h"
#include "ops/device_product.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

// A matrix as GPTQ has it, in the order of the blocks' columns, with codes of 4 or 8 bits and zeros as they are.
struct Packed {
  std::int64_t outputs, inputs, unit;
  int bits;
  std::vector<std::uint32_t> codes;   // [inputs * bits / 32, outputs]
  std::vector<std::int32_t> zeros;    // [groups, outputs]
  std::vector<std::uint16_t> scales;  // float16 [groups, outputs]

  std::int64_t groups() const { return inputs / unit; }
};

// Codes of 32 columns: formats/affine_rows.cpp, the other way.
void unpack_part(int bits, const std::uint8_t* bytes, std::uint8_t* codes) {
  for (int i = 0; i < 32; ++i) {
    if (bits == 8) {
      codes[i] = bytes[i] ^ 0x80;
      continue;
    }
    codes[i] = static_cast<std::uint8_t>(i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4);
    if (bits == 6)
      codes[i] = static_cast<std::uint8_t>(codes[i] | (bytes[16 + i / 16 * 4 + i % 4] >> i % 16 / 4 * 2 & 3) << 4);
  }
}

Packed pack(const StoredWeight& stored) {
  const BlockFormat format = stored.format();
  const int bits = affine_bits(format);
  const std::int64_t unit = block_info(format).block_elements, bytes = block_info(format).block_bytes;
  Packed out{.outputs = stored.rows(), .inputs = stored.columns(), .unit = unit, .bits = bits == 4 ? 4 : 8};
  out.codes.resize(static_cast<std::size_t>(out.inputs * out.bits / 32 * out.outputs));
  out.zeros.resize(static_cast<std::size_t>(out.groups() * out.outputs));
  out.scales.resize(out.zeros.size());
  constexpr std::int64_t kRows = RowSource::kRows;
  const std::int64_t row_bytes = stored.row_bytes();
  parallel_for((out.outputs + kRows - 1) / kRows, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::byte> blocks(static_cast<std::size_t>(kRows * row_bytes));
    for (std::int64_t first = begin * kRows; first < std::min(end * kRows, out.outputs); first += kRows) {
      const std::int64_t rows = std::min(kRows, out.outputs - first);
      std::int64_t wanted[kRows] = {};
      for (std::int64_t r = 0; r < rows; ++r) wanted[r] = first + r;
      stored.read_rows({wanted, static_cast<std::size_t>(rows)}, blocks.data());
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t group = 0; group < out.groups(); ++group) {
          const auto* const block =
              reinterpret_cast<const std::uint8_t*>(blocks.data() + r * row_bytes + group * bytes);
          const auto level = static_cast<std::size_t>(group * out.outputs + first + r);
          float16 zero;
          std::memcpy(&out.scales[level], block, 2);
          std::memcpy(&zero.bits, block + 2, 2);
          const auto whole = static_cast<std::int32_t>(to_float(zero));  // HQQ's zeros are none, nor any code
          out.zeros[level] = static_cast<float>(whole) == to_float(zero) ? whole + (bits == 8 ? 128 : 0) : -1;
          for (std::int64_t part = 0; part < unit / 32; ++part) {
            std::uint8_t codes[32];
            unpack_part(bits, block + 4 + part * 4 * bits, codes);
            const std::int64_t of_word = 32 / out.bits, word = (group * unit + part * 32) / of_word;
            for (std::int64_t i = 0; i < 32; ++i) {
              out.codes[static_cast<std::size_t>((word + i / of_word) * out.outputs + first + r)] |=
                  static_cast<std::uint32_t>(codes[i]) << i % of_word * out.bits;
            }
          }
        }
      }
    }
  });
  return out;
}

template <typename T>
at::Tensor there(const std::vector<T>& values, const at::Device& device) {
  at::Tensor bytes = empty_tensor({static_cast<std::int64_t>(values.size() * sizeof(T))}, at::kByte);
  std::memcpy(bytes.mutable_data_ptr(), values.data(), values.size() * sizeof(T));
  return bytes.to(device);
}

cuda::RepackedWeight describe(const Weight& weight) {
  const RepackedBlocks& blocks = *weight.repacked();
  return {.codes = weight.device_blocks().const_data_ptr(),
          .levels = static_cast<const std::uint32_t*>(blocks.levels.const_data_ptr()),
          .order = blocks.order.defined() ? blocks.order.const_data_ptr<std::int32_t>() : nullptr,
          .inputs = weight.stored()->columns(),
          .outputs = weight.stored()->rows(),
          .group = blocks.group,
          .bits = blocks.bits};
}

}  // namespace

bool repacks(const at::Device& device, const StoredWeight& stored, at::ScalarType type) {
  if (device.is_cpu() || (type != at::kBFloat16 && type != at::kHalf)) return false;
  if (!is_affine(stored.format()) || stored.shape.size() != 2 || stored.transposed || stored.offset != 0.0f)
    return false;
  if (!stored.column_order() || stored.rows() % (affine_bits(stored.format()) == 4 ? 8 : 4) != 0) return false;
  return ops::DeviceKernels(device).has(&cuda::KernelTable::repacked_product);
}

std::optional<RepackedMatrix> repacked(const StoredWeight& stored, const at::Device& device) {
  const Packed packed = pack(stored);
  const auto [least, most] = std::minmax_element(packed.zeros.begin(), packed.zeros.end());
  const std::int32_t codes = 1 << packed.bits;
  const std::int32_t offset = *least >= 0 && *most < codes ? 0 : 1;  // as GPTQ stores them, where there is a last one
  if (*least < offset || *most - offset >= codes) return std::nullopt;
  const std::int64_t of_word = 32 / packed.bits, row = packed.outputs / of_word;
  std::vector<std::uint32_t> zeros(static_cast<std::size_t>(packed.groups() * row));
  for (std::size_t i = 0; i < packed.zeros.size(); ++i) {
    const auto group = static_cast<std::int64_t>(i) / packed.outputs,
               output = static_cast<std::int64_t>(i) % packed.outputs;
    zeros[static_cast<std::size_t>(group * row + output / of_word)] |=
        static_cast<std::uint32_t>(packed.zeros[i] - offset) << output % of_word * packed.bits;
  }
  RepackedMatrix out{.blocks = {.group = packed.unit, .bits = packed.bits}};
  out.codes = empty_tensor({cuda::repacked_code_bytes(packed.outputs, packed.inputs, packed.bits)}, at::kByte, device);
  out.blocks.levels =
      empty_tensor({cuda::repacked_level_bytes(packed.outputs, packed.inputs, packed.unit)}, at::kByte, device);
  if (const ColumnOrder order = *stored.column_order()) {
    const std::vector<std::int64_t> places(order->begin(), order->end());
    out.blocks.order = int_tensor(places, device);
  }
  const at::Tensor qweight = there(packed.codes, device), qzeros = there(zeros, device),
                   scales = there(packed.scales, device);
  const cuda::RepackParams params{.layout = cuda::PackedLayout::gptq,
                                  .qweight = static_cast<const std::int32_t*>(qweight.const_data_ptr()),
                                  .qzeros = static_cast<const std::int32_t*>(qzeros.const_data_ptr()),
                                  .scales = scales.const_data_ptr(),
                                  .inputs = packed.inputs,
                                  .outputs = packed.outputs,
                                  .group = packed.unit,
                                  .bits = packed.bits,
                                  .zero_offset = offset,
                                  .codes = out.codes.mutable_data_ptr(),
                                  .levels = static_cast<std::uint32_t*>(out.blocks.levels.mutable_data_ptr())};
  ops::DeviceKernels(device).must_launch("linear", &cuda::KernelTable::repack, params);
  return out;
}

at::Tensor repacked_numbers(const Weight& weight, at::ScalarType type) {
  const cuda::RepackedWeight matrix = describe(weight);
  at::Tensor out = empty_tensor({matrix.outputs, matrix.inputs}, type, weight.device());
  const cuda::RepackedDequantizeParams params{
      .weight = matrix, .type = to_element(type), .destination = out.mutable_data_ptr()};
  ops::DeviceKernels(weight.device()).must_launch("dequantize", &cuda::KernelTable::repacked_dequantize, params);
  return out;
}

at::Tensor repacked_product(const at::Tensor& x, const Weight& weight, const at::Tensor& bias) {
  const at::ScalarType type = x.scalar_type();
  const cuda::RepackedWeight matrix = describe(weight);
  if ((type != at::kBFloat16 && type != at::kHalf) || x.size(0) > cuda::most_product_rows(matrix)) return {};
  return ops::product_on_device(&cuda::KernelTable::repacked_product, cuda::RepackedProductParams{.weight = matrix}, x,
                                bias, weight.stored()->rows());
}

}  // namespace powerhouse
