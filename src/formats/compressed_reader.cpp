// compressed-tensors' "pack-quantized" as rows of blocks. Of a module [outputs, inputs]:
//
//   weight_packed      int32 [outputs, inputs * bits / 32]   codes along inputs, each with 2^(bits - 1) added
//   weight_scale       [outputs, groups], [outputs, 1] or [1]
//   weight_zero_point  int32 [outputs * bits / 32, groups], packed along outputs likewise; or int8 [outputs, groups];
//                      none where symmetric
//   weight_shape       [2]
//   weight_g_idx       int32 [inputs], each input's group (activation order); -1: in order
//
// Bits, groups and symmetry are read off the tensors, so that several config_groups need no rule.
#include "formats/affine_rows.h"
#include "formats/packed_methods.h"

namespace powerhouse {
namespace {

class CompressedRows final : public AffineRows {
 public:
  CompressedRows(AffineShape shape, std::vector<TensorView> parts, int bits, TensorView scales,
                 std::optional<TensorView> zeros)
      : AffineRows(std::move(shape), std::move(parts)),
        bits_(bits),
        scales_(std::move(scales)),
        zeros_(std::move(zeros)) {}

 protected:
  void read_codes(std::int64_t first, std::int64_t rows, std::int64_t column,
                  std::uint8_t* codes) const noexcept override {
    const TensorView& packed = parts()[0];
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::byte* const row = packed.data + (first + r) * packed.shape[1] * 4;
      for (std::int64_t i = 0; i < shape().unit; ++i) {
        codes[i * kRows + r] = static_cast<std::uint8_t>(code_at(row, shape().column(column + i), bits_));
      }
    }
  }

  void read_levels(std::int64_t first, std::int64_t rows, std::int64_t group, std::uint16_t* scales,
                   float* zeros) const noexcept override {
    const std::int64_t groups = scales_.shape.back();
    const bool one = scales_.elements() == 1;
    for (std::int64_t r = 0; r < rows; ++r) {
      scales[r] = half_at(scales_.data, one ? 0 : (first + r) * groups + group);
      zeros[r] = zero(first + r, one ? 0 : group);
    }
  }

 private:
  std::int32_t zero(std::int64_t output, std::int64_t group) const noexcept {
    const std::int32_t middle = 1 << (bits_ - 1);
    if (!zeros_) return middle;
    const std::int64_t groups = zeros_->shape.back();
    if (zeros_->format == BlockFormat::i8) {
      return middle + static_cast<std::int8_t>(zeros_->data[output * groups + group]);
    }
    const std::int64_t bit = output * bits_;
    const int shift = static_cast<int>(bit % 32);
    std::uint32_t code = word_at(zeros_->data, bit / 32 * groups + group) >> shift;
    if (shift + bits_ > 32) code |= word_at(zeros_->data, (bit / 32 + 1) * groups + group) << (32 - shift);
    return static_cast<std::int32_t>(code & ((1u << bits_) - 1));
  }

  int bits_;
  TensorView scales_;
  std::optional<TensorView> zeros_;
};

std::optional<TensorView> zeros_of(const PackedParts& parts, std::int64_t outputs, std::int64_t groups,
                                   std::int64_t bits) {
  const TensorView* const view = parts.find("weight_zero_point");
  if (view == nullptr) return {};
  if (view->format == BlockFormat::i8) {
    parts.check_shape(*view, {outputs, groups});
  } else {
    parts.check_shape(parts.require("weight_zero_point", BlockFormat::i32, 2), {(outputs * bits + 31) / 32, groups});
  }
  return *view;
}

}  // namespace

