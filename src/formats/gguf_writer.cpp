#include "formats/gguf_writer.h"

#include <array>
#include <cstring>
#include <unordered_set>

#include "formats/gguf_types.h"
#include "powerhouse/error.h"
#include "support/atomic_write.h"

namespace powerhouse {
namespace {

constexpr std::uint64_t kAlignment = 32;
constexpr std::uint32_t kVersion = 3;

// Little-endian, as GGUF is; so is every processor that this runs on.
class Bytes {
 public:
  template <typename T>
  void number(T value) {
    std::array<char, sizeof(T)> raw{};
    std::memcpy(raw.data(), &value, sizeof(T));
    text_.append(raw.data(), raw.size());
  }
  void type(GgufType value) { number(static_cast<std::uint32_t>(value)); }
  void string(std::string_view value) {
    number(static_cast<std::uint64_t>(value.size()));
    text_ += value;
  }

  void value(std::uint32_t value) { number(value); }
  void value(std::int32_t value) { number(value); }
  void value(float value) { number(value); }
  void value(bool value) { number(static_cast<std::uint8_t>(value)); }
  void value(const std::string& value) { string(value); }
  void raw(std::string_view bytes) { text_ += bytes; }
  void pad_to(std::uint64_t multiple) { text_.resize((text_.size() + multiple - 1) / multiple * multiple); }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

constexpr GgufType type_of(std::uint32_t) { return GgufType::u32; }
constexpr GgufType type_of(std::int32_t) { return GgufType::i32; }
constexpr GgufType type_of(float) { return GgufType::f32; }
constexpr GgufType type_of(bool) { return GgufType::boolean; }
GgufType type_of(const std::string&) { return GgufType::string; }

template <typename T>
void write_value(Bytes& out, const T& value) {
  out.type(type_of(value));
  out.value(value);
}

void write_value(Bytes& out, const GgufVerbatim& value) {
  out.type(value.type);
  out.raw(value.bytes);
}

template <typename T>
void write_value(Bytes& out, const std::vector<T>& values) {
  out.type(GgufType::array);
  out.type(type_of(T{}));
  out.number(static_cast<std::uint64_t>(values.size()));
  for (const T& value : values) out.value(value);
}

std::uint64_t aligned(std::uint64_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

void pad(AtomicFile& file, std::uint64_t size) {
  static constexpr std::array<char, kAlignment> kZeros{};
  file.write(kZeros.data(), static_cast<std::size_t>(aligned(size) - size));
}

[[noreturn]] void twice(const std::string& path, const std::string& name) {
  throw Error(ErrorKind::usage, "a name stands twice", {.file = path, .field = name});
}

template <typename Out, typename In>
std::vector<Out> numbers(const GgufArray& array) {
  std::vector<Out> out(static_cast<std::size_t>(array.count));
  for (std::size_t i = 0; i < out.size(); ++i) {
    In value{};
    std::memcpy(&value, array.bytes.data() + i * sizeof(In), sizeof(In));
    out[i] = static_cast<Out>(value);
  }
  return out;
}

GgufEntry::Value copy_array(const std::string& path, const std::string& key, const GgufArray& array) {
  switch (array.element) {
    case GgufType::string: return std::vector<std::string>(array.strings.begin(), array.strings.end());
    case GgufType::i32: return numbers<std::int32_t, std::int32_t>(array);
    case GgufType::u32: return numbers<std::uint32_t, std::uint32_t>(array);
    case GgufType::f32: return numbers<float, float>(array);
    case GgufType::boolean: return numbers<bool, std::uint8_t>(array);
    default: break;
  }
  throw Error(ErrorKind::unsupported, "an array of this type can't be copied",
              {.file = path, .field = key, .found = std::string(to_string(array.element))});
}

GgufEntry::Value copy_value(const std::string& path, const std::string& key, const GgufValue& value) {
  switch (value.type) {
    case GgufType::boolean: return std::get<bool>(value.value);
    case GgufType::string: return std::string(std::get<std::string_view>(value.value));
    case GgufType::array: return copy_array(path, key, std::get<GgufArray>(value.value));
    case GgufType::f32: return static_cast<float>(std::get<double>(value.value));
    case GgufType::u8:
    case GgufType::u16:
    case GgufType::u32: return static_cast<std::uint32_t>(std::get<std::int64_t>(value.value));
    case GgufType::i8:
    case GgufType::i16:
    case GgufType::i32: return static_cast<std::int32_t>(std::get<std::int64_t>(value.value));
    default: break;
  }
  throw Error(ErrorKind::unsupported, "a value of this type can't be copied",
              {.file = path, .field = key, .found = std::string(to_string(value.type))});
}

}  // namespace

std::vector<GgufEntry> copy_entries(const GgufFile& file, std::string_view prefix) {
  std::vector<GgufEntry> entries;
  for (const auto& [key, value] : file.metadata()) {
    if (key.starts_with(prefix)) entries.push_back({key, copy_value(file.path(), key, value)});
  }
  return entries;
}

std::vector<GgufEntry> verbatim_entries(const GgufFile& file) {
  std::vector<GgufEntry> entries;
  for (const auto& [key, value] : file.metadata()) {
    const std::string_view bytes(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
    entries.push_back({key, GgufVerbatim{.type = value.type, .bytes = std::string(bytes)}});
  }
  return entries;
}

GgufLayout gguf_layout(const std::string& path, std::span<const GgufEntry> metadata,
                       std::span<const TensorSource> tensors) {
  Bytes header;
  header.number(std::uint32_t{0x46554747});  // "GGUF"
  header.number(kVersion);
  header.number(static_cast<std::uint64_t>(tensors.size()));
  header.number(static_cast<std::uint64_t>(metadata.size()));
  std::unordered_set<std::string_view> names;
  for (const GgufEntry& entry : metadata) {
    if (!names.insert(entry.key).second) twice(path, entry.key);
    header.string(entry.key);
    std::visit([&](const auto& value) { write_value(header, value); }, entry.value);
  }
  names.clear();
  GgufLayout layout;
  for (const TensorSource& tensor : tensors) {
    if (!names.insert(tensor.name).second) twice(path, tensor.name);
    header.string(tensor.name);
    header.number(static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) {
      header.number(static_cast<std::uint64_t>(*size));
    }
    header.number(gguf_type_number(tensor.format, path, tensor.name));
    header.number(layout.bytes);
    layout.offsets.push_back(layout.bytes);
    layout.bytes = aligned(layout.bytes + tensor.bytes);
  }
  header.pad_to(kAlignment);
  layout.header = header.take();
  layout.bytes += layout.header.size();
  for (std::uint64_t& offset : layout.offsets) offset += layout.header.size();
  return layout;
}

void write_gguf(const std::string& path, std::span<const GgufEntry> metadata, std::span<const TensorSource> tensors,
                const std::function<void(const std::string& written)>& check) {
  const GgufLayout layout = gguf_layout(path, metadata, tensors);
  AtomicFile file(path);
  file.write(layout.header);
  for (const TensorSource& tensor : tensors) {
    std::size_t written = 0;
    tensor.write([&](const void* data, std::size_t size) {
      file.write(data, size);
      written += size;
    });
    if (written != tensor.bytes) {
      throw Error(ErrorKind::usage, "a tensor's writer passed another number of bytes than it said",
                  {.file = path,
                   .field = tensor.name,
                   .expected = std::to_string(tensor.bytes),
                   .found = std::to_string(written)});
    }
    pad(file, written);
  }
  if (check && !file.temporary().empty()) check(file.temporary());
  file.commit();
}

}  // namespace powerhouse
