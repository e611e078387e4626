// Reads a GGUF header into views. Every length is held against what is left of the file before anything is allocated,
// so that memory stays within a small multiple of the file's size whatever the header claims.
#include "formats/gguf_reader.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <limits>
#include <numeric>

#include "formats/gguf_types.h"
#include "powerhouse/error.h"
#include "support/checked.h"

namespace powerhouse {
namespace {

constexpr std::array<std::string_view, 13> kTypeNames = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                         "bool", "string", "array", "u64", "i64", "f64"};
constexpr std::array<std::uint64_t, 13> kTypeBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr int kMaxArrayDepth = 4;
constexpr std::uint32_t kMaxDimensions = 4;

// Indices of `items` sorted by name; Error where two are alike.
template <typename Items, typename Name>
std::vector<std::size_t> sorted_order(const Items& items, const Name& name, const std::string& path,
                                      std::string_view what) {
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return name(items[a]) < name(items[b]); });
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (name(items[order[i]]) == name(items[order[i - 1]])) {
      throw Error(ErrorKind::format, "duplicate " + std::string(what), {.file = path, .field = name(items[order[i]])});
    }
  }
  return order;
}

template <typename Items, typename Name>
std::size_t find_sorted(const Items& items, const std::vector<std::size_t>& order, const Name& name,
                        std::string_view key) {
  const auto found = std::lower_bound(order.begin(), order.end(), key, [&](std::size_t index, std::string_view wanted) {
    return name(items[index]) < wanted;
  });
  return found != order.end() && name(items[*found]) == key ? *found : items.size();
}

const std::string& metadata_name(const std::pair<std::string, GgufValue>& entry) { return entry.first; }
const std::string& tensor_name(const TensorView& view) { return view.name; }

}  // namespace

std::string_view to_string(GgufType type) noexcept {
  const auto index = static_cast<std::size_t>(type);
  return index < kTypeNames.size() ? kTypeNames[index] : "unknown";
}

class GgufParser {
 public:
  explicit GgufParser(std::shared_ptr<const MappedFile> file) : out_(new GgufFile()), bytes_(file->bytes()) {
    out_->path_ = file->path();
    out_->file_ = std::move(file);
  }

  std::shared_ptr<const GgufFile> parse() {
    const auto [tensor_count, metadata_count] = read_header();
    read_metadata(metadata_count);
    if (const auto alignment = out_->integer("general.alignment")) {
      if (*alignment <= 0 || *alignment > (1 << 20) || (*alignment & (*alignment - 1)) != 0) {
        fail("general.alignment", "impossible alignment", "a power of two up to 2^20", std::to_string(*alignment));
      }
      out_->alignment_ = static_cast<std::uint64_t>(*alignment);
    }
    read_tensors(tensor_count);
    return std::shared_ptr<const GgufFile>(std::move(out_));
  }

 private:
  [[noreturn]] void fail(std::string_view field, std::string_view message, std::string expected = {},
                         std::string found = {}) const {
    throw Error(
        ErrorKind::format, message,
        {.file = out_->path_, .field = std::string(field), .expected = std::move(expected), .found = std::move(found)});
  }

  std::uint64_t left() const { return bytes_.size() - at_; }

  void need(std::uint64_t count, std::string_view field) const {
    if (count > left()) {
      fail(field, "the file ends too early", std::to_string(count) + " more bytes at " + std::to_string(at_),
           std::to_string(left()));
    }
  }

  std::span<const std::byte> take(std::uint64_t count, std::string_view field) {
    need(count, field);
    const auto taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }

  template <typename T>
  T read(std::string_view field) {
    T value;
    std::memcpy(&value, take(sizeof value, field).data(), sizeof value);
    return value;
  }

  std::string_view read_string(std::string_view field) {
    const auto length = read<std::uint64_t>(field);
    const auto text = take(length, field);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

  std::pair<std::uint64_t, std::uint64_t> read_header() {
    if (bytes_.empty()) fail("", "the file is empty");
    if (left() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) {
      std::string found;
      for (std::size_t i = 0; i < std::min<std::size_t>(4, bytes_.size()); ++i) {
        char hex[4];
        std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned>(bytes_[i]));
        found += (i > 0 ? " " : "") + std::string(hex);
      }
      fail("magic", "not a GGUF file", "GGUF (47 47 55 46)", found);
    }
    at_ = 4;
    out_->version_ = read<std::uint32_t>("version");
    if (out_->version_ != 0 && (out_->version_ & 0xFFFFu) == 0) {
      throw Error(ErrorKind::unsupported, "a big-endian GGUF file",
                  {.file = out_->path_, .field = "version", .expected = "little-endian"});
    }
    if (out_->version_ != 2 && out_->version_ != 3) {
      throw Error(
          ErrorKind::unsupported, "unknown GGUF version",
          {.file = out_->path_, .field = "version", .expected = "2 or 3", .found = std::to_string(out_->version_)});
    }
    const auto tensors = read<std::uint64_t>("tensor_count");
    const auto metadata = read<std::uint64_t>("metadata_kv_count");
    // The smallest entries: a tensor is 8 + 4 + 8 + 4 + 8 bytes, a key 8 + 4 + 1.
    if (tensors > left() / 24)
      fail("tensor_count", "more tensors than the file has room for", {}, std::to_string(tensors));
    if (metadata > left() / 13)
      fail("metadata_kv_count", "more keys than the file has room for", {}, std::to_string(metadata));
    return {tensors, metadata};
  }

