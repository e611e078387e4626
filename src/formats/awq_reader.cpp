// AWQ's packings as rows of blocks: see awq.h. gemv_fast and llm-awq hold, for four outputs and 64 inputs, 64 words of
// 16 bits with a nibble of each output; inputs of 32 stand as pairs (0 1) (8 9) (16 17) (24 25) (2 3) ..., and of each
// eight the even ones first. They store the product of scale and zero in f16, as what is added: that is Q4_1's form,
// and becomes it.
#include <algorithm>
#include <array>

#include "formats/affine_rows.h"
#include "formats/awq_layout.h"
#include "formats/packed_methods.h"

namespace powerhouse {
namespace {

class AwqGemmRows final : public AffineRows {
 public:
  using AffineRows::AffineRows;

 protected:
  void read_codes(std::int64_t first, std::int64_t rows, std::int64_t column,
                  std::uint8_t* codes) const noexcept override {
    const std::byte* const words = parts()[0].data;
    for (std::int64_t i = 0; i < shape().unit; ++i) read(words, column + i, first, rows, codes + i * kRows);
  }
  void read_levels(std::int64_t first, std::int64_t rows, std::int64_t group, std::uint16_t* scales,
                   float* zeros) const noexcept override {
    std::uint8_t codes[kRows];
    read(parts()[1].data, group, first, rows, codes);
    for (std::int64_t r = 0; r < rows; ++r) {
      scales[r] = half_at(parts()[2].data, group * shape().outputs + first + r);
      zeros[r] = codes[r];
    }
  }

 private:
  void read(const std::byte* words, std::int64_t row, std::int64_t first, std::int64_t rows,
            std::uint8_t* codes) const noexcept {
    const std::int64_t start = row * (shape().outputs / 8);
    if (first % 8 == 0 && rows == kRows) {
      for (std::int64_t half = 0; half < 2; ++half) {
        const std::uint32_t word = word_at(words, start + first / 8 + half);
        for (int r = 0; r < 8; ++r) codes[8 * half + r] = static_cast<std::uint8_t>(word >> awq_shift(r) & 15);
      }
      return;
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t output = first + r;
      codes[r] = static_cast<std::uint8_t>(word_at(words, start + output / 8) >> awq_shift(output) & 15);
    }
  }
};

class AwqGemvRows final : public AffineRows {
 public:
  using AffineRows::AffineRows;

 protected:
  void read_codes(std::int64_t first, std::int64_t rows, std::int64_t column,
                  std::uint8_t* codes) const noexcept override {
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::byte* const row = parts()[0].data + (first + r) * (shape().inputs / 2);
      for (std::int64_t i = 0; i < shape().unit; ++i) {
        codes[i * kRows + r] = static_cast<std::uint8_t>(code_at(row, column + i, 4));
      }
    }
  }
  void read_levels(std::int64_t first, std::int64_t rows, std::int64_t group, std::uint16_t* scales,
                   float* zeros) const noexcept override {
    const std::int64_t width = parts()[1].shape[1];
    for (std::int64_t r = 0; r < rows; ++r) {
      scales[r] = half_at(parts()[2].data, (first + r) * 8 * width + group);
      zeros[r] = static_cast<std::int32_t>(code_at(parts()[1].data + (first + r) * width * 4, group, 4));
    }
  }
};

// Rows of Q4_1.
class AwqFastRows final : public RowSource {
 public:
  AwqFastRows(std::int64_t outputs, std::int64_t inputs, std::int64_t group, std::vector<TensorView> parts)
      : outputs_(outputs), inputs_(inputs), group_(group), parts_(std::move(parts)) {}

  void read(std::int64_t first, std::int64_t count, std::byte* blocks) const noexcept override {
    for (std::int64_t row = first; row < first + count; ++row) {
      for (std::int64_t k = 0; k < inputs_; k += 32, blocks += 20) {
        const std::int64_t level = k / group_ * outputs_ + row;
        std::memcpy(blocks, parts_[2].data + 2 * level, 2);
        std::memcpy(blocks + 2, parts_[1].data + 2 * level, 2);
        for (std::int64_t i = 0; i < 16; ++i) {
          blocks[4 + i] = static_cast<std::byte>(code(row, k + i) | code(row, k + 16 + i) << 4);
        }
      }
    }
  }
  const std::vector<TensorView>& parts() const override { return parts_; }
  const ColumnOrder& order() const override { return none_; }

 private:
  unsigned code(std::int64_t row, std::int64_t k) const noexcept {
    const std::int64_t of_pair = k % 2, pair = k / 2 % 4, eight = k / 8 % 4;
    // Input 8 eight + 2 pair + of_pair stands in the eight `pair`, as its element 2 eight + of_pair, evens first.
    const std::int64_t place = pair * 8 + of_pair * 4 + eight;
    const std::int64_t at = k / 32 * 32 + place;  // of the row, before four are put together
    const std::int64_t in_strip = at / 64 * 256 + row % 4 * 64 + at % 64;
    const std::int64_t word = row / 4 * inputs_ + in_strip / 4;
    return static_cast<unsigned>(half_at(parts_[0].data, word)) >> in_strip % 4 * 4 & 15u;
  }

