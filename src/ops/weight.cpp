#include "ops/weight.h"

#include <ATen/ops/from_blob.h>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/dequantize.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

// Rows are converted in tiles of about this many elements, small enough to stay in the first-level cache.
constexpr std::int64_t kTileElements = 4096;

at::Tensor tensor_in_place(const TensorView& view, at::ScalarType type) {
  auto file = view.file;
  void* data = const_cast<std::byte*>(view.data);  // the mapping is private and writable: see mapped_file.cpp
  return at::from_blob(
      data, view.shape, [file](void*) mutable { file.reset(); }, at::TensorOptions(type));
}

// The rows of `view`, in canonical order, as dense numbers of `type`.
void dequantize_rows(const TensorView& view, const RowMap& row_map, Element type, std::byte* out) {
  // A reordered vector (a bias) is a matrix of one column: its elements are the rows.
  const bool column = view.shape.empty() || (view.shape.size() == 1 && row_map);
  const std::int64_t columns = column ? 1 : view.shape.back();
  if (columns == 0) return;
  const std::int64_t rows = view.elements() / columns;
  const BlockInfo info = block_info(view.format);
  const std::int64_t row_bytes = columns / info.block_elements * info.block_bytes;
  const std::int64_t tile = std::max<std::int64_t>(kTileElements / info.block_elements, 1) * info.block_elements;
  const auto convert = cpu::kernels().convert;
  parallel_for(rows, std::max<std::int64_t>(1, kTileElements / columns), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> buffer(static_cast<std::size_t>(std::min(tile, columns)));
    for (std::int64_t row = begin; row < end; ++row) {
      const std::byte* source = view.data + (row_map ? row_map(row) : row) * row_bytes;
      for (std::int64_t at = 0; at < columns; at += tile) {
        const std::int64_t count = std::min(tile, columns - at);
        dequantize_row(view.format, source + at / info.block_elements * info.block_bytes, buffer.data(), count);
        convert({.destination_type = type,
                 .source = buffer.data(),
                 .destination = out + (row * columns + at) * element_bytes(type)},
                0, count);
      }
    }
  });
}

}  // namespace

Weight Weight::dense(std::string name, at::Tensor tensor) {
  Weight weight;
  weight.name_ = std::move(name);
  weight.dense_ = std::move(tensor);
  return weight;
}

Weight Weight::from_view(std::string name, TensorView view, RowMap row_map, at::ScalarType compute_type) {
  Weight weight;
  weight.name_ = std::move(name);
  const auto address = reinterpret_cast<std::uintptr_t>(view.data);
  if (!row_map && view.format == to_block_format(compute_type) && address % c10::elementSize(compute_type) == 0) {
    weight.dense_ = tensor_in_place(view, compute_type);
    weight.mapped_ = true;
    return weight;
  }
  if (!can_dequantize(view.format)) {
    throw Error(ErrorKind::unsupported, "weights of this type can't be read yet",
                {.file = view.file->path(), .field = view.name, .found = block_info(view.format).name});
  }
  if (row_map && view.shape.size() == 1 && block_info(view.format).block_elements > 1) {
    throw Error(ErrorKind::unsupported, "a quantized vector can't be reordered",
                {.file = view.file->path(), .field = view.name, .found = block_info(view.format).name});
  }
  weight.view_ = std::move(view);
  weight.row_map_ = std::move(row_map);
  return weight;
}

BlockFormat Weight::format() const { return view_ ? view_->format : to_block_format(dense_.scalar_type()); }

void Weight::prepare(at::ScalarType compute_type) {
  if (dense_.defined()) return;
  dense_ = empty_tensor(view_->shape, compute_type);
  dequantize_rows(*view_, row_map_, to_element(compute_type), static_cast<std::byte*>(dense_.mutable_data_ptr()));
  view_->file->release(view_->data, view_->bytes);
}

at::Tensor& Weight::materialize() {
  view_.reset();
  row_map_ = nullptr;
  return dense_;
}

at::Tensor& Weight::own() {
  if (mapped_) {
    dense_.set_data(dense_.detach().clone());  // in the same tensor: handles that were given out stay the model's own
    mapped_ = false;
    ++replaced_;
  }
  return materialize();
}

std::uint64_t Weight::version() const {
  const std::uint64_t writes = dense_.defined() && !dense_.is_inference() ? dense_._version() : 0;
  return replaced_ << 32 | writes;
}

}  // namespace powerhouse
