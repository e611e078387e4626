#include "quantization/file_quantizer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "kernels/cpu/kernels.h"
#include "powerhouse/error.h"
#include "support/crc32c.h"
#include "support/json.h"
#include "support/resumable_file.h"
#include "support/seconds_since.h"
#include "support/sha256.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

constexpr const char* kMethod = "gguf 1";  // changes where the same source and plan give other bytes
constexpr std::uint64_t kPartBytes = std::uint64_t{16} << 20;   // of float32 rows: beyond it nothing is faster
constexpr std::uint64_t kThreadBytes = std::uint64_t{1} << 20;  // quantize_rows' scratch

using Clock = std::chrono::steady_clock;

// Rows that are held at once, as float32 and as blocks.
std::int64_t part_rows(const SourceTensor& tensor, BlockFormat format, std::uint64_t memory) {
  const std::uint64_t row =
      static_cast<std::uint64_t>(tensor.columns()) * sizeof(float) + quantized_bytes(format, 1, tensor.columns());
  const std::uint64_t threads = kThreadBytes * static_cast<std::uint64_t>(team_threads());
  const std::uint64_t needed = threads + row;
  if (memory < needed) {
    throw Error(ErrorKind::memory, "the memory budget is too small for a row",
                {.field = tensor.name,
                 .expected = "at least " + std::to_string(needed) + " bytes",
                 .found = std::to_string(memory)});
  }
  return static_cast<std::int64_t>(std::max<std::uint64_t>(1, std::min(memory - threads, kPartBytes) / row));
}

void check_finite(const SourceTensor& tensor, const SourceRows& rows, std::int64_t first_row, std::int64_t elements) {
  const std::int64_t bad = cpu::kernels().first_not_finite(rows.data, rows.type, 0, elements);
  if (bad < 0) return;
  throw Error(ErrorKind::numeric, "a tensor holds NaN or infinity",
              {.field = tensor.name,
               .expected = "finite numbers",
               .found = "row " + std::to_string(first_row + bad / tensor.columns()) + ", column " +
                        std::to_string(bad % tensor.columns())});
}

// What it has already, in the order of the file.
void copy_tensor(const SourceTensor& tensor, std::uint64_t memory, const std::stop_token& cancel,
                 const std::function<void(std::span<const std::byte>)>& sink) {
  const BlockInfo info = block_info(tensor.format);
  const std::int64_t row_bytes = tensor.columns() / info.block_elements * info.block_bytes;
  const std::optional<Element> element = element_of(tensor.format);
  const std::int64_t rows = tensor.row_count();
  const auto at_once = std::max<std::int64_t>(
      1, static_cast<std::int64_t>(std::min(memory, kPartBytes)) / std::max<std::int64_t>(1, row_bytes));
  std::vector<std::byte> room;
  std::vector<std::byte> converted;
  for (std::int64_t row = 0; row < rows; row += at_once) {
    if (cancel.stop_requested()) throw Error(ErrorKind::cancelled, "quantization was cancelled");
    const std::int64_t count = std::min(at_once, rows - row);
    const auto bytes = static_cast<std::size_t>(count * row_bytes);
    if (!element) {
      sink({tensor.bytes + row * row_bytes, bytes});
      tensor.release();
      continue;
    }
    SourceRows part = tensor.rows(row, row + count, room);
    check_finite(tensor, part, row, count * tensor.columns());
    if (part.type != *element) {
      converted.resize(bytes);
      cpu::kernels().convert({.source_type = part.type,
                              .destination_type = *element,
                              .source = part.data,
                              .destination = converted.data()},
                             0, count * tensor.columns());
      part.data = converted.data();
    }
    sink({static_cast<const std::byte*>(part.data), bytes});
    tensor.release();
  }
}

std::string note_of(const QuantizedTensor& row, const ErrorSums& error) {
  JsonObject note;
  note["seconds"] = row.seconds;
  note["squared_error"] = error.squared_error;
  note["squared_values"] = error.squared_values;
  return Json(std::move(note)).dump();
}

