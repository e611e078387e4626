#include "ops/weight.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstring>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/dequantize.h"
#include "ops/dequantize.h"
#include "ops/device_kernels.h"
#include "ops/repacked_weight.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

at::Tensor tensor_in_place(const TensorView& view, at::ScalarType type) {
  auto file = view.file;
  void* data = const_cast<std::byte*>(view.data);  // the mapping is private and writable: see mapped_file.cpp
  return at::from_blob(
      data, view.shape, [file](void*) mutable { file.reset(); }, at::TensorOptions(type));
}

[[noreturn]] void unreadable(const TensorView& view, const char* why) {
  throw Error(ErrorKind::unsupported, why,
              {.file = view.file->path(), .field = view.name, .found = block_info(view.format).name});
}

/// Types that can be written and read back, but no model has been run with. NVFP4's files have a scale a tensor beside
/// the blocks, in a tensor of its own, which nothing reads.
bool runs(BlockFormat format) {
  return format != BlockFormat::nvfp4 && format != BlockFormat::q1_0 && format != BlockFormat::q2_0;
}

}  // namespace

std::int64_t StoredWeight::rows() const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count / std::max<std::int64_t>(1, columns());
}

std::int64_t StoredWeight::row_bytes() const {
  const BlockInfo info = block_info(format());
  return columns() / info.block_elements * info.block_bytes;
}

const std::byte* StoredWeight::row(std::int64_t row) const {
  const StoredRow at = place ? place(row) : StoredRow{0, row};
  return views[static_cast<std::size_t>(at.tensor)].data + at.row * row_bytes();
}

void StoredWeight::read_rows(std::span<const std::int64_t> rows, std::byte* blocks) const noexcept {
  const auto bytes = static_cast<std::size_t>(row_bytes());
  const auto at = [&](std::size_t i) { return place ? place(rows[i]) : StoredRow{0, rows[i]}; };
  for (std::size_t i = 0, end = 0; i < rows.size(); i = end) {
    const StoredRow first = at(i);
    const TensorView& view = views[static_cast<std::size_t>(first.tensor)];
    for (end = i + 1; end < rows.size(); ++end) {
      const StoredRow next = at(end);
      if (next.tensor != first.tensor || next.row != first.row + static_cast<std::int64_t>(end - i)) break;
    }
    if (view.rows) {
      view.rows->read(first.row, static_cast<std::int64_t>(end - i), blocks + i * bytes);
    } else {
      std::memcpy(blocks + i * bytes, view.data + static_cast<std::size_t>(first.row) * bytes, (end - i) * bytes);
    }
  }
}

const std::int32_t* StoredWeight::order_of(std::int64_t row) const {
  if (!rows_are_made()) return nullptr;
  const StoredRow at = place ? place(row) : StoredRow{0, row};
  const ColumnOrder& order = views[static_cast<std::size_t>(at.tensor)].rows->order();
  return order ? order->data() : nullptr;
}

std::optional<ColumnOrder> StoredWeight::column_order() const {
  const auto of = [](const TensorView& view) { return view.rows ? view.rows->order() : ColumnOrder(); };
  const ColumnOrder first = of(views.front());
  for (const TensorView& view : views) {
    if (!same_order(of(view), first)) return {};
  }
  return first;
}

Weight Weight::dense(std::string name, at::Tensor tensor, bool handed_out_transposed) {
  Weight weight;
  weight.name_ = std::move(name);
  weight.dense_ = std::move(tensor);
  weight.handed_out_transposed_ = handed_out_transposed;
  return weight;
}

Weight Weight::from_file(std::string name, StoredWeight stored, bool handed_out_transposed,
                         at::ScalarType compute_type) {
  Weight weight;
  weight.name_ = std::move(name);
  weight.handed_out_transposed_ = handed_out_transposed;
  const TensorView& view = stored.views.front();
  const auto address = reinterpret_cast<std::uintptr_t>(view.data);
  const bool as_it_lies = !stored.place && !stored.transposed && stored.offset == 0.0f;
  if (as_it_lies && view.format == to_block_format(compute_type) && address % c10::elementSize(compute_type) == 0) {
    weight.dense_ = tensor_in_place(view, compute_type).view(stored.shape);
    if (handed_out_transposed) weight.dense_ = weight.dense_.transpose(-2, -1);
    weight.mapped_ = true;
    weight.view_ = view;
    return weight;
  }
  if (!can_dequantize(view.format) || !runs(view.format)) {
    unreadable(view, "weights of this type can't be read yet");
  }
  if (stored.is_by_element() && block_info(view.format).block_elements > 1) {
    unreadable(view, "a quantized vector can't be reordered");
  }
  for (const TensorView& other : stored.views) {
    if (other.format != view.format) unreadable(other, "parts of one weight have different types");
    if ((other.rows != nullptr) != (view.rows != nullptr))
      unreadable(other, "parts of one weight are packed differently");
  }
  weight.stored_ = std::move(stored);
  weight.compute_type_ = compute_type;
  weight.making_ = std::make_shared<Making>();
  return weight;
}

