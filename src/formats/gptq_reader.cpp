// GPTQ's packing as rows of blocks. Bits, sizes and groups are read off the tensors, so that modules of their own bits
// (GPTQModel's `dynamic`) need no rule.
//
// Checkpoints are found that say "gptq" and store zeros as "gptq_v2" does, or the other way: read as they say they are,
// every weight is off by a scale. Where all zeros of a module are one number, it tells: symmetric codes have the zero
// 2^(bits - 1), stored less one in "gptq".
#include <algorithm>

#include "formats/affine_rows.h"
#include "formats/gptq.h"
#include "formats/packed_methods.h"

namespace powerhouse {
namespace {

int zero_offset(const Json& config) { return config.string_or("checkpoint_format", "gptq") == "gptq_v2" ? 0 : 1; }

class GptqRows final : public AffineRows {
 public:
  GptqRows(AffineShape shape, std::vector<TensorView> parts, int bits, int offset)
      : AffineRows(std::move(shape), std::move(parts)),
        bits_(bits),
        offset_(offset),
        qweight_(this->parts()[0].data),
        qzeros_(this->parts()[1].data),
        scales_(this->parts()[2].data) {}

 protected:
  void read_codes(std::int64_t first, std::int64_t rows, std::int64_t column,
                  std::uint8_t* codes) const noexcept override {
    const std::int64_t outputs = shape().outputs;
    const std::uint32_t mask = (1u << bits_) - 1;
    std::uint32_t words[kRows] = {}, more[kRows] = {};
    for (std::int64_t i = 0, read = -1; i < shape().unit; ++i) {
      const std::int64_t bit = shape().column(column + i) * bits_;
      const int shift = static_cast<int>(bit % 32);
      const std::byte* const at = qweight_ + 4 * (bit / 32 * outputs + first);
      if (bit / 32 != read) std::memcpy(words, at, static_cast<std::size_t>(4 * rows));
      read = bit / 32;
      std::uint8_t* const to = codes + i * kRows;
      if (shift + bits_ <= 32) {
        for (std::int64_t r = 0; r < kRows; ++r) to[r] = static_cast<std::uint8_t>(words[r] >> shift & mask);
        continue;
      }
      std::memcpy(more, at + 4 * outputs, static_cast<std::size_t>(4 * rows));
      for (std::int64_t r = 0; r < kRows; ++r) {
        to[r] = static_cast<std::uint8_t>((words[r] >> shift | more[r] << (32 - shift)) & mask);
      }
    }
  }

  void read_levels(std::int64_t first, std::int64_t rows, std::int64_t group, std::uint16_t* scales,
                   float* zeros) const noexcept override {
    const std::int64_t outputs = shape().outputs;
    const std::byte* const words = qzeros_ + group * (outputs * bits_ / 32) * 4;
    for (std::int64_t r = 0; r < rows; ++r) {
      scales[r] = half_at(scales_, group * outputs + first + r);
      zeros[r] = static_cast<std::int32_t>(code_at(words, first + r, bits_)) + offset_;
    }
  }

 private:
  int bits_, offset_;
  const std::byte* qweight_;
  const std::byte* qzeros_;
  const std::byte* scales_;
};

// The zeros that a module stores where they are all one; -1 where they differ.
std::int64_t only_zero(const TensorView& qzeros, int bits) {
  const auto all = static_cast<std::int64_t>(qzeros.bytes) * 8 / bits;
  const std::uint32_t first = code_at(qzeros.data, 0, bits);
  for (std::int64_t i = 1; i < all; ++i) {
    if (code_at(qzeros.data, i, bits) != first) return -1;
  }
  return first;
}

// The same tensor with one code everywhere.
TensorView filled(const TensorView& qzeros, int bits, std::uint32_t code) {
  std::vector<std::uint32_t> words(qzeros.bytes / 4);
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(qzeros.bytes) * 8 / bits; ++i) {
    put_code(words.data(), 1, i, bits, code);
  }
  std::vector<std::byte> bytes(qzeros.bytes);
  std::memcpy(bytes.data(), words.data(), bytes.size());
  TensorView view = qzeros;
  view.file = MappedFile::in_memory(qzeros.file->path(), std::move(bytes));
  view.data = view.file->bytes().data();
  return view;
}

}  // namespace

