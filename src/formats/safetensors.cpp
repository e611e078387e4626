#include "formats/safetensors.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "formats/broken_file.h"
#include "formats/shards.h"
#include "powerhouse/error.h"
#include "support/atomic_write.h"
#include "support/checked.h"
#include "support/json.h"
#include "support/utf8.h"

namespace powerhouse {
namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;  // the format's own bound
constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kSingleName = "model.safetensors";

// The dtypes of the format; their names are those of BlockInfo. The order is the one in which the safetensors library
// lays tensors out: widest first, so that each stays aligned.
constexpr BlockFormat kDtypes[] = {
    BlockFormat::u64,     BlockFormat::i64,     BlockFormat::f64, BlockFormat::f32, BlockFormat::u32,
    BlockFormat::i32,     BlockFormat::bf16,    BlockFormat::f16, BlockFormat::u16, BlockFormat::i16,
    BlockFormat::f8_e4m3, BlockFormat::f8_e5m2, BlockFormat::i8,  BlockFormat::u8,  BlockFormat::boolean,
};

std::string path_in(std::string folder, std::string_view name) { return folder.append("/").append(name); }

std::size_t dtype_rank(BlockFormat format) {
  return static_cast<std::size_t>(std::find(std::begin(kDtypes), std::end(kDtypes), format) - std::begin(kDtypes));
}

std::uint64_t unsigned_of(const Json& value, const std::string& file, std::string_view field) {
  if (!value.is_integer() || value.as_integer() < 0)
    broken_file(file, field, "not a size", "an integer of 0 or more", value.dump());
  return static_cast<std::uint64_t>(value.as_integer());
}

TensorView read_entry(const std::string& name, const Json& entry, std::span<const std::byte> data,
                      const std::shared_ptr<const MappedFile>& file) {
  const std::string& path = file->path();
  TensorView view{.name = name, .file = file};
  const std::string& dtype = entry.at("dtype").as_string("dtype");
  const auto* found = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                   [&](BlockFormat format) { return dtype == block_info(format).name; });
  if (found == std::end(kDtypes)) {
    throw Error(ErrorKind::unsupported, "unknown dtype", {.file = path, .field = name, .found = dtype});
  }
  view.format = *found;
  for (const Json& size : entry.at("shape").as_array("shape")) {
    view.shape.push_back(static_cast<std::int64_t>(unsigned_of(size, path, name)));
  }
  const auto elements = checked_element_count(view.shape);
  const auto bytes = elements ? checked_multiply(static_cast<std::uint64_t>(*elements),
                                                 static_cast<std::uint64_t>(block_info(view.format).block_bytes))
                              : std::nullopt;
  if (!bytes) broken_file(path, name, "the dimensions' product overflows");
  const Json::Array& offsets = entry.at("data_offsets").as_array("data_offsets");
  if (offsets.size() != 2) broken_file(path, name, "wrong data_offsets", "[begin, end]");
  const std::uint64_t begin = unsigned_of(offsets[0], path, name);
  const std::uint64_t end = unsigned_of(offsets[1], path, name);
  if (begin > end || end > data.size()) {
    broken_file(path, name, "the tensor lies past the end of the file",
                "an end of at most " + std::to_string(data.size()),
                std::to_string(begin) + " to " + std::to_string(end));
  }
  if (end - begin != *bytes) {
    broken_file(path, name, "the offsets do not fit the shape", std::to_string(*bytes) + " bytes",
                std::to_string(end - begin));
  }
  view.data = data.data() + begin;
  view.bytes = *bytes;
  return view;
}

// The header of a file with these tensors, padded with blanks to 8 bytes, its length in front.
std::string make_header(std::span<const TensorSource* const> tensors,
                        std::span<const std::pair<std::string, std::string>> metadata) {
  JsonObject header;
  if (!metadata.empty()) {
    JsonObject pairs;
    for (const auto& [key, value] : metadata) pairs[key] = value;
    header["__metadata__"] = std::move(pairs);
  }
  std::uint64_t offset = 0;
  for (const TensorSource* tensor : tensors) {
    JsonObject entry;
    entry["dtype"] = block_info(tensor->format).name;
    Json::Array shape;
    for (const std::int64_t size : tensor->shape) shape.emplace_back(size);
    entry["shape"] = std::move(shape);
    entry["data_offsets"] = Json::Array{Json(offset), Json(offset + tensor->bytes)};
    offset += tensor->bytes;
    header[tensor->name] = std::move(entry);
  }
  std::string text = Json(std::move(header)).dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string out(8, '\0');
  const std::uint64_t length = text.size();
  std::memcpy(out.data(), &length, sizeof length);
  return out + text;
}