BlockFormat Weight::format() const { return stored_ ? stored_->format() : to_block_format(dense_.scalar_type()); }

void Weight::make_dense() const {
  at::Tensor dense = dequantized(*this, compute_type_);
  making_->dense = handed_out_transposed_ ? dense.transpose(-2, -1) : dense;
  release_file();
  making_->done = true;
}

std::size_t Weight::dense_bytes() const {
  if (making_) return making_->done ? making_->dense.nbytes() : 0;
  return dense_.defined() ? dense_.nbytes() : 0;
}

void Weight::read_row(std::int64_t row, float* values) const {
  if (stored_ && stored_->rows_are_made()) {
    dequantize_rows(*stored_, row, 1, Element::f32, reinterpret_cast<std::byte*>(values));
    return;
  }
  if (stored_ && !stored_->transposed) {
    const std::int64_t columns = stored_->columns();
    const BlockFormat format = stored_->format();
    cpu::kernels().dequantize({.format = format, .source = stored_->row(row), .destination = values}, 0,
                              columns / block_info(format).block_elements);
    for (std::int64_t i = 0; stored_->offset != 0.0f && i < columns; ++i) values[i] -= stored_->offset;
    return;
  }
  const at::Tensor& whole = tensor();
  const Element type = to_element(whole.scalar_type());
  for (std::int64_t i = 0; i < whole.size(1); ++i) {
    values[i] = read_element(whole.const_data_ptr(), type, row * whole.stride(0) + i * whole.stride(1));
  }
}

at::Tensor Weight::rows(const at::Tensor& rows) const {
  if (repacked_) return repacked_numbers(*this, at::kFloat).index_select(0, rows.to(device()));
  if (blocks_.defined()) return dequantized_blocks(blocks_.index_select(0, rows.to(device())), *stored_, at::kFloat);
  if (!device().is_cpu()) return tensor().index_select(0, rows.to(device())).to(at::kFloat);
  const std::int64_t columns = stored_ && !stored_->transposed ? stored_->shape.back() : tensor().size(1);
  at::Tensor out = empty_tensor({rows.size(0), columns}, at::kFloat);
  for (std::int64_t i = 0; i < rows.size(0); ++i) {
    read_row(rows.const_data_ptr<std::int64_t>()[i], out.mutable_data_ptr<float>() + i * columns);
  }
  return out;
}

Weight::FileRows Weight::file_rows() const {
  FileRows rows;
  const auto plain = [](BlockFormat format) {
    return format == BlockFormat::f32 || format == BlockFormat::bf16 || format == BlockFormat::f16;
  };
  if (mapped_ && !handed_out_transposed_ && view_->shape.size() >= 2) {
    rows.format = view_->format;
    rows.columns = view_->shape.back();
    const std::int64_t row_bytes = rows.columns * block_info(rows.format).block_bytes;
    rows.row = [data = view_->data, row_bytes](std::int64_t row) { return data + row * row_bytes; };
  } else if (stored_ && !stored_->transposed && stored_->offset == 0.0f && !stored_->is_by_element() &&
             stored_->shape.size() >= 2 && plain(format())) {
    rows.format = format();
    rows.columns = stored_->columns();
    rows.row = [this](std::int64_t row) { return stored_->row(row); };
  }
  return rows;
}

at::Tensor Weight::stored_rows(std::int64_t count, const std::function<std::int64_t(std::int64_t)>& rows) const {
  const FileRows source = file_rows();
  if (!source.row) return {};
  const at::ScalarType type = to_scalar_type(source.format);
  const auto row_bytes = static_cast<std::size_t>(source.columns) * c10::elementSize(type);
  const std::byte* const begin = source.row(rows(0));
  std::int64_t run = 1;
  while (run < count && source.row(rows(run)) == begin + static_cast<std::size_t>(run) * row_bytes) ++run;
  const bool one_file = mapped_ || stored_->views.size() == 1;
  if (one_file && run == count && reinterpret_cast<std::uintptr_t>(begin) % c10::elementSize(type) == 0) {
    TensorView view = mapped_ ? *view_ : stored_->views.front();
    view.data = begin;
    view.shape = {count, source.columns};
    return tensor_in_place(view, type);
  }
  at::Tensor copy = empty_tensor({count, source.columns}, type);
  auto* const to = static_cast<std::byte*>(copy.mutable_data_ptr());
  parallel_for(count, 64, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t row = first; row < last; ++row) {
      std::memcpy(to + static_cast<std::size_t>(row) * row_bytes, source.row(rows(row)), row_bytes);
    }
  });
  return copy;
}