std::string identity(const SourceModel& source, const FilePlan& plan, const GgufLayout& layout) {
  std::string text = std::string(kMethod) + "\n" + source.identity + "\n" + sha256(layout.header) + "\n";
  if (plan.importance == nullptr) return text;
  std::uint32_t sums = 0;
  for (const ImportanceEntry& entry : plan.importance->entries) {
    sums = crc32c(entry.weight.data(), entry.weight.size(), sums);
    sums = crc32c(entry.sums.data(), entry.sums.size() * sizeof(float), sums);
    sums = crc32c(entry.counts.data(), entry.counts.size() * sizeof(float), sums);
  }
  return text + std::to_string(sums) + "\n";
}

std::uint64_t bytes_of(const SourceTensor& tensor, BlockFormat format) {
  return quantized_bytes(format, tensor.row_count(), tensor.columns());
}

std::vector<TensorSource> layout_tensors(const SourceModel& source, const FilePlan& plan) {
  std::vector<TensorSource> tensors;
  for (std::size_t i = 0; i < source.tensors.size(); ++i) {
    const SourceTensor& tensor = source.tensors[i];
    tensors.push_back({.name = tensor.name,
                       .format = plan.formats[i],
                       .shape = tensor.shape,
                       .bytes = static_cast<std::size_t>(bytes_of(tensor, plan.formats[i]))});
  }
  return tensors;
}

// Writes one tensor after the other, and adds up what they lost.
class Run {
 public:
  Run(const SourceModel& source, const std::string& path, const FilePlan& plan)
      : source_(source),
        plan_(plan),
        layout_(gguf_layout(path, plan.metadata, layout_tensors(source, plan))),
        report_(planned(source, plan)),
        file_(path, identity(source, plan, layout_), layout_.bytes, plan.resume) {}

  QuantizationSummary run() {
    const auto start = Clock::now();
    try {
      file_.write(0, std::as_bytes(std::span(layout_.header)));
      for (std::size_t i = 0; i < source_.tensors.size(); ++i) tensor(i);
      tell(source_.tensors.size(), "");
      GgufFile::open(file_.partial());  // reads as a file should
      if (source_.check) source_.check(file_.partial());
    } catch (const Error& error) {
      // What the user can mend without changing what is asked for leaves the work done.
      if (error.kind() != ErrorKind::io && error.kind() != ErrorKind::cancelled) file_.discard();
      throw;
    }
    file_.commit();
    report_.relative_error = total_.relative();
    report_.seconds = seconds_since(start);
    return std::move(report_);
  }

 private:
  void tell(std::size_t done, const std::string& name) const {
    if (!plan_.on_progress) return;
    const double share = report_.weights > 0 ? static_cast<double>(weights_) / static_cast<double>(report_.weights) : 1;
    plan_.on_progress({.tensor = static_cast<std::int64_t>(done),
                       .tensors = static_cast<std::int64_t>(source_.tensors.size()),
                       .name = name,
                       .share = share});
  }

  void tensor(std::size_t index) {
    const SourceTensor& tensor = source_.tensors[index];
    QuantizedTensor& row = report_.tensors[index];
    tell(index, tensor.name);
    const auto found = file_.finished().find(tensor.name);
    if (found != file_.finished().end() && found->second.offset == layout_.offsets[index] &&
        found->second.bytes == row.bytes) {
      const Json note = Json::parse(found->second.note, file_.partial());
      row.resumed = true;
      row.seconds = note.double_or("seconds", 0);
      add(index,
          {.squared_error = note.double_or("squared_error", 0), .squared_values = note.double_or("squared_values", 0)});
      return;
    }
    const auto start = Clock::now();
    std::uint64_t at = layout_.offsets[index];
    std::uint32_t checksum = 0;
    const auto sink = [&](std::span<const std::byte> bytes) {
      file_.write(at, bytes);
      checksum = crc32c(bytes.data(), bytes.size(), checksum);
      at += bytes.size();
    };
    ErrorSums error;
    if (plan_.formats[index] == tensor.format) {
      copy_tensor(tensor, plan_.memory_bytes, plan_.cancel, sink);
    } else {
      error = quantize_tensor(tensor, plan_.formats[index], importance_of(plan_.importance, tensor), plan_.memory_bytes,
                              plan_.cancel, sink);
    }
    row.seconds = seconds_since(start);
    add(index, error);
    file_.finish(tensor.name, {.offset = layout_.offsets[index],
                               .bytes = at - layout_.offsets[index],
                               .checksum = checksum,
                               .note = note_of(row, error)});
  }