  GgufType read_type(std::string_view field) {
    const auto id = read<std::uint32_t>(field);
    if (id >= kTypeNames.size()) fail(field, "unknown metadata type", "0 to 12", std::to_string(id));
    return static_cast<GgufType>(id);
  }

  GgufArray read_array(std::string_view field, int depth) {
    if (depth > kMaxArrayDepth)
      fail(field, "arrays nested too deeply", "at most " + std::to_string(kMaxArrayDepth) + " levels");
    GgufArray array;
    array.element = read_type(field);
    array.count = read<std::uint64_t>(field);
    // The least that an element takes in the file: a string its length, an array its type and length.
    const std::uint64_t fixed = kTypeBytes[static_cast<std::size_t>(array.element)];
    const std::uint64_t least = fixed != 0 ? fixed : array.element == GgufType::string ? 8 : 12;
    if (array.count > left() / least) {
      fail(field, "array longer than the file", "at most " + std::to_string(left() / least) + " elements",
           std::to_string(array.count));
    }
    if (fixed != 0) {
      array.bytes = take(array.count * fixed, field);
    } else if (array.element == GgufType::string) {
      array.strings.reserve(array.count);
      for (std::uint64_t i = 0; i < array.count; ++i) array.strings.push_back(read_string(field));
    } else {
      for (std::uint64_t i = 0; i < array.count; ++i) array.arrays.push_back(read_array(field, depth + 1));
    }
    return array;
  }

  GgufValue read_value(std::string_view field) {
    GgufValue value{.type = read_type(field)};
    const std::uint64_t begin = at_;
    switch (value.type) {
      case GgufType::u8: value.value = std::int64_t{read<std::uint8_t>(field)}; break;
      case GgufType::i8: value.value = std::int64_t{read<std::int8_t>(field)}; break;
      case GgufType::u16: value.value = std::int64_t{read<std::uint16_t>(field)}; break;
      case GgufType::i16: value.value = std::int64_t{read<std::int16_t>(field)}; break;
      case GgufType::u32: value.value = std::int64_t{read<std::uint32_t>(field)}; break;
      case GgufType::i32: value.value = std::int64_t{read<std::int32_t>(field)}; break;
      case GgufType::i64: value.value = read<std::int64_t>(field); break;
      case GgufType::f32: value.value = double{read<float>(field)}; break;
      case GgufType::f64: value.value = read<double>(field); break;
      case GgufType::boolean: value.value = read<std::uint8_t>(field) != 0; break;
      case GgufType::string: value.value = read_string(field); break;
      case GgufType::array: value.value = read_array(field, 1); break;
      case GgufType::u64: {
        const auto number = read<std::uint64_t>(field);
        if (number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
          value.value = static_cast<std::int64_t>(number);
        } else {
          value.value = number;
        }
        break;
      }
    }
    value.bytes = bytes_.subspan(begin, at_ - begin);
    return value;
  }