void write_tensors(AtomicFile& file, std::span<const TensorSource* const> tensors,
                   std::span<const std::pair<std::string, std::string>> metadata) {
  file.write(make_header(tensors, metadata));
  for (const TensorSource* tensor : tensors) {
    std::size_t written = 0;
    tensor->write([&](const void* data, std::size_t size) {
      file.write(data, size);
      written += size;
    });
    if (written != tensor->bytes) {
      throw Error(ErrorKind::usage, "a tensor gave another number of bytes than it said",
                  {.field = tensor->name, .expected = std::to_string(tensor->bytes), .found = std::to_string(written)});
    }
  }
}

std::vector<const TensorSource*> in_file_order(std::span<const TensorSource> tensors) {
  std::unordered_set<std::string_view> names;
  std::vector<const TensorSource*> order;
  for (const TensorSource& tensor : tensors) {
    if (dtype_rank(tensor.format) == std::size(kDtypes)) {
      throw Error(ErrorKind::unsupported, "safetensors has no such type",
                  {.field = tensor.name, .found = block_info(tensor.format).name});
    }
    if (find_invalid_utf8(tensor.name)) {
      throw Error(ErrorKind::usage, "a tensor's name is not UTF-8", {.field = tensor.name});
    }
    if (tensor.name == "__metadata__" || !names.insert(tensor.name).second) {
      throw Error(ErrorKind::usage, "a tensor's name stands twice or is reserved", {.field = tensor.name});
    }
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const TensorSource* a, const TensorSource* b) {
    const std::size_t rank_a = dtype_rank(a->format);
    const std::size_t rank_b = dtype_rank(b->format);
    return rank_a != rank_b ? rank_a < rank_b : a->name < b->name;
  });
  return order;
}

std::string shard_name(std::size_t shard, std::size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, count);
  return name;
}

// What transformers asks for.
std::vector<std::pair<std::string, std::string>> hugging_face_metadata() { return {{"format", "pt"}}; }

// model-00001-of-00004.safetensors, however many there are.
bool is_shard_name(std::string_view name) {
  constexpr std::string_view kPattern = "model-#####-of-#####.safetensors";
  if (name.size() != kPattern.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (kPattern[i] == '#' ? name[i] < '0' || name[i] > '9' : name[i] != kPattern[i]) return false;
  }
  return true;
}

// An index or shards of an earlier save would be read instead of, or beside, what was written now.
void remove_earlier_weights(const std::string& folder, const std::unordered_set<std::string>& written) {
  const auto remove = [&](const std::string& name) {
    std::error_code failure;
    if (written.contains(name)) return;
    std::filesystem::remove(path_in(folder, name), failure);
    if (failure) {
      throw Error(ErrorKind::io, "cannot remove the weights of an earlier save: " + failure.message(),
                  {.file = path_in(folder, name)});
    }
  };
  remove(kIndexName);  // first: without it nobody looks for shards
  std::vector<std::string> names;
  std::error_code failure;
  for (std::filesystem::directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    names.push_back(entry->path().filename().string());
  }
  for (const std::string& name : names) {
    if (name == kSingleName || is_shard_name(name)) remove(name);
  }
}

}  // namespace

