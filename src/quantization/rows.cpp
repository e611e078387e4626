#include "quantization/rows.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/dequantize.h"
#include "kernels/reference/encode.h"
#include "powerhouse/error.h"
#include "support/checked.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

/// Elements that a thread takes at once: some hundred microseconds, and a megabyte of scratch.
constexpr std::int64_t kAtOnce = 1 << 16;

/// Beyond this a format cannot come near a value: float16 scales times the largest codes stay below 2^30, and NVFP4's
/// below 448 * 6. Searches make zeros of such values without a word.
double largest_value(BlockFormat format) {
  switch (format) {
    case BlockFormat::f32:
    case BlockFormat::bf16:
    case BlockFormat::mxfp4: return std::numeric_limits<double>::max();
    case BlockFormat::nvfp4: return 2688;
    default: return 0x1p30;
  }
}

enum class Fault : std::uint8_t { none, not_finite, no_search, overflow };

std::string row_text(const RowsToQuantize& rows, std::int64_t row) {
  return "row " + std::to_string(rows.first_row + row);
}

[[noreturn]] void fail(BlockFormat format, const RowsToQuantize& rows, std::int64_t row, Fault fault) {
  const std::string name = block_info(format).name;
  const std::string field(rows.tensor);
  if (fault == Fault::not_finite) {
    const std::int64_t at =
        cpu::kernels().first_not_finite(rows.data, rows.type, row * rows.columns, (row + 1) * rows.columns);
    throw Error(ErrorKind::numeric, "a tensor to quantize holds NaN or infinity",
                {.field = field,
                 .expected = "finite numbers",
                 .found = std::to_string(read_element(rows.data, rows.type, at)) + " in " + row_text(rows, row) +
                          ", column " + std::to_string(at - row * rows.columns)});
  }
  throw Error(ErrorKind::numeric,
              fault == Fault::overflow ? "values are too large for the scales of " + name
                                       : "values are too large: their squares leave float32",
              {.field = field, .expected = "values that " + name + " can hold", .found = row_text(rows, row)});
}

struct Scratch {
  std::vector<float> values, read_back;
  std::unique_ptr<bool[]> failed;
};

class Pass {
 public:
  Pass(BlockFormat format, const RowsToQuantize& rows, std::span<std::byte> out)
      : format_(format),
        rows_(rows),
        out_(reinterpret_cast<std::uint8_t*>(out.data())),
        row_bytes_(static_cast<std::int64_t>(quantized_bytes(format, 1, rows.columns))),
        errors_(static_cast<std::size_t>(rows.rows)),
        first_fault_(rows.rows) {}

  ErrorSums run() {
    const std::int64_t together = std::max<std::int64_t>(1, kAtOnce / rows_.columns);
    const std::int64_t parts = (rows_.rows + together - 1) / together;
    claim_items(parts, [&](auto&& claim) {
      Scratch scratch{std::vector<float>(static_cast<std::size_t>(together * rows_.columns)),
                      std::vector<float>(static_cast<std::size_t>(together * rows_.columns)),
                      std::make_unique<bool[]>(static_cast<std::size_t>(together))};
      for (std::int64_t part = claim(); part < parts; part = claim()) {
        encode_part(part * together, std::min((part + 1) * together, rows_.rows), scratch);
      }
    });
    if (const std::int64_t row = first_fault_; row < rows_.rows) fail(format_, rows_, row, fault_of(row));
    ErrorSums total;
    for (const ErrorSums& row : errors_) total += row;
    return total;
  }

 private:
  void encode_part(std::int64_t begin, std::int64_t end, Scratch& scratch) {
    const std::int64_t count = end - begin;
    float* const values = scratch.values.data();
    const auto* const source =
        static_cast<const std::uint8_t*>(rows_.data) + begin * rows_.columns * element_bytes(rows_.type);
    const cpu::CpuKernels& kernels = cpu::kernels();
    kernels.convert(
        {.source_type = rows_.type, .destination_type = Element::f32, .source = source, .destination = values}, 0,
        count * rows_.columns);
    if (const std::int64_t bad = kernels.first_not_finite(values, Element::f32, 0, count * rows_.columns); bad >= 0) {
      return note(begin + bad / rows_.columns);
    }
    std::uint8_t* const blocks = out_ + begin * row_bytes_;
    kernels.encode({.format = format_,
                    .rows = values,
                    .columns = rows_.columns,
                    .importance = rows_.importance.empty() ? nullptr : rows_.importance.data(),
                    .blocks = blocks,
                    .failed = scratch.failed.get()},
                   0, count);
    kernels.dequantize({.format = format_, .source = blocks, .destination = scratch.read_back.data()}, 0,
                       count * rows_.columns / block_info(format_).block_elements);
    const double most = largest_value(format_);
    for (std::int64_t row = 0; row < count; ++row) {
      const std::int64_t first = row * rows_.columns;
      ErrorSums& error = errors_[static_cast<std::size_t>(begin + row)];
      const double largest = measure(values + first, scratch.read_back.data() + first, error);
      // A scale that overflowed reads as infinity, or as NaN where its code is 0.
      if (scratch.failed[static_cast<std::size_t>(row)] || !std::isfinite(error.squared_error) || largest > most) {
        return note(begin + row);
      }
    }
  }

  double measure(const float* values, const float* read_back, ErrorSums& error) const {
    return rows_.importance.empty() ? measure<false>(values, read_back, error)
                                    : measure<true>(values, read_back, error);
  }