  void read_metadata(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::string key(read_string("metadata key " + std::to_string(i)));
      out_->metadata_.emplace_back(key, read_value(key));
    }
    out_->metadata_order_ = sorted_order(out_->metadata_, metadata_name, out_->path_, "key");
  }

  // Name, shape, type and offset; places are checked once the data's beginning is known.
  std::uint64_t read_tensor(std::uint64_t index, TensorView& view) {
    view.name = read_string("tensor name " + std::to_string(index));
    const auto dimensions = read<std::uint32_t>(view.name);
    if (dimensions > kMaxDimensions) {
      fail(view.name, "too many dimensions", "at most 4", std::to_string(dimensions));
    }
    view.shape.resize(dimensions);
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      const auto size = read<std::uint64_t>(view.name);
      if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        fail(view.name, "impossible dimension", {}, std::to_string(size));
      }
      view.shape[dimensions - 1 - d] = static_cast<std::int64_t>(size);
    }
    const auto type = read<std::uint32_t>(view.name);
    const auto format = gguf_tensor_format(type);
    if (!format) {
      throw Error(ErrorKind::unsupported, "unknown tensor type",
                  {.file = out_->path_, .field = view.name, .found = std::to_string(type)});
    }
    view.format = *format;
    const auto elements = checked_element_count(view.shape);
    if (!elements) fail(view.name, "the dimensions' product overflows");
    const BlockInfo info = block_info(view.format);
    const std::int64_t row = view.shape.empty() ? 1 : view.shape.back();
    if (row % info.block_elements != 0) {
      fail(view.name, "rows must hold whole blocks",
           "a multiple of " + std::to_string(info.block_elements) + " for " + info.name, std::to_string(row));
    }
    const auto bytes = checked_multiply(static_cast<std::uint64_t>(*elements / info.block_elements),
                                        static_cast<std::uint64_t>(info.block_bytes));
    if (!bytes) fail(view.name, "the tensor's size overflows");
    view.bytes = *bytes;
    view.file = out_->file_;
    return read<std::uint64_t>(view.name);
  }

  // Overlapping tensors are let be, as ggml's own readers do: they are read, never written.
  void read_tensors(std::uint64_t count) {
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t i = 0; i < count; ++i) {
      TensorView view;
      offsets.push_back(read_tensor(i, view));
      out_->tensors_.push_back(std::move(view));
    }
    out_->tensor_order_ = sorted_order(out_->tensors_, tensor_name, out_->path_, "tensor name");
    const std::uint64_t alignment = out_->alignment_;
    const std::uint64_t begin = (at_ + alignment - 1) / alignment * alignment;
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      TensorView& view = out_->tensors_[i];
      if (offsets[i] % alignment != 0) {
        fail(view.name, "misaligned offset", "a multiple of " + std::to_string(alignment), std::to_string(offsets[i]));
      }
      const auto first = checked_add(begin, offsets[i]);
      const auto last = first ? checked_add(*first, view.bytes) : std::nullopt;
      if (!last || *last > bytes_.size()) {
        fail(view.name, "the tensor lies past the end of the file",
             std::to_string(view.bytes) + " bytes at offset " + std::to_string(offsets[i]) + " of the data",
             "a file of " + std::to_string(bytes_.size()) + " bytes");
      }
      view.data = bytes_.data() + *first;
    }
  }

  friend class GgufFile;
  std::unique_ptr<GgufFile> out_;
  std::span<const std::byte> bytes_;
  std::uint64_t at_ = 0;
};

std::shared_ptr<const GgufFile> GgufFile::parse(std::shared_ptr<const MappedFile> file) {
  return GgufParser(std::move(file)).parse();
}

std::shared_ptr<const GgufFile> GgufFile::open(const std::string& path, std::vector<std::string>* missing) {
  auto first = parse(MappedFile::open(path));
  const std::int64_t count = first->integer("split.count").value_or(1);
  if (count <= 1) return first;

  // name-00001-of-0000N.gguf: the first part holds the metadata, all parts hold tensors.
  char ending[40];
  const auto part_name = [&](std::int64_t part) {
    std::snprintf(ending, sizeof ending, "-%05d-of-%05d.gguf", static_cast<int>(part), static_cast<int>(count));
    return std::string(ending);
  };
  const std::string own = part_name(1);
  if (count > 99999 || first->integer("split.no").value_or(0) != 0 || !path.ends_with(own)) {
    throw Error(ErrorKind::format, "a split model is opened by its first part",
                {.file = path, .field = "split.no", .expected = "a name ending in " + own});
  }
  auto whole = std::shared_ptr<GgufFile>(new GgufFile(*first));
  const std::string stem = path.substr(0, path.size() - own.size());
  for (std::int64_t part = 2; part <= count; ++part) {
    const std::string name = stem + part_name(part);
    if (missing != nullptr && !may_exist(name)) {
      missing->push_back(name.substr(name.rfind('/') + 1));
      continue;
    }
    const auto next = parse(MappedFile::open(name));
    if (next->integer("split.no").value_or(-1) != part - 1 || next->integer("split.count").value_or(-1) != count) {
      throw Error(ErrorKind::format, "not the part that its name says", {.file = next->path(), .field = "split.no"});
    }
    whole->tensors_.insert(whole->tensors_.end(), next->tensors_.begin(), next->tensors_.end());
  }
  whole->tensor_order_ = sorted_order(whole->tensors_, tensor_name, path, "tensor name");
  const auto tensors = static_cast<std::int64_t>(whole->tensors_.size());
  const bool all = missing == nullptr || missing->empty();
  if (const auto expected = whole->integer("split.tensors.count"); all && expected && *expected != tensors) {
    throw Error(ErrorKind::format, "tensors are missing from the parts",
                {.file = path,
                 .field = "split.tensors.count",
                 .expected = std::to_string(*expected),
                 .found = std::to_string(tensors)});
  }
  return whole;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const std::size_t at = find_sorted(metadata_, metadata_order_, metadata_name, key);
  return at == metadata_.size() ? nullptr : &metadata_[at].second;
}

const TensorView* GgufFile::find_tensor(std::string_view name) const {
  const std::size_t at = find_sorted(tensors_, tensor_order_, tensor_name, name);
  return at == tensors_.size() ? nullptr : &tensors_[at];
}

}  // namespace powerhouse
