// GGUF, versions 2 and 3: metadata and tensors as views into the mapped file (ggml's docs/gguf.md).
//
// Nothing is copied but names; nothing in the file is trusted. Split files (name-00001-of-0000N.gguf) open as one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "formats/tensor_view.h"

namespace powerhouse {

enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

std::string_view to_string(GgufType type) noexcept;

/// An array of the metadata, still in the file's bytes. Strings are found by one pass at opening.
struct GgufArray {
  GgufType element = GgufType::u8;
  std::uint64_t count = 0;
  std::span<const std::byte> bytes;  // the elements of fixed size; empty for strings and nested arrays
  std::vector<std::string_view> strings;
  std::vector<GgufArray> arrays;
};

/// One value of the metadata; every integer type but u64 above int64's range becomes int64.
struct GgufValue {
  GgufType type = GgufType::u8;
  std::variant<std::int64_t, std::uint64_t, double, bool, std::string_view, GgufArray> value;
  std::span<const std::byte> bytes{};  // as the file has it, behind its type
};

class GgufFile {
 public:
  /// Opens and checks the whole header and every tensor's place and size. Throws Error naming the file and the field.
  static std::shared_ptr<const GgufFile> open(const std::string& path, std::vector<std::string>* missing = nullptr);
  /// The same from bytes already mapped; `name` stands for the file in errors. For fuzzing and tests of parts.
  static std::shared_ptr<const GgufFile> parse(std::shared_ptr<const MappedFile> file);

  const std::string& path() const noexcept { return path_; }
  std::uint32_t version() const noexcept { return version_; }
  std::uint64_t alignment() const noexcept { return alignment_; }
  const std::vector<std::pair<std::string, GgufValue>>& metadata() const noexcept { return metadata_; }
  const std::vector<TensorView>& tensors() const noexcept { return tensors_; }

  const GgufValue* find(std::string_view key) const;
  const TensorView* find_tensor(std::string_view name) const;

  // Typed look-ups: nothing where the key is absent, Error{format} naming file and key where its type differs.
  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;  // floats and integers
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string_view> string(std::string_view key) const;
  const GgufArray* array(std::string_view key) const;
  /// Arrays as values. `integers` takes every integer and boolean element type and a scalar as one element;
  /// `numbers` floats too.
  std::optional<std::vector<std::int64_t>> integers(std::string_view key) const;
  std::optional<std::vector<double>> numbers(std::string_view key) const;
  const std::vector<std::string_view>* strings(std::string_view key) const;

  // The same, but Error{format} "missing key" where absent.
  std::int64_t require_integer(std::string_view key) const;
  double require_number(std::string_view key) const;
  std::string_view require_string(std::string_view key) const;

 private:
  friend class GgufParser;
  GgufFile() = default;

  std::string path_;
  std::uint32_t version_ = 0;
  std::uint64_t alignment_ = 32;
  std::vector<std::pair<std::string, GgufValue>> metadata_;
  std::vector<TensorView> tensors_;
  std::vector<std::size_t> metadata_order_;  // indices sorted by key, for look-ups
  std::vector<std::size_t> tensor_order_;
  std::shared_ptr<const MappedFile> file_;
};

}  // namespace powerhouse
