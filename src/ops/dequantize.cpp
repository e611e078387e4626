#include "ops/dequantize.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

// Where a value is changed after its conversion, rows go through float32 in tiles that stay in the first-level cache.
constexpr std::int64_t kTileElements = 4096;

std::int64_t elements_of(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

// One row of the file, or a part of one, without the offset that the file adds.
void take_offset(const StoredWeight& stored, const std::byte* source, std::int64_t columns, Element type,
                 std::byte* out, std::vector<float>& buffer) {
  const BlockFormat format = stored.views.front().format;
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

// Matrices [..., in, out] of plain numbers, as rows of outputs.
at::Tensor transposed(const StoredWeight& stored, at::ScalarType type) {
  StoredWeight as_it_lies = stored;
  auto& shape = as_it_lies.shape;
  std::swap(shape[shape.size() - 2], shape.back());
  at::Tensor copy = empty_tensor(shape, type);
  dequantize_rows(as_it_lies, 0, copy.numel() / std::max<std::int64_t>(1, shape.back()), to_element(type),
                  static_cast<std::byte*>(copy.mutable_data_ptr()));
  return copy.transpose(-2, -1).contiguous();
}

}  // namespace

void dequantize_rows(const StoredWeight& stored, std::int64_t first, std::int64_t count, Element type, std::byte* out) {
  // A reordered vector (a bias) is a matrix of one column: its elements are the rows.
  const bool column = stored.shape.empty() || is_by_element(stored);
  const std::int64_t columns = column ? 1 : stored.shape.back();
  if (columns == 0 || count == 0) return;
  const BlockFormat format = stored.views.front().format;
  const BlockInfo info = block_info(format);
  const std::int64_t blocks = columns / info.block_elements;
  const std::int64_t row_bytes = blocks * info.block_bytes;
  const auto dequantize = cpu::kernels().dequantize;
  parallel_for(count, std::max<std::int64_t>(1, kTileElements / columns), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> buffer;
    for (std::int64_t row = begin; row < end; ++row) {
      const StoredRow place = stored.place ? stored.place(first + row) : StoredRow{0, first + row};
      const std::byte* source = stored.views[static_cast<std::size_t>(place.tensor)].data + place.row * row_bytes;
      std::byte* const to = out + row * columns * element_bytes(type);
      if (stored.offset != 0.0f) {
        take_offset(stored, source, columns, type, to, buffer);
      } else {
        dequantize({.format = format, .type = type, .source = source, .destination = to}, 0, blocks);
      }
    }
  });
}

at::Tensor dequantized(const Weight& weight, at::ScalarType type) {
  const StoredWeight* const stored = weight.stored();
  if (stored == nullptr || (weight.dense_bytes() != 0 && weight.tensor().scalar_type() == type)) {
    return weight.matrix().detach().to(type);
  }
  if (stored->transposed) return transposed(*stored, type);
  at::Tensor rows = empty_tensor(stored->shape, type);
  const bool column = stored->shape.empty() || is_by_element(*stored);
  const std::int64_t columns = column ? 1 : stored->shape.back();
  dequantize_rows(*stored, 0, rows.numel() / std::max<std::int64_t>(1, columns), to_element(type),
                  static_cast<std::byte*>(rows.mutable_data_ptr()));
  return rows;
}

at::Tensor dequantized_rows(const Weight& weight, std::int64_t first, std::int64_t count, at::ScalarType type) {
  const StoredWeight* const stored = weight.stored();
  if (stored == nullptr || stored->transposed || stored->shape.size() < 2 || is_by_element(*stored)) {
    const at::Tensor whole = stored == nullptr ? weight.matrix().detach() : dequantized(weight, type);
    return whole.reshape({-1, whole.size(-1)}).narrow(0, first, count).to(type);
  }
  const std::int64_t columns = stored->shape.back();
  const std::int64_t rows = columns == 0 ? 0 : elements_of(stored->shape) / columns;
  if (first < 0 || count < 0 || first + count > rows) {
    throw Error(ErrorKind::range, "these rows are not the weight's",
                {.field = weight.name(),
                 .expected = std::to_string(rows) + " rows",
                 .found = std::to_string(first) + " .. " + std::to_string(first + count)});
  }
  at::Tensor out = empty_tensor({count, columns}, type);
  dequantize_rows(*stored, first, count, to_element(type), static_cast<std::byte*>(out.mutable_data_ptr()));
  return out;
}

}  // namespace powerhouse