SafetensorsFile parse_safetensors(const std::shared_ptr<const MappedFile>& file) {
  const std::string& path = file->path();
  const auto bytes = file->bytes();
  if (bytes.empty()) broken_file(path, "", "the file is empty");
  if (bytes.size() < 8) {
    broken_file(path, "header length", "the file ends too early", "8 bytes", std::to_string(bytes.size()));
  }
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kMaxHeader || length > bytes.size() - 8) {
    broken_file(path, "header length", "longer than the file or the format allows",
                "at most " + std::to_string(std::min<std::uint64_t>(kMaxHeader, bytes.size() - 8)),
                std::to_string(length));
  }
  const std::string_view text = file->text().substr(8, length);
  const auto data = bytes.subspan(8 + length);
  SafetensorsFile out{.path = path};
  try {
    const Json header = Json::parse(text, path);
    for (const auto& [name, entry] : header.as_object("header")) {
      if (name == "__metadata__") {
        for (const auto& [key, value] : entry.as_object(name)) out.metadata.emplace_back(key, value.as_string(key));
      } else {
        out.tensors.push_back(read_entry(name, entry, data, file));
      }
    }
  } catch (const Error& error) {
    throw error.in_file(path);
  }
  std::sort(out.tensors.begin(), out.tensors.end(), [](const TensorView& a, const TensorView& b) {
    return a.data != b.data ? a.data < b.data : a.bytes < b.bytes;
  });
  const std::byte* next = data.data();
  for (const TensorView& view : out.tensors) {
    if (view.data != next) {
      broken_file(path, view.name, view.data < next ? "tensors overlap" : "a hole between tensors");
    }
    next = view.data + view.bytes;
  }
  if (next != data.data() + data.size()) {
    broken_file(path, "data", "bytes that belong to no tensor at the end of the file");
  }
  return out;
}

SafetensorsFile read_safetensors(const std::string& path) { return parse_safetensors(MappedFile::open(path)); }

std::vector<TensorView> read_safetensors_folder(const std::string& folder, std::vector<std::string>* missing) {
  const std::string index_path = path_in(folder, kIndexName);
  if (may_exist(path_in(folder, kSingleName))) return read_safetensors(path_in(folder, kSingleName)).tensors;
  if (!may_exist(index_path)) {
    if (missing != nullptr) {
      missing->emplace_back(kSingleName);
      return {};
    }
    throw Error(ErrorKind::not_found, "no weights in this folder",
                {.file = folder, .expected = std::string(kSingleName) + " or " + kIndexName});
  }
  const auto read = [](const std::string& path) { return read_safetensors(path).tensors; };
  return read_shards(folder, kIndexName, read, missing);
}

void write_safetensors(const std::string& path, std::span<const TensorSource> tensors,
                       std::span<const std::pair<std::string, std::string>> metadata) {
  const auto order = in_file_order(tensors);
  AtomicFile file(path);
  write_tensors(file, order, metadata);
  file.commit();
}

void write_safetensors_folder(const std::string& folder, std::span<const TensorSource> tensors,
                              std::size_t max_shard_bytes) {
  std::uint64_t total = 0;
  std::vector<std::vector<const TensorSource*>> shards(1);
  std::uint64_t filled = 0;
  for (const TensorSource& tensor : tensors) {
    if (!shards.back().empty() && filled + tensor.bytes > max_shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(&tensor);
    filled += tensor.bytes;
    total += tensor.bytes;
  }
  in_file_order(tensors);  // checks names and types over all shards
  const auto metadata = hugging_face_metadata();
  if (shards.size() == 1) {
    write_safetensors(path_in(folder, kSingleName), tensors, metadata);
    remove_earlier_weights(folder, {kSingleName});
    return;
  }
  // All shards are written before the first is renamed, and the index comes last.
  JsonObject weight_map;
  std::vector<std::unique_ptr<AtomicFile>> files;
  std::unordered_set<std::string> written = {kIndexName};
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(i, shards.size());
    std::vector<TensorSource> part;
    for (const TensorSource* tensor : shards[i]) {
      part.push_back(*tensor);
      weight_map[tensor->name] = name;
    }
    files.push_back(std::make_unique<AtomicFile>(path_in(folder, name)));
    write_tensors(*files.back(), in_file_order(part), metadata);
    written.insert(name);
  }
  for (const auto& file : files) file->commit();
  JsonObject totals;
  totals["total_size"] = Json(total);
  JsonObject index;
  index["metadata"] = std::move(totals);
  index["weight_map"] = std::move(weight_map);
  write_atomically(path_in(folder, kIndexName), Json(std::move(index)).dump(2) + "\n");
  remove_earlier_weights(folder, written);
}

}  // namespace powerhouse