  void add(std::size_t index, const ErrorSums& error) {
    report_.tensors[index].relative_error = error.relative();
    total_ += error;
    weights_ += source_.tensors[index].row_count() * source_.tensors[index].columns();
  }

  const SourceModel& source_;
  const FilePlan& plan_;
  GgufLayout layout_;
  QuantizationSummary report_;
  ResumableFile file_;
  ErrorSums total_{};
  std::int64_t weights_ = 0;
};

}  // namespace

std::vector<float> importance_of(const ImportanceMatrix* matrix, const SourceTensor& tensor) {
  const ImportanceEntry* const entry = matrix != nullptr ? matrix->find(tensor.name) : nullptr;
  if (entry == nullptr) return {};
  std::vector<float> values = entry->importance();
  const auto expected = static_cast<std::size_t>(tensor.matrices() * tensor.columns());
  if (values.size() == expected) return values;
  if (tensor.name == "token_embd.weight") return {};
  throw Error(ErrorKind::usage, "the importance matrix is of another model",
              {.field = tensor.name,
               .expected = std::to_string(expected) + " columns",
               .found = std::to_string(values.size())});
}

ErrorSums quantize_tensor(const SourceTensor& tensor, BlockFormat format, std::span<const float> importance,
                          std::uint64_t memory, const std::stop_token& cancel,
                          const std::function<void(std::span<const std::byte>)>& sink) {
  const std::int64_t matrix_rows = tensor.matrices() > 0 ? tensor.row_count() / tensor.matrices() : 0;
  const std::int64_t at_once = part_rows(tensor, format, memory);
  ErrorSums total;
  std::vector<std::byte> room;
  std::vector<std::byte> out;
  for (std::int64_t matrix = 0; matrix < tensor.matrices(); ++matrix) {
    for (std::int64_t row = 0; row < matrix_rows; row += at_once) {
      if (cancel.stop_requested()) throw Error(ErrorKind::cancelled, "quantization was cancelled");
      const std::int64_t count = std::min(at_once, matrix_rows - row);
      const std::int64_t first = matrix * matrix_rows + row;
      const SourceRows part = tensor.rows(first, first + count, room);
      out.resize(quantized_bytes(format, count, tensor.columns()));
      RowsToQuantize rows{.tensor = tensor.name,
                          .data = part.data,
                          .type = part.type,
                          .rows = count,
                          .columns = tensor.columns(),
                          .first_row = first};
      if (!importance.empty()) {
        rows.importance = importance.subspan(static_cast<std::size_t>(matrix * tensor.columns()),
                                             static_cast<std::size_t>(tensor.columns()));
      }
      total += quantize_rows(format, rows, out);
      sink(out);
      tensor.release();
    }
  }
  return total;
}

QuantizationSummary planned(const SourceModel& source, const FilePlan& plan) {
  QuantizationSummary report;
  for (std::size_t i = 0; i < source.tensors.size(); ++i) {
    const SourceTensor& tensor = source.tensors[i];
    const BlockFormat format = plan.formats[i];
    const ImportanceEntry* const entry = plan.importance != nullptr ? plan.importance->find(tensor.name) : nullptr;
    const bool weighed = entry != nullptr && format != tensor.format && !importance_of(plan.importance, tensor).empty();
    report.tensors.push_back({.name = tensor.name,
                              .shape = tensor.shape,
                              .from = block_info(tensor.format).name,
                              .to = block_info(format).name,
                              .bytes = bytes_of(tensor, format),
                              .importance = weighed,
                              .unseen_experts = weighed ? entry->unseen_experts() : 0});
    report.source_bytes += bytes_of(tensor, tensor.format);
    report.bytes += report.tensors.back().bytes;
    report.weights += tensor.row_count() * tensor.columns();
  }
  return report;
}

QuantizationSummary write_quantized(const SourceModel& source, const std::string& path, const FilePlan& plan) {
  return Run(source, path, plan).run();
}

}  // namespace powerhouse
