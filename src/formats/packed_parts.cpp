#include "formats/packed_parts.h"

#include "kernels/common/float16.h"
#include "kernels/reference/dequantize.h"
#include "support/shape_text.h"

namespace powerhouse {

const TensorView* PackedParts::find(std::string_view ending) const {
  const auto found = tensors_.find(module_ + "." + std::string(ending));
  return found == tensors_.end() ? nullptr : found->second;
}

const TensorView& PackedParts::require(std::string_view ending, BlockFormat format, std::size_t dimensions) const {
  const TensorView* const view = find(ending);
  if (view == nullptr) {
    throw Error(ErrorKind::format, "tensors are missing",
                {.file = file(), .field = module_ + "." + std::string(ending)});
  }
  if (view->format != format || view->shape.size() != dimensions) {
    refuse(*view, std::string(block_info(format).name) + " of " + std::to_string(dimensions) + " dimensions",
           std::string(block_info(view->format).name) + " " + shape_text(view->shape));
  }
  return *view;
}

void PackedParts::refuse(const TensorView& view, const std::string& expected, const std::string& found) const {
  throw Error(ErrorKind::format, "a broken tensor of packed weights",
              {.file = view.file->path(), .field = view.name, .expected = expected, .found = found});
}

void PackedParts::check_shape(const TensorView& view, const std::vector<std::int64_t>& shape) const {
  if (view.shape != shape) refuse(view, shape_text(shape), shape_text(view.shape));
}

const std::string& PackedParts::file() const {
  static const std::string kNone;
  return tensors_.empty() ? kNone : tensors_.begin()->second->file->path();
}

std::vector<std::int32_t> integers_of(const TensorView& view) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(view.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (view.format == BlockFormat::i64) {
      std::int64_t wide = 0;
      std::memcpy(&wide, view.data + 8 * i, sizeof wide);
      values[i] = static_cast<std::int32_t>(wide);
    } else {
      std::memcpy(&values[i], view.data + 4 * i, sizeof values[i]);
    }
  }
  return values;
}

TensorView as_float16(const TensorView& view) {
  if (view.format == BlockFormat::f16) return view;
  const auto count = static_cast<std::size_t>(view.elements());
  std::vector<float> wide(count);
  dequantize_row(view.format, view.data, wide.data(), view.elements());
  std::vector<std::byte> bytes(count * sizeof(float16));
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = rounded<float16>(wide[i]);
    if (to_float(value) != wide[i]) {
      throw Error(ErrorKind::unsupported, "a scale that float16 can't hold",
                  {.file = view.file->path(), .field = view.name, .found = std::to_string(wide[i])});
    }
    std::memcpy(bytes.data() + 2 * i, &value, sizeof value);
  }
  const auto memory = MappedFile::in_memory(view.file->path(), std::move(bytes));
  TensorView half = view;
  half.format = BlockFormat::f16;
  half.data = memory->bytes().data();
  half.bytes = memory->size();
  half.file = memory;
  return half;
}

}  // namespace powerhouse