  std::int64_t outputs_, inputs_, group_;
  std::vector<TensorView> parts_;
  ColumnOrder none_{};
};

std::int64_t group_size(const Json& config) {
  return config.integer_or("group_size", config.integer_or("q_group_size", 128));
}

std::string version(const Json& config) {
  std::string name = config.string_or("version", "gemm");
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  if (config.string_or("backend", "") == "llm-awq") name = "gemv_fast";
  return name;
}

std::vector<std::int32_t> groups_in_order(std::int64_t inputs, std::int64_t group) {
  std::vector<std::int32_t> groups(static_cast<std::size_t>(inputs));
  for (std::int64_t k = 0; k < inputs; ++k) groups[static_cast<std::size_t>(k)] = static_cast<std::int32_t>(k / group);
  return groups;
}

void check_sizes(const PackedParts& parts, const TensorView& qweight, std::int64_t inputs, std::int64_t group,
                 std::int64_t outputs) {
  if (inputs > 0 && group > 0 && inputs % group == 0 && group % 32 == 0 && outputs % 8 == 0) return;
  parts.refuse(qweight, "groups of a multiple of 32 that divide the inputs, outputs that 8 divides",
               std::to_string(outputs) + " x " + std::to_string(inputs) + ", groups of " + std::to_string(group));
}

TensorView fast(const PackedParts& parts, const Json& config) {
  const TensorView& qweight = parts.require("qweight", BlockFormat::i16, 2);
  const TensorView& zeros =
      parts.require(parts.find("scaled_zeros") != nullptr ? "scaled_zeros" : "qzeros", BlockFormat::f16, 2);
  const TensorView& scales = parts.require("scales", BlockFormat::f16, 2);
  const std::int64_t outputs = 4 * qweight.shape[0];
  const std::int64_t inputs = qweight.shape[1];
  const std::int64_t group = group_size(config) == -1 ? inputs : group_size(config);
  check_sizes(parts, qweight, inputs, group, outputs);
  if (inputs % 64 != 0) parts.refuse(qweight, "inputs that 64 divides", std::to_string(inputs));
  for (const TensorView* levels : {&zeros, &scales}) {
    if (levels->shape[1] != outputs || levels->shape[0] < inputs / group) {
      parts.check_shape(*levels, {8 * awq_zeros_width(inputs, group), outputs});
    }
  }
  TensorView view{.name = parts.module() + ".weight",
                  .format = BlockFormat::q4_1,
                  .shape = {outputs, inputs},
                  .bytes = qweight.bytes + zeros.bytes + scales.bytes,
                  .file = qweight.file};
  view.rows = std::make_shared<const AwqFastRows>(outputs, inputs, group, std::vector{qweight, zeros, scales});
  return view;
}

}  // namespace

void check_awq(const Json& config, const std::string& file) {
  const auto refuse = [&](const char* key, const std::string& expected, const std::string& found) {
    throw Error(
        ErrorKind::unsupported, "an AWQ folder that is not read",
        {.file = file, .field = "quantization_config." + std::string(key), .expected = expected, .found = found});
  };
  const std::int64_t bits = config.integer_or("bits", config.integer_or("w_bit", 4));
  if (bits != 4) refuse("bits", "4", std::to_string(bits));
  const std::string name = version(config);
  // exllama and ipex are kernels that transformers runs on files of gemm.
  for (const char* known : {"gemm", "gemv", "gemv_fast", "llm-awq", "exllama", "ipex"}) {
    if (name == known) return;
  }
  refuse("version", "gemm, gemv, gemv_fast or llm-awq", name);
}

TensorView join_awq(const PackedParts& parts, const Json& config, std::vector<std::string>&) {
  const std::string name = version(config);
  if (name == "gemv_fast" || name == "llm-awq") return fast(parts, config);
  const TensorView& qweight = parts.require("qweight", BlockFormat::i32, 2);
  const TensorView& qzeros = parts.require("qzeros", BlockFormat::i32, 2);
  const TensorView* const raw_scales = parts.find("scales");
  if (raw_scales == nullptr || raw_scales->shape.size() != 2) parts.require("scales", BlockFormat::f16, 2);
  const TensorView scales = as_float16(*raw_scales);
  const bool by_rows = name == "gemv";
  const std::int64_t outputs = by_rows ? qweight.shape[0] : 8 * qweight.shape[1];
  const std::int64_t inputs = by_rows ? 8 * qweight.shape[1] : qweight.shape[0];
  const std::int64_t group = group_size(config) == -1 ? inputs : group_size(config);
  check_sizes(parts, qweight, inputs, group, outputs);
  const std::int64_t width = awq_zeros_width(inputs, group);
  parts.check_shape(qzeros, by_rows ? std::vector{outputs, width} : std::vector{inputs / group, outputs / 8});
  parts.check_shape(scales, by_rows ? std::vector{outputs, 8 * width} : std::vector{inputs / group, outputs});
  AffineShape shape =
      affine_shape(outputs, inputs, 4, groups_in_order(inputs, group), parts.module(), qweight.file->path());
  std::vector<TensorView> tensors = {qweight, qzeros, scales};
  if (by_rows) {
    return affine_view(parts.module() + ".weight",
                       std::make_shared<const AwqGemvRows>(std::move(shape), std::move(tensors)));
  }
  return affine_view(parts.module() + ".weight",
                     std::make_shared<const AwqGemmRows>(std::move(shape), std::move(tensors)));
}

}  // namespace powerhouse
