#include "model/quantize_at_load.h"

#include <algorithm>
#include <atomic>

#include "formats/bitsandbytes.h"
#include "kernels/reference/four_bit.h"
#include "kernels/reference/int8.h"
#include "ops/dequantize.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

// bitsandbytes' own; blocks go through rows.
constexpr std::int64_t kBlock = 64;
constexpr std::int64_t kOuterBlock = 256;

// As transformers matches: the beginning of a module's name, or its end.
bool is_skipped(const std::string& parameter, const std::vector<std::string>& modules) {
  const std::string name = parameter.substr(0, parameter.rfind('.'));
  return std::any_of(modules.begin(), modules.end(),
                     [&](const std::string& module) { return name.starts_with(module) || name.ends_with(module); });
}

// What is left of scales that are quantized themselves.
void quantize_twice(at::Tensor& absmax) {
  const std::int64_t count = absmax.numel();
  const at::Tensor offset = absmax.mean();
  const at::Tensor centred = absmax.sub(offset).contiguous();
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(count));
  std::vector<float> outer(static_cast<std::size_t>((count + kOuterBlock - 1) / kOuterBlock));
  quantize_dynamic(centred.const_data_ptr<float>(), count, kOuterBlock, codes.data(), outer.data());
  float map[256];
  dynamic_map(map, true);
  auto* const out = absmax.mutable_data_ptr<float>();
  const auto shift = offset.item<float>();
  for (std::size_t i = 0; i < codes.size(); ++i) {
    out[i] = map[codes[i]] * outer[i / static_cast<std::size_t>(kOuterBlock)] + shift;
  }
}

TensorView in_memory(const Weight& weight, const at::Tensor& matrix, BlockFormat format,
                     std::vector<std::byte> blocks) {
  const auto memory = MappedFile::in_memory(weight.name(), std::move(blocks));
  return {.name = weight.name(),
          .format = format,
          .shape = matrix.sizes().vec(),
          .data = memory->bytes().data(),
          .bytes = memory->size(),
          .file = memory};
}

[[noreturn]] void refuse_rows(const std::string& name, int bits, int multiple, const at::Tensor& matrix) {
  throw Error(ErrorKind::unsupported, "rows that are not quantized to " + std::to_string(bits) + " bits",
              {.field = name,
               .expected = "a multiple of " + std::to_string(multiple) + " elements",
               .found = std::to_string(matrix.size(-1))});
}

TensorView in_4bit(const Weight& weight, const at::Tensor& matrix, FourBit kind, bool twice) {
  if (matrix.dim() != 2 || matrix.size(1) % 32 != 0 || matrix.numel() % kBlock != 0) {
    refuse_rows(weight.name(), 4, 32, matrix);
  }
  const at::Tensor values = matrix.to(at::kFloat).contiguous();
  const std::int64_t count = values.numel();
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(count / 2));
  at::Tensor absmax = empty_tensor({count / kBlock}, at::kFloat);
  const auto* from = values.const_data_ptr<float>();
  auto* scales = absmax.mutable_data_ptr<float>();
  parallel_for(count / kBlock, 64, [&](std::int64_t begin, std::int64_t end) {
    quantize_four_bit(kind, from + begin * kBlock, (end - begin) * kBlock, kBlock, codes.data() + begin * kBlock / 2,
                      scales + begin);
  });
  if (twice) quantize_twice(absmax);
  const BlockFormat format = four_bit_format(kind, kBlock, matrix.size(1));
  return in_memory(weight, matrix, format,
                   four_bit_blocks(format, codes.data(), absmax.const_data_ptr<float>(), count, kBlock));
}

TensorView in_8bit(const Weight& weight, const at::Tensor& matrix) {
  if (matrix.dim() != 2 || matrix.size(1) % kBlock != 0) refuse_rows(weight.name(), 8, kBlock, matrix);
  const at::Tensor values = matrix.to(at::kFloat).contiguous();
  const std::int64_t rows = matrix.size(0), columns = matrix.size(1);
  std::vector<std::int8_t> codes(static_cast<std::size_t>(values.numel()));
  std::vector<float> absmax(static_cast<std::size_t>(rows));
  const auto* from = values.const_data_ptr<float>();
  std::atomic<bool> finite{true};
  parallel_for(rows, 64, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * columns;
    if (!int8_row_codes(from + first, end - begin, columns, codes.data() + first, absmax.data() + begin))
      finite = false;
  });
  if (!finite) {
    throw Error(ErrorKind::numeric, "weights that are not finite in float16 have no int8 codes",
                {.field = weight.name()});
  }
  return in_memory(weight, matrix, BlockFormat::int8_rows, int8_blocks(codes.data(), absmax.data(), rows, columns));
}

}  // namespace

void check(const BitsAndBytesConfig& config) {
  if (config.load_in_4bit && config.load_in_8bit) {
    throw Error(ErrorKind::usage, "weights are of 4 bits or of 8", {.field = "load_in_8bit"});
  }
  if (config.bnb_4bit_quant_type == "nf4" || config.bnb_4bit_quant_type == "fp4") return;
  throw Error(ErrorKind::usage, "no such 4-bit type",
              {.field = "bnb_4bit_quant_type", .expected = "nf4 or fp4", .found = config.bnb_4bit_quant_type});
}

void quantize_at_load(DecoderWeights& weights, const BitsAndBytesConfig& config, at::ScalarType type, bool anew) {
  if (!config.load_in_4bit && !config.load_in_8bit) return;
  const FourBit kind = config.bnb_4bit_quant_type == "nf4" ? FourBit::nf4 : FourBit::fp4;
  for (const ParameterSpec& spec : weights.specs()) {
    Weight& weight = weights.weight(spec);
    if (spec.is_bias || !is_linear(spec.role) || is_skipped(spec.name, config.llm_int8_skip_modules)) continue;
    const bool in_codes =
        is_bitsandbytes(weight.format()) || (weight.stored() != nullptr && weight.stored()->rows_are_made());
    if (in_codes && !anew) continue;
    const at::Tensor matrix = dequantized(weight, type);
    TensorView view =
        config.load_in_8bit ? in_8bit(weight, matrix) : in_4bit(weight, matrix, kind, config.bnb_4bit_use_double_quant);
    weight.release_file();
    StoredWeight stored{.views = {std::move(view)}, .shape = matrix.sizes().vec()};
    weight = Weight::from_file(spec.name, std::move(stored), spec.transposed, type);
  }
}

}  // namespace powerhouse
