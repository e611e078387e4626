#include "ops/dequantize.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "ops/device_kernels.h"
#include "ops/repacked_weight.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

// Where a value is changed after its conversion, rows go through float32 in tiles that stay in the first-level cache.
constexpr std::int64_t kTileElements = 4096;

// One row of the file, or a part of one, without the offset that the file adds.
void take_offset(const StoredWeight& stored, const std::byte* source, std::int64_t columns, Element type,
                 std::byte* out, std::vector<float>& buffer) {
  const BlockFormat format = stored.format();
  const BlockInfo info = block_info(format);
  const std::int64_t tile = std::max<std::int64_t>(kTileElements / info.block_elements, 1) * info.block_elements;
  buffer.resize(static_cast<std::size_t>(std::min(tile, columns)));
  for (std::int64_t at = 0; at < columns; at += tile) {
    const std::int64_t count = std::min(tile, columns - at);
    cpu::kernels().dequantize({.format = format,
                               .source = source + at / info.block_elements * info.block_bytes,
                               .destination = buffer.data()},
                              0, count / info.block_elements);
    for (float& value : buffer) value -= stored.offset;
    cpu::kernels().convert(
        {.destination_type = type, .source = buffer.data(), .destination = out + at * element_bytes(type)}, 0, count);
  }
}

// Blocks that are made of something else, and columns in an order of theirs: some rows at a time.
void dequantize_made(const StoredWeight& stored, std::int64_t first, std::int64_t count, Element type, std::byte* out) {
  const std::int64_t columns = stored.columns();
  const std::int64_t row_bytes = stored.row_bytes();
  const std::int64_t size = element_bytes(type);
  const BlockInfo info = block_info(stored.format());
  const auto dequantize = cpu::kernels().dequantize;
  constexpr std::int64_t kRows = RowSource::kRows;
  parallel_for((count + kRows - 1) / kRows, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::byte> blocks(static_cast<std::size_t>(kRows * row_bytes));
    std::vector<std::byte> values(static_cast<std::size_t>(columns * size));
    for (std::int64_t at = begin * kRows; at < std::min(end * kRows, count); at += kRows) {
      const std::int64_t rows = std::min(kRows, count - at);
      std::int64_t wanted[kRows] = {};
      for (std::int64_t i = 0; i < rows; ++i) wanted[i] = first + at + i;
      stored.read_rows({wanted, static_cast<std::size_t>(rows)}, blocks.data());
      for (std::int64_t i = 0; i < rows; ++i) {
        std::byte* const to = out + (at + i) * columns * size;
        const std::int32_t* const order = stored.order_of(wanted[i]);
        std::byte* const ordered = order != nullptr ? values.data() : to;
        dequantize(
            {.format = stored.format(), .type = type, .source = blocks.data() + i * row_bytes, .destination = ordered},
            0, columns / info.block_elements);
        if (order != nullptr) put_in_order(ordered, order, columns, type, to);
      }
    }
  });
}

// Matrices [..., in, out] of plain numbers, as rows of outputs.
at::Tensor transposed(const StoredWeight& stored, at::ScalarType type) {
  StoredWeight as_it_lies = stored;
  auto& shape = as_it_lies.shape;
  std::swap(shape[shape.size() - 2], shape.back());
  at::Tensor copy = empty_tensor(shape, type);
  dequantize_rows(as_it_lies, 0, as_it_lies.rows(), to_element(type), static_cast<std::byte*>(copy.mutable_data_ptr()));
  return copy.transpose(-2, -1).contiguous();
}

}  // namespace

void put_in_order(const void* values, const std::int32_t* order, std::int64_t count, Element type, void* out) noexcept {
  const auto put = [&](const auto* from) {
    using T = std::remove_cv_t<std::remove_reference_t<decltype(*from)>>;
    auto* const to = static_cast<T*>(out);
    for (std::int64_t i = 0; i < count; ++i) to[order[i]] = from[i];
  };
  if (type == Element::f32) return put(static_cast<const float*>(values));
  put(static_cast<const std::uint16_t*>(values));
}

