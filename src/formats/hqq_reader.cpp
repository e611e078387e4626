// HQQLinear's state (formats/hqq.h) as rows of blocks.
//
// Zeros become float16, which those of float16 and bfloat16 fit; of 8 bits they are kept less 128 there, which costs at
// most 1/32 of a step.
#include "formats/affine_rows.h"
#include "formats/hqq.h"
#include "formats/packed_methods.h"
#include "kernels/common/float16.h"

namespace powerhouse {
namespace {

class HqqRows final : public AffineRows {
 public:
  HqqRows(AffineShape shape, std::vector<TensorView> parts, HqqPacking packing, std::int64_t group, TensorView scales,
          std::vector<float> zeros)
      : AffineRows(std::move(shape), std::move(parts)),
        packing_(packing),
        group_(group),
        groups_(this->shape().inputs / group),
        step_((this->shape().outputs * groups_ + packing.part - 1) / packing.part),
        scales_(std::move(scales)),
        zeros_(std::move(zeros)) {}

 protected:
  void read_codes(std::int64_t first, std::int64_t rows, std::int64_t column,
                  std::uint8_t* codes) const noexcept override {
    const std::byte* const packed = parts()[0].data;
    const auto mask = static_cast<std::uint32_t>((1 << packing_.bits) - 1);
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t row = (first + r) * groups_ + column / group_;
      const std::int64_t at = row % step_ * group_ + column % group_;
      const auto shift = static_cast<int>((packing_.part - 1 - row / step_) * packing_.bits);
      for (std::int64_t i = 0; i < shape().unit; ++i) {
        const std::uint32_t element =
            packing_.bytes == 1 ? std::to_integer<std::uint32_t>(packed[at + i]) : word_at(packed, at + i);
        codes[i * kRows + r] = static_cast<std::uint8_t>(element >> shift & mask);
      }
    }
  }

  void read_levels(std::int64_t first, std::int64_t rows, std::int64_t group, std::uint16_t* scales,
                   float* zeros) const noexcept override {
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t at = (first + r) * groups_ + group;
      scales[r] = half_at(scales_.data, at);
      zeros[r] = zeros_[static_cast<std::size_t>(at)];
    }
  }

 private:
  HqqPacking packing_;
  std::int64_t group_, groups_, step_;
  TensorView scales_;
  std::vector<float> zeros_;
};

// A whole number in a tensor of its own.
std::int64_t number(const PackedParts& parts, const char* ending) {
  const TensorView* const view = parts.find(ending);
  if (view == nullptr) parts.require(ending, BlockFormat::i32, 0);
  if (view->elements() != 1 || (view->format != BlockFormat::i32 && view->format != BlockFormat::u8)) {
    parts.refuse(*view, "one whole number", block_info(view->format).name);
  }
  return view->format == BlockFormat::u8 ? std::to_integer<std::int64_t>(view->data[0]) : integers_of(*view)[0];
}

HqqPacking packing_of(const PackedParts& parts, std::int64_t bits) {
  const std::optional<HqqPacking> packing = hqq_packing(bits);
  if (!packing) parts.refuse(*parts.find("nbits"), "1 to 6, or 8", std::to_string(bits));
  return *packing;
}

std::vector<float> numbers_of(const PackedParts& parts, const char* ending, std::int64_t count) {
  const TensorView* const view = parts.find(ending);
  if (view == nullptr) parts.require(ending, BlockFormat::f16, 2);
  if (view->elements() != count) parts.refuse(*view, std::to_string(count), std::to_string(view->elements()));
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    switch (view->format) {
      case BlockFormat::f16: values[i] = to_float(float16{half_at(view->data, at)}); break;
      case BlockFormat::bf16: values[i] = to_float(bfloat16{half_at(view->data, at)}); break;
      case BlockFormat::f32: std::memcpy(&values[i], view->data + 4 * at, 4); break;
      default: parts.refuse(*view, "floats", block_info(view->format).name);
    }
  }
  return values;
}

[[noreturn]] void refuse(const PackedParts& parts, const std::string& what, const std::string& expected,
                         const std::string& found) {
  throw Error(ErrorKind::unsupported, "an HQQ module that is not read",
              {.file = parts.file(), .field = parts.module() + "." + what, .expected = expected, .found = found});
}

}  // namespace

// Each module says for itself what else it is.
void check_hqq(const Json& config, const std::string& file) {
  const Json* const settings = config.get("quant_config");
  if (settings == nullptr || !settings->is_object()) return;
  for (const char* key : {"scale_quant_params", "zero_quant_params"}) {
    const Json* const value = settings->get(key);
    if (value == nullptr || value->is_null()) continue;
    throw Error(ErrorKind::unsupported, "scales in codes of their own are not read",
                {.file = file, .field = std::string("quantization_config.quant_config.") + key, .expected = "null"});
  }
}

TensorView join_hqq(const PackedParts& parts, const Json&, std::vector<std::string>&) {
  const TensorView& packed = *parts.find("W_q");
  const TensorView& size_view = parts.require("shape", BlockFormat::i64, 1);
  if (size_view.elements() != 2) parts.refuse(size_view, "two whole numbers", std::to_string(size_view.elements()));
  const std::vector<std::int32_t> size = integers_of(size_view);
  const std::int64_t outputs = size[0];
  const std::int64_t inputs = size[1];
  const std::int64_t bits = number(parts, "nbits");
  const std::int64_t group = number(parts, "group_size");
  if (const std::int64_t axis = number(parts, "axis"); axis != 1) refuse(parts, "axis", "1", std::to_string(axis));
  for (const char* key : {"quant_scale", "quant_zero"}) {
    if (parts.find(key) != nullptr && number(parts, key) != 0) refuse(parts, key, "0", "scales in codes of their own");
  }
  if (parts.find("channel_wise") != nullptr && number(parts, "channel_wise") == 0) {
    refuse(parts, "channel_wise", "1", "one scale for the matrix");
  }
  if (outputs < 1 || inputs < 1 || group < 1)
    parts.refuse(size_view, "a matrix", std::to_string(outputs) + " x " + std::to_string(inputs));
  if (inputs % group != 0) {
    refuse(parts, "group_size", "a divisor of " + std::to_string(inputs) + " inputs", std::to_string(group));
  }
  const HqqPacking packing = packing_of(parts, bits);
  const std::int64_t rows = outputs * inputs / group;
  const std::int64_t elements = (rows + packing.part - 1) / packing.part * group;
  if (static_cast<std::int64_t>(packed.bytes) != elements * packing.bytes) {
    parts.refuse(packed, std::to_string(elements * packing.bytes) + " bytes", std::to_string(packed.bytes));
  }
  std::vector<float> zeros = numbers_of(parts, "zero", rows);
  numbers_of(parts, "scale", rows);
  const TensorView scales = as_float16(*parts.find("scale"));
  std::vector<TensorView> tensors = {packed};
  for (const std::string_view ending : kHqqParts) {
    if (const TensorView* const view = parts.find(ending.substr(1))) tensors.push_back(*view);
  }
  std::vector<std::int32_t> group_of(static_cast<std::size_t>(inputs));
  for (std::size_t k = 0; k < group_of.size(); ++k) {
    group_of[k] = static_cast<std::int32_t>(static_cast<std::int64_t>(k) / group);
  }
  AffineShape shape =
      affine_shape(outputs, inputs, static_cast<int>(bits), group_of, parts.module(), packed.file->path());
  return affine_view(
      parts.module() + ".weight",
      std::make_shared<const HqqRows>(std::move(shape), std::move(tensors), packing, group, scales, std::move(zeros)));
}

}  // namespace powerhouse