void check_compressed(const Json& config, const std::string& file) {
  const auto refuse = [&](const std::string& key, const std::string& expected, const std::string& found) {
    throw Error(ErrorKind::unsupported, "a compressed-tensors folder that is not read",
                {.file = file, .field = "quantization_config." + key, .expected = expected, .found = found});
  };
  const auto check_format = [&](const std::string& key, const Json& where) {
    const std::string format = where.string_or("format", "pack-quantized");
    if (format != "pack-quantized" && format != "dense") refuse(key + "format", "pack-quantized", format);
  };
  const std::string format = config.string_or("format", "dense");
  if (format != "pack-quantized" && format != "mixed-precision") refuse("format", "pack-quantized", format);
  for (const char* key : {"kv_cache_scheme", "transform_config", "sparsity_config"}) {
    const Json* value = config.get(key);
    if (value == nullptr || (value->is_object() && value->as_object().size() == 0)) continue;
    if (value->string_or("format", "") == "dense") continue;
    refuse(key, "none", "one");
  }
  const Json* groups = config.get("config_groups");
  if (groups == nullptr) return;
  for (const auto& [name, group] : groups->as_object("config_groups")) {
    const std::string key = "config_groups." + name + ".";
    if (!group.is_object()) continue;
    check_format(key, group);
    for (const char* side : {"input_activations", "output_activations"}) {
      if (group.get(side) != nullptr) refuse(key + side, "null: activations are not quantized", "a scheme");
    }
    const Json* weights = group.get("weights");
    if (weights == nullptr) continue;
    if (const std::string type = weights->string_or("type", "int"); type != "int")
      refuse(key + "weights.type", "int", type);
    const std::string strategy = weights->string_or("strategy", "channel");
    if (strategy != "group" && strategy != "channel" && strategy != "tensor") {
      refuse(key + "weights.strategy", "group, channel or tensor", strategy);
    }
  }
}

TensorView join_compressed(const PackedParts& parts, const Json&, std::vector<std::string>&) {
  const TensorView& packed = parts.require("weight_packed", BlockFormat::i32, 2);
  const TensorView* const shape_view = parts.find("weight_shape");
  if (shape_view == nullptr || shape_view->elements() != 2 ||
      (shape_view->format != BlockFormat::i64 && shape_view->format != BlockFormat::i32)) {
    parts.require("weight_shape", BlockFormat::i64, 1);
    parts.refuse(*shape_view, "two whole numbers", std::to_string(shape_view->elements()));
  }
  const std::vector<std::int32_t> size = integers_of(*shape_view);
  const std::int64_t outputs = size[0];
  const std::int64_t inputs = size[1];
  if (outputs < 1 || inputs < 1 || packed.shape[0] != outputs) {
    parts.refuse(packed, std::to_string(outputs) + " rows", std::to_string(packed.shape[0]));
  }
  if (inputs % 32 != 0) {
    throw Error(ErrorKind::unsupported, "inputs that 32 does not divide",
                {.file = packed.file->path(), .field = packed.name, .found = std::to_string(inputs)});
  }
  const std::int64_t bits = packed.shape[1] * 32 / inputs;
  if (bits < 1 || bits > 8 || bits * inputs != packed.shape[1] * 32) {
    parts.refuse(packed, "1 to 8 bits an input",
                 std::to_string(packed.shape[1]) + " words of " + std::to_string(inputs));
  }
  const TensorView* const raw_scales = parts.find("weight_scale");
  if (raw_scales == nullptr) parts.require("weight_scale", BlockFormat::f16, 2);
  const TensorView scales = as_float16(*raw_scales);
  const std::int64_t groups = scales.elements() == 1 ? 1 : scales.shape.size() == 2 ? scales.shape[1] : 0;
  if (groups < 1 || (scales.elements() != 1 && scales.shape[0] != outputs)) {
    parts.check_shape(scales, {outputs, std::max<std::int64_t>(groups, 1)});
  }
  std::vector<TensorView> tensors = {packed, *raw_scales, *shape_view};
  const std::optional<TensorView> zeros = zeros_of(parts, outputs, groups, bits);
  if (zeros) tensors.push_back(*zeros);
  std::vector<std::int32_t> group_of;
  if (const TensorView* const g_idx = parts.find("weight_g_idx")) {
    parts.check_shape(parts.require("weight_g_idx", BlockFormat::i32, 1), {inputs});
    group_of = integers_of(*g_idx);
    tensors.push_back(*g_idx);
    if (group_of.front() == -1) group_of.clear();
    for (const std::int32_t group : group_of) {
      if (group < 0 || group >= groups)
        parts.refuse(*g_idx, "groups below " + std::to_string(groups), std::to_string(group));
    }
  }
  if (group_of.empty()) {
    if (inputs % groups != 0)
      parts.refuse(scales, "groups that divide " + std::to_string(inputs), std::to_string(groups));
    for (std::int64_t k = 0; k < inputs; ++k) group_of.push_back(static_cast<std::int32_t>(k / (inputs / groups)));
  }
  AffineShape shape =
      affine_shape(outputs, inputs, static_cast<int>(bits), group_of, parts.module(), packed.file->path());
  return affine_view(parts.module() + ".weight",
                     std::make_shared<const CompressedRows>(std::move(shape), std::move(tensors),
                                                            static_cast<int>(bits), scales, zeros));
}

}  // namespace powerhouse
