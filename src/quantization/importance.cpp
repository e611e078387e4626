#include "quantization/importance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"
#include "powerhouse/error.h"
#include "support/mapped_file.h"

namespace powerhouse {
namespace {

[[noreturn]] void fail(const std::string& path, std::string_view what, std::string_view weight) {
  throw Error(ErrorKind::format, what, {.file = path, .field = std::string(weight)});
}

std::vector<float> floats(const std::string& path, const TensorView& view) {
  if (view.format != BlockFormat::f32) fail(path, "an importance matrix's tensor is not float32", view.name);
  std::vector<float> values(view.bytes / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), view.data, view.bytes);
  return values;
}

void check(const std::string& path, const ImportanceEntry& entry) {
  if (entry.sums.empty() || entry.counts.empty() || entry.sums.size() % entry.counts.size() != 0) {
    fail(path, "sums and counts of an importance matrix do not belong together", entry.weight);
  }
  const auto is_number = [](float value) { return value >= 0 && std::isfinite(value); };
  if (!std::all_of(entry.sums.begin(), entry.sums.end(), is_number) ||
      !std::all_of(entry.counts.begin(), entry.counts.end(), is_number)) {
    fail(path, "importance must be a number that is not negative", entry.weight);
  }
}

ImportanceMatrix read_gguf(const std::string& path) {
  const auto file = GgufFile::open(path);
  ImportanceMatrix matrix;
  if (const auto* names = file->strings("imatrix.datasets")) matrix.datasets.assign(names->begin(), names->end());
  matrix.chunk_count = file->integer("imatrix.chunk_count").value_or(0);
  matrix.chunk_size = file->integer("imatrix.chunk_size").value_or(0);
  std::map<std::string, ImportanceEntry> entries;
  for (const TensorView& view : file->tensors()) {
    for (const std::string_view suffix : {".in_sum2", ".counts"}) {
      if (!view.name.ends_with(suffix)) continue;
      ImportanceEntry& entry = entries[view.name.substr(0, view.name.size() - suffix.size())];
      (suffix == ".counts" ? entry.counts : entry.sums) = floats(path, view);
    }
  }
  if (entries.empty()) fail(path, "no tensors of an importance matrix", "");
  for (auto& [name, entry] : entries) {
    entry.weight = name;
    for (float& count : entry.counts) count = std::round(count);
    check(path, entry);
    matrix.entries.push_back(std::move(entry));
  }
  return matrix;
}

/// The bytes of a .dat file, from its beginning on.
class DatReader {
 public:
  DatReader(const std::string& path, std::string_view bytes) : path_(path), bytes_(bytes) {}

  bool at_end() const { return at_ == bytes_.size(); }
  std::string_view take(std::int64_t count, std::string_view of) {
    if (count < 0 || static_cast<std::uint64_t>(count) > bytes_.size() - at_) {
      fail(path_, "not an importance matrix, or one that ends early", of);
    }
    const std::string_view taken = bytes_.substr(at_, static_cast<std::size_t>(count));
    at_ += taken.size();
    return taken;
  }
  std::int32_t integer(std::string_view of) {
    std::int32_t value = 0;
    std::memcpy(&value, take(4, of).data(), 4);
    return value;
  }

 private:
  const std::string& path_;
  std::string_view bytes_;
  std::size_t at_ = 0;
};

ImportanceMatrix read_dat(const std::string& path, std::string_view bytes) {
  DatReader reader(path, bytes);
  ImportanceMatrix matrix;
  std::map<std::string, ImportanceEntry> entries;
  const std::int32_t count = reader.integer("number of entries");
  if (count < 1) fail(path, "not an importance matrix, or an empty one", "number of entries");
  for (std::int32_t i = 0; i < count; ++i) {
    const std::string name(reader.take(reader.integer("name"), "name"));
    ImportanceEntry& entry = entries[name];
    entry.weight = name;
    const std::int32_t calls = reader.integer(name);
    const std::string_view values = reader.take(std::int64_t{4} * reader.integer(name), name);
    entry.sums.resize(values.size() / 4);
    if (!values.empty()) std::memcpy(entry.sums.data(), values.data(), values.size());
    entry.counts = {calls > 0 ? static_cast<float>(calls) : 1.0f};
    check(path, entry);
  }
  for (auto& [name, entry] : entries) matrix.entries.push_back(std::move(entry));
  if (reader.at_end()) return matrix;
  matrix.chunk_count = reader.integer("number of chunks");
  if (reader.at_end()) return matrix;
  if (const std::int32_t length = reader.integer("dataset"); length > 0) {
    matrix.datasets.emplace_back(reader.take(length, "dataset"));
  }
  return matrix;
}

}  // namespace

std::vector<float> ImportanceEntry::importance() const {
  std::vector<float> values(sums);
  const std::size_t columns = sums.size() / counts.size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float count = counts[i / columns];
    values[i] = count > 0 ? sums[i] / count : 1.0f;
  }
  return values;
}

std::int64_t ImportanceEntry::unseen_experts() const noexcept { return std::count(counts.begin(), counts.end(), 0.0f); }

const ImportanceEntry* ImportanceMatrix::find(std::string_view weight) const noexcept {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const ImportanceEntry& entry) { return entry.weight == weight; });
  return found == entries.end() ? nullptr : &*found;
}

ImportanceMatrix read_importance(const std::string& path) {
  const auto file = MappedFile::open(path);
  if (file->text().starts_with("GGUF")) return read_gguf(path);
  return read_dat(path, file->text());
}

void write_importance(const std::string& path, const ImportanceMatrix& matrix) {
  const std::vector<GgufEntry> metadata{
      {.key = "general.type", .value = std::string("imatrix")},
      {.key = "imatrix.datasets", .value = matrix.datasets},
      {.key = "imatrix.chunk_count", .value = static_cast<std::uint32_t>(matrix.chunk_count)},
      {.key = "imatrix.chunk_size", .value = static_cast<std::uint32_t>(matrix.chunk_size)}};
  std::vector<TensorSource> tensors;
  for (const ImportanceEntry& entry : matrix.entries) {
    check(path, entry);
    const auto experts = static_cast<std::int64_t>(entry.counts.size());
    const auto columns = static_cast<std::int64_t>(entry.sums.size()) / experts;
    const auto add = [&](const char* suffix, const std::vector<float>& values, std::int64_t width) {
      tensors.push_back({.name = entry.weight + suffix,
                         .shape = experts > 1 ? std::vector<std::int64_t>{experts, width} : std::vector{width},
                         .bytes = values.size() * sizeof(float),
                         .write = [&values](const auto& sink) { sink(values.data(), values.size() * sizeof(float)); }});
    };
    add(".in_sum2", entry.sums, columns);
    add(".counts", entry.counts, 1);
  }
  write_gguf(path, metadata, tensors);
}

}  // namespace powerhouse