void check_gptq(const Json& config, const std::string& file) {
  const auto refuse = [&](const char* key, const std::string& expected, const std::string& found) {
    throw Error(
        ErrorKind::unsupported, "a GPTQ folder that is not read",
        {.file = file, .field = "quantization_config." + std::string(key), .expected = expected, .found = found});
  };
  const std::string format = config.string_or("checkpoint_format", "gptq");
  if (format != "gptq" && format != "gptq_v2") refuse("checkpoint_format", "gptq or gptq_v2", format);
  if (config.bool_or("is_marlin_format", false)) refuse("is_marlin_format", "false", "true");
  const std::int64_t bits = config.integer_or("bits", 4);
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8) refuse("bits", "2, 3, 4 or 8", std::to_string(bits));
}

TensorView join_gptq(const PackedParts& parts, const Json& config, std::vector<std::string>& repaired) {
  const TensorView& qweight = parts.require("qweight", BlockFormat::i32, 2);
  const TensorView* qzeros = &parts.require("qzeros", BlockFormat::i32, 2);
  const TensorView* const raw_scales = parts.find("scales");
  if (raw_scales == nullptr || raw_scales->shape.size() != 2) parts.require("scales", BlockFormat::f16, 2);
  const TensorView scales = as_float16(*raw_scales);
  const std::int64_t outputs = scales.shape[1];
  const std::int64_t groups = scales.shape[0];
  const std::int64_t bits = outputs > 0 ? qzeros->shape[1] * 32 / outputs : 0;
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8) {
    parts.refuse(*qzeros, "2, 3, 4 or 8 bits an output",
                 std::to_string(qzeros->shape[1]) + " words of " + std::to_string(outputs) + " outputs");
  }
  parts.check_shape(*qzeros, {groups, outputs * bits / 32});
  const std::int64_t inputs = qweight.shape[0] * 32 / bits;
  parts.check_shape(qweight, {inputs * bits / 32, outputs});
  if (inputs % 32 != 0 || outputs % 32 != 0 || inputs == 0) {
    parts.refuse(qweight, "inputs and outputs that 32 divides",
                 std::to_string(outputs) + " x " + std::to_string(inputs));
  }

  std::vector<TensorView> tensors = {qweight, *qzeros, *raw_scales};
  std::vector<std::int32_t> group_of;
  if (parts.find("g_idx") != nullptr) {
    const TensorView& g_idx = parts.require("g_idx", BlockFormat::i32, 1);
    parts.check_shape(g_idx, {inputs});
    group_of = integers_of(g_idx);
    for (const std::int32_t group : group_of) {
      if (group < 0 || group >= groups)
        parts.refuse(g_idx, "groups below " + std::to_string(groups), std::to_string(group));
    }
    tensors.push_back(g_idx);
  } else {
    const std::int64_t named = config.integer_or("group_size", -1);
    const std::int64_t group = named > 0 ? named : inputs;
    if (config.bool_or("desc_act", false)) parts.require("g_idx", BlockFormat::i32, 1);
    if ((inputs + group - 1) / group != groups) {
      parts.refuse(scales, std::to_string((inputs + group - 1) / group) + " groups", std::to_string(groups));
    }
    for (std::int64_t k = 0; k < inputs; ++k) group_of.push_back(static_cast<std::int32_t>(k / group));
  }

  const int offset = zero_offset(config);
  const std::int64_t half = std::int64_t{1} << (bits - 1);
  const std::int64_t stored = only_zero(*qzeros, static_cast<int>(bits));
  qzeros->release();
  if (stored + offset != half && (stored == half || stored == half - 1)) {
    repaired.push_back(parts.module() + ".qzeros: zeros of " + std::to_string(stored) +
                       " are those of checkpoint_format \"" + (offset == 1 ? "gptq_v2" : "gptq") +
                       "\", whatever the config says");
    tensors[1] = filled(*qzeros, static_cast<int>(bits), static_cast<std::uint32_t>(half - offset));
  }
  AffineShape shape =
      affine_shape(outputs, inputs, static_cast<int>(bits), group_of, parts.module(), qweight.file->path());
  tensors[2] = scales;
  auto rows = std::make_shared<const GptqRows>(std::move(shape), std::move(tensors), static_cast<int>(bits), offset);
  return affine_view(parts.module() + ".weight", std::move(rows));
}

}  // namespace powerhouse