void dequantize_rows(const StoredWeight& stored, std::int64_t first, std::int64_t count, Element type, std::byte* out) {
  const std::int64_t columns = stored.columns();
  if (columns == 0 || count == 0) return;
  const BlockFormat format = stored.format();
  const std::int64_t blocks = columns / block_info(format).block_elements;
  const auto dequantize = cpu::kernels().dequantize;
  if (stored.rows_are_made()) return dequantize_made(stored, first, count, type, out);
  parallel_for(count, std::max<std::int64_t>(1, kTileElements / columns), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> buffer;
    for (std::int64_t row = begin; row < end; ++row) {
      const std::byte* const source = stored.row(first + row);
      std::byte* const to = out + row * columns * element_bytes(type);
      if (stored.offset != 0.0f) {
        take_offset(stored, source, columns, type, to, buffer);
      } else {
        dequantize({.format = format, .type = type, .source = source, .destination = to}, 0, blocks);
      }
    }
  });
}

bool can_dequantize_on(const at::Device& device, BlockFormat format) {
  const cpu::DequantizeParams nothing{.format = format};
  return ops::DeviceKernels(device).launch(&cuda::KernelTable::dequantize, nothing, std::int64_t{0});
}

at::Tensor dequantized_blocks(const at::Tensor& rows, const StoredWeight& stored, at::ScalarType type) {
  constexpr std::uintptr_t kAlignment = 32;  // of what the kernel reads
  if (stored.offset != 0.0f && type != at::kFloat) return dequantized_blocks(rows, stored, at::kFloat).to(type);
  const bool aligned = reinterpret_cast<std::uintptr_t>(rows.const_data_ptr()) % kAlignment == 0;
  const at::Tensor source = aligned && rows.is_contiguous() ? rows : rows.clone(at::MemoryFormat::Contiguous);
  at::Tensor out = empty_tensor({rows.size(0), stored.columns()}, type, rows.device());
  const cpu::DequantizeParams params{.format = stored.format(),
                                     .type = to_element(type),
                                     .source = source.const_data_ptr(),
                                     .destination = out.mutable_data_ptr()};
  const std::int64_t blocks = out.numel() / block_info(stored.format()).block_elements;
  const ops::DeviceKernels device(rows.device());
  device.must_launch("dequantize", &cuda::KernelTable::dequantize, params, blocks);
  return stored.offset != 0.0f ? out.sub_(stored.offset) : out;
}

at::Tensor dequantized(const Weight& weight, at::ScalarType type) {
  const StoredWeight* const stored = weight.stored();
  if (stored == nullptr || (weight.dense_bytes() != 0 && weight.tensor().scalar_type() == type)) {
    return weight.matrix().detach().to(type);
  }
  if (weight.repacked() != nullptr) return repacked_numbers(weight, type);
  if (weight.device_blocks().defined()) {
    return dequantized_blocks(weight.device_blocks(), *stored, type).view(stored->shape);
  }
  if (stored->transposed) return transposed(*stored, type);
  at::Tensor rows = empty_tensor(stored->shape, type);
  dequantize_rows(*stored, 0, stored->rows(), to_element(type), static_cast<std::byte*>(rows.mutable_data_ptr()));
  return rows;
}

at::Tensor dequantized_rows(const Weight& weight, std::int64_t first, std::int64_t count, at::ScalarType type) {
  const StoredWeight* const stored = weight.stored();
  if (stored == nullptr || stored->transposed || stored->shape.size() < 2 || stored->is_by_element()) {
    const at::Tensor whole = stored == nullptr ? weight.matrix().detach() : dequantized(weight, type);
    return whole.reshape({-1, whole.size(-1)}).narrow(0, first, count).to(type);
  }
  const std::int64_t columns = stored->columns();
  const std::int64_t rows = columns == 0 ? 0 : stored->rows();
  if (first < 0 || count < 0 || first + count > rows) {
    throw Error(ErrorKind::range, "these rows are not the weight's",
                {.field = weight.name(),
                 .expected = std::to_string(rows) + " rows",
                 .found = std::to_string(first) + " .. " + std::to_string(first + count)});
  }
  if (weight.repacked() != nullptr) return repacked_numbers(weight, type).narrow(0, first, count);
  if (weight.device_blocks().defined()) {
    return dequantized_blocks(weight.device_blocks().narrow(0, first, count), *stored, type);
  }
  at::Tensor out = empty_tensor({count, columns}, type);
  dequantize_rows(*stored, first, count, to_element(type), static_cast<std::byte*>(out.mutable_data_ptr()));
  return out;
}

}  // namespace powerhouse