  /// A row's error, in eight sums side by side; returns the largest magnitude.
  template <bool kWeighted>
  double measure(const float* values, const float* read_back, ErrorSums& error) const {
    constexpr int kSums = 8;
    double errors[kSums] = {};
    double weighted[kSums] = {};
    double squares[kSums] = {};
    float largest[kSums] = {};
    const auto add = [&](std::int64_t i, int sum) {
      const auto value = static_cast<double>(values[i]);
      const double off = static_cast<double>(read_back[i]) - value;
      errors[sum] += off * off;
      if constexpr (kWeighted) {
        weighted[sum] += off * off * static_cast<double>(rows_.importance[static_cast<std::size_t>(i)]);
      }
      squares[sum] += value * value;
      largest[sum] = std::max(largest[sum], std::abs(values[i]));
    };
    const std::int64_t whole = rows_.columns / kSums * kSums;
    for (std::int64_t i = 0; i < whole; i += kSums) {
      for (int sum = 0; sum < kSums; ++sum) add(i + sum, sum);
    }
    for (std::int64_t i = whole; i < rows_.columns; ++i) add(i, static_cast<int>(i - whole));
    for (int sum = 0; sum < kSums; ++sum) {
      error.squared_error += errors[sum];
      error.squared_values += squares[sum];
      error.weighted_error += kWeighted ? weighted[sum] : errors[sum];
    }
    return static_cast<double>(*std::max_element(std::begin(largest), std::end(largest)));
  }

  void note(std::int64_t row) {
    for (std::int64_t first = first_fault_; row < first && !first_fault_.compare_exchange_weak(first, row);) {
    }
  }

  /// Once more, for the message.
  Fault fault_of(std::int64_t row) const {
    const std::int64_t begin = row * rows_.columns;
    if (cpu::kernels().first_not_finite(rows_.data, rows_.type, begin, begin + rows_.columns) >= 0) {
      return Fault::not_finite;
    }
    std::vector<float> values(static_cast<std::size_t>(rows_.columns));
    for (std::int64_t i = 0; i < rows_.columns; ++i) {
      values[static_cast<std::size_t>(i)] = read_element(rows_.data, rows_.type, begin + i);
    }
    std::vector<std::uint8_t> blocks(static_cast<std::size_t>(row_bytes_));
    const bool made = encode_row(format_, values.data(), rows_.importance.empty() ? nullptr : rows_.importance.data(),
                                 rows_.columns, blocks.data());
    const auto is_large = [&](float value) { return std::abs(static_cast<double>(value)) > largest_value(format_); };
    return made || std::any_of(values.begin(), values.end(), is_large) ? Fault::overflow : Fault::no_search;
  }

  BlockFormat format_;
  const RowsToQuantize& rows_;
  std::uint8_t* out_;
  std::int64_t row_bytes_;
  std::vector<ErrorSums> errors_;  // of rows
  std::atomic<std::int64_t> first_fault_;
};

}  // namespace

double ErrorSums::relative() const noexcept {
  return squared_values > 0 ? std::sqrt(squared_error / squared_values) : 0.0;
}

ErrorSums& ErrorSums::operator+=(const ErrorSums& other) noexcept {
  squared_error += other.squared_error;
  squared_values += other.squared_values;
  weighted_error += other.weighted_error;
  return *this;
}

void check_quantizes(BlockFormat format, const RowsToQuantize& rows) {
  const BlockInfo info = block_info(format);
  const std::string field(rows.tensor);
  if (!can_encode(format) || !can_dequantize(format)) {
    throw Error(ErrorKind::unsupported, "no encoder writes this type",
                {.field = field, .expected = "a type of GGUF's weights", .found = info.name});
  }
  if (rows.rows < 0 || rows.columns <= 0 || rows.columns % info.block_elements != 0) {
    throw Error(ErrorKind::usage, std::string("blocks of ") + info.name + " do not divide the rows",
                {.field = field,
                 .expected = "a multiple of " + std::to_string(info.block_elements) + " columns",
                 .found = std::to_string(rows.columns)});
  }
  if (rows.importance.empty()) {
    if (!needs_importance(format)) return;
    throw Error(ErrorKind::usage, std::string(info.name) + " needs the importance of columns",
                {.field = field, .expected = "an importance matrix", .found = "none"});
  }
  if (static_cast<std::int64_t>(rows.importance.size()) != rows.columns) {
    throw Error(
        ErrorKind::usage, "importance of another number of columns",
        {.field = field, .expected = std::to_string(rows.columns), .found = std::to_string(rows.importance.size())});
  }
}

std::size_t quantized_bytes(BlockFormat format, std::int64_t rows, std::int64_t columns) {
  const BlockInfo info = block_info(format);
  const auto blocks =
      checked_multiply(static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns / info.block_elements));
  const auto bytes = blocks ? checked_multiply(*blocks, static_cast<std::uint64_t>(info.block_bytes)) : std::nullopt;
  if (!bytes) throw Error(ErrorKind::memory, "a tensor of more bytes than there are addresses");
  return *bytes;
}

ErrorSums quantize_rows(BlockFormat format, const RowsToQuantize& rows, std::span<std::byte> out) {
  check_quantizes(format, rows);
  if (const std::size_t bytes = quantized_bytes(format, rows.rows, rows.columns); out.size() != bytes) {
    throw Error(
        ErrorKind::usage, "room for another number of bytes",
        {.field = std::string(rows.tensor), .expected = std::to_string(bytes), .found = std::to_string(out.size())});
  }
  for (std::size_t i = 0; i < rows.importance.size(); ++i) {
    if (rows.importance[i] >= 0 && std::isfinite(rows.importance[i])) continue;
    throw Error(ErrorKind::numeric, "importance must be a number that is not negative",
                {.field = std::string(rows.tensor),
                 .expected = "0 or more",
                 .found = std::to_string(rows.importance[i]) + " in column " + std::to_string(i)});
  }
  return Pass(format, rows, out).run();
}

}  // namespace powerhouse
