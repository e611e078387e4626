#include <algorithm>
#include <cmath>
#include <cstring>

#include "formats/hqq.h"
#include "kernels/common/float16.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

template <typename T>
PackedTensor tensor_of(std::string name, BlockFormat format, std::vector<std::int64_t> shape,
                       const std::vector<T>& values) {
  PackedTensor tensor{.name = std::move(name), .format = format, .shape = std::move(shape)};
  tensor.bytes.resize(values.size() * sizeof(T));
  std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

PackedTensor text_of(std::string name, const std::string& text) {
  return tensor_of(std::move(name), BlockFormat::u8, {static_cast<std::int64_t>(text.size())},
                   std::vector<char>(text.begin(), text.end()));
}

PackedTensor float16_of(std::string name, const std::vector<float>& values) {
  std::vector<float16> halves;
  halves.reserve(values.size());
  for (const float value : values) halves.push_back(rounded<float16>(value));
  return tensor_of(std::move(name), BlockFormat::f16, {static_cast<std::int64_t>(values.size()), 1}, halves);
}

// W_q: rows of groups, of which an element takes one of each part.
template <typename Element>
std::vector<Element> packed_codes(const HqqMatrix& matrix, const HqqPacking& packing, std::int64_t step) {
  std::vector<Element> elements(static_cast<std::size_t>(step * matrix.group_size));
  const auto width = elements.size();
  for (std::size_t i = 0; i < matrix.codes.size(); ++i) {
    const auto shift = (packing.part - 1 - static_cast<std::int64_t>(i / width)) * packing.bits;
    elements[i % width] |= static_cast<Element>(Element{matrix.codes[i]} << shift);
  }
  return elements;
}

}  // namespace

std::optional<HqqPacking> hqq_packing(std::int64_t bits) {
  switch (bits) {
    case 8:
    case 6:
    case 5: return HqqPacking{.bits = 8, .part = 1, .name = "8bit_u8"};
    case 4: return HqqPacking{};
    case 3: return HqqPacking{.bits = 3, .part = 10, .bytes = 4, .name = "3bit_32"};
    case 2: return HqqPacking{.bits = 2, .part = 4, .name = "2bit_u8"};
    case 1: return HqqPacking{.bits = 1, .part = 8, .name = "1bit_u8"};
    default: return std::nullopt;
  }
}

void round_levels(HqqMatrix& matrix, const std::string& module) {
  if (matrix.bits == 8) {
    for (float& zero : matrix.zeros) zero = to_float(rounded<float16>(zero - 128)) + 128;
  }
  for (auto* const levels : {&matrix.scales, &matrix.zeros}) {
    for (float& level : *levels) {
      const float held = to_float(rounded<float16>(level));
      if (!std::isfinite(held)) {
        throw Error(ErrorKind::numeric, "a scale or zero that float16 can't hold",
                    {.field = module, .found = std::to_string(level)});
      }
      level = held;
    }
  }
}

void check_hqq_packing(std::int64_t rows, std::int64_t columns, const std::string& module, const HqqOptions& options) {
  const std::optional<HqqPacking> packing = hqq_packing(options.bits);
  if (!packing) {
    throw Error(ErrorKind::unsupported, "HQQ has no packing for these bits",
                {.field = "bits", .expected = "1 to 6, or 8", .found = std::to_string(options.bits)});
  }
  const std::int64_t groups = rows * columns / options.group_size;
  if (packing->bytes > 1 || groups % packing->part == 0) return;
  throw Error(ErrorKind::unsupported, "HQQ has no packing for this matrix",
              {.field = module,
               .expected = "a number of groups that " + std::to_string(packing->part) + " divides",
               .found = std::to_string(groups)});
}

std::vector<PackedTensor> pack_hqq(const HqqMatrix& matrix, const std::string& module, const HqqOptions& options) {
  check_hqq_packing(matrix.rows, matrix.columns, module, options);
  const HqqPacking packing = *hqq_packing(options.bits);
  const bool words = packing.bytes > 1;
  const std::int64_t groups = matrix.rows * matrix.columns / matrix.group_size;
  const std::int64_t step = (groups + packing.part - 1) / packing.part;
  const std::vector<std::int64_t> shape = {step, matrix.group_size};
  std::vector<PackedTensor> tensors;
  tensors.push_back(
      words ? tensor_of(module + ".W_q", BlockFormat::i32, shape, packed_codes<std::uint32_t>(matrix, packing, step))
            : tensor_of(module + ".W_q", BlockFormat::u8, shape, packed_codes<std::uint8_t>(matrix, packing, step)));
  tensors.push_back(float16_of(module + ".scale", matrix.scales));
  tensors.push_back(float16_of(module + ".zero", matrix.zeros));
  tensors.push_back(
      tensor_of(module + ".shape", BlockFormat::i64, {2}, std::vector<std::int64_t>{matrix.rows, matrix.columns}));
  const auto add_number = [&](const char* name, std::int64_t value) {
    tensors.push_back(
        tensor_of(module + name, BlockFormat::i32, {}, std::vector<std::int32_t>{static_cast<std::int32_t>(value)}));
  };
  const auto add_flag = [&](const char* name, bool value) {
    tensors.push_back(tensor_of(module + name, BlockFormat::u8, {}, std::vector<std::uint8_t>{value}));
  };
  add_number(".nbits", options.bits);
  add_number(".group_size", matrix.group_size);
  add_number(".axis", 1);
  tensors.push_back(text_of(module + ".packing", packing.name));
  tensors.push_back(text_of(module + ".unpack_view_dtype", words ? "torch.int32" : "torch.uint8"));
  tensors.push_back(text_of(module + ".compute_dtype", "torch.float16"));
  add_flag(".channel_wise", true);
  add_flag(".optimize", options.optimize);
  add_flag(".round_zero", options.round_zero);
  for (const char* name : {".view_as_float", ".quant_scale", ".quant_zero", ".offload_meta"}) add_flag(name, false);
  for (const char* name : {".encoded_state_dict", ".stores_quant_config"}) add_flag(name, true);
  return tensors;
}

std::string hqq_module_tag(const std::string& module) {
  std::string tag;
  for (std::size_t at = 0; at <= module.size();) {
    const std::size_t end = std::min(module.find('.', at), module.size());
    const std::string part = module.substr(at, end - at);
    at = end + 1;
    if (part == "model" || part == "layers" || part.find_first_not_of("0123456789") == std::string::npos) continue;
    tag += (tag.empty() ? "" : ".") + part;
  }
  return tag;
}

Json hqq_config(const HqqOptions& options, const std::vector<std::string>& skip_modules) {
  JsonObject weights;
  weights["nbits"] = options.bits;
  weights["channel_wise"] = true;
  weights["group_size"] = options.group_size;
  weights["optimize"] = options.optimize;
  weights["round_zero"] = options.round_zero;
  weights["axis"] = 1;
  weights["view_as_float"] = false;
  JsonObject quant;
  quant["weight_quant_params"] = std::move(weights);
  quant["scale_quant_params"] = nullptr;
  quant["zero_quant_params"] = nullptr;
  quant["offload_meta"] = false;
  JsonObject out;
  out["quant_config"] = std::move(quant);
  out["quant_method"] = "hqq";
  out["skip_modules"] = Json::Array(skip_modules.begin(), skip_modules.end());
  return Json(std::move(out));
}

}  // namespace powerhouse