Weight Weight::expert(std::int64_t expert) const {
  if (!stored_ || stored_->transposed || stored_->shape.size() != 3) {
    return dense(name_, tensor().select(0, expert), handed_out_transposed_);
  }
  const std::int64_t first = expert * stored_->shape[1];
  Weight out;
  out.name_ = name_;
  out.stored_ = *stored_;
  out.stored_->shape.erase(out.stored_->shape.begin());
  out.stored_->place = [whole = stored_->place, first](std::int64_t row) {
    return whole ? whole(first + row) : StoredRow{0, first + row};
  };
  out.handed_out_transposed_ = handed_out_transposed_;
  out.compute_type_ = compute_type_;
  out.making_ = std::make_shared<Making>();
  if (blocks_.defined()) out.blocks_ = blocks_.narrow(0, first, stored_->shape[1]);
  return out;
}

void Weight::release_file() const {
  if (view_) view_->release();
  if (!stored_) return;
  for (const TensorView& view : stored_->views) view.release();
}

std::vector<float> Weight::floats() const {
  if (stored_ && !stored_->transposed) {
    std::vector<float> values(static_cast<std::size_t>(stored_->rows() * stored_->columns()));
    dequantize_rows(*stored_, 0, stored_->rows(), Element::f32, reinterpret_cast<std::byte*>(values.data()));
    return values;
  }
  const at::Tensor whole = tensor().detach().to(at::kCPU, at::kFloat).contiguous();
  const auto* data = whole.const_data_ptr<float>();
  return {data, data + whole.numel()};
}

at::Tensor& Weight::materialize() {
  if (making_) dense_ = tensor();
  stored_.reset();
  making_.reset();
  blocks_.reset();
  repacked_.reset();
  return dense_;
}

void Weight::move_to(const at::Device& where) {
  if (!defined() || device() == where) return;
  if (is_quantized(*this) && can_dequantize_on(where, format())) {
    const std::int64_t rows = stored_->rows(), bytes = stored_->row_bytes();
    const at::Tensor copy = empty_tensor({rows, bytes}, at::kByte);
    auto* const to = static_cast<std::byte*>(copy.mutable_data_ptr());
    parallel_for(rows, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, bytes)),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t row = begin; row < end; ++row) {
                     std::memcpy(to + row * bytes, stored_->row(row), static_cast<std::size_t>(bytes));
                   }
                 });
    blocks_ = copy.to(where);
    release_file();
    return;
  }
  if (is_quantized(*this) && repacks(where, *stored_, compute_type_)) {
    if (auto matrix = powerhouse::repacked(*stored_, where)) {
      blocks_ = std::move(matrix->codes);
      repacked_ = std::move(matrix->blocks);
      release_file();
      return;
    }
  }
  const at::Tensor& here = materialize();
  at::Tensor there = here.detach().to(where);
  there.set_requires_grad(here.requires_grad());
  release_file();
  dense_ = std::move(there);
  mapped_ = false;
  view_.reset();
  ++replaced_;
}

at::Tensor& Weight::own() {
  if (mapped_) {
    dense_.set_data(dense_.detach().clone());  // in the same tensor: handles that were given out stay the model's own
    mapped_ = false;
    release_file();  // its pages would count beside the copy
    view_.reset();
    ++replaced_;
  }
  return materialize();
}

std::uint64_t Weight::version() const {
  const std::uint64_t writes = dense_.defined() && !dense_.is_inference() ? dense_._version() : 0;
  return replaced_ << 32 | writes;
}

bool is_quantized(const Weight& weight) {
  const StoredWeight* const stored = weight.stored();
  if (stored == nullptr || stored->transposed || stored->shape.size() < 2 || weight.dense_bytes() > 0) return false;
  const BlockInfo info = block_info(weight.format());
  return info.block_bytes < 2 * info.block_elements;
}

}  // namespace powerhouse
