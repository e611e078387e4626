#include "formats/torch_file.h"

#include <cstring>

#include "formats/broken_file.h"
#include "formats/pickle.h"
#include "formats/shards.h"
#include "formats/zip_directory.h"
#include "powerhouse/error.h"
#include "support/checked.h"

namespace powerhouse {
namespace {

constexpr std::string_view kPickle = "/data.pkl";

// The elements behind the last one that a tensor's strides reach; nothing where it has none.
std::int64_t reach(const std::string& path, const std::string& name, const PickledTensor& tensor) {
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] == 0) return 0;
    const auto steps = checked_multiply(static_cast<std::uint64_t>(tensor.shape[i] - 1),
                                        static_cast<std::uint64_t>(tensor.strides[i]));
    if (!steps || *steps > (std::uint64_t{1} << 62) - last) broken_file(path, name, "the strides overflow");
    last += *steps;
  }
  return static_cast<std::int64_t>(last) + 1;
}

bool is_contiguous(const PickledTensor& tensor) {
  std::int64_t expected = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

// Copies the elements in the order of the shape, outermost first.
std::vector<std::byte> gathered(const PickledTensor& tensor, const std::byte* first, std::size_t width,
                                std::int64_t elements) {
  std::vector<std::int64_t> sizes, strides;  // without dimensions of one, whose strides may be anything
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] == 1) continue;
    sizes.push_back(tensor.shape[i]);
    strides.push_back(tensor.strides[i]);
  }
  std::vector<std::byte> out(static_cast<std::size_t>(elements) * width);
  std::vector<std::int64_t> index(sizes.size(), 0);
  std::int64_t from = 0;
  for (std::size_t to = 0; to < out.size(); to += width) {
    std::memcpy(out.data() + to, first + static_cast<std::size_t>(from) * width, width);
    for (std::size_t i = index.size(); i-- > 0;) {
      from += strides[i];
      if (++index[i] < sizes[i]) break;
      from -= strides[i] * sizes[i];
      index[i] = 0;
    }
  }
  return out;
}

// Of one file: how many bytes may still be put together in memory, so that a small file cannot ask for much. Some more
// than the file has, for a mask or a table that was expanded.
constexpr std::size_t kSpareBytes = std::size_t{1} << 20;
constexpr std::int64_t kMostGathered = std::int64_t{1} << 56;

struct Budget {
  std::size_t left = 0;
};

TensorView view_of(const std::string& name, const PickledTensor& tensor, std::span<const std::byte> storage,
                   const std::shared_ptr<const MappedFile>& file, Budget& budget) {
  const std::string& path = file->path();
  const auto width = static_cast<std::size_t>(block_info(tensor.format).block_bytes);
  if (static_cast<std::uint64_t>(tensor.storage_bytes) != storage.size()) {
    broken_file(path, name, "the storage has another size than the pickle says", std::to_string(tensor.storage_bytes),
                std::to_string(storage.size()));
  }
  const std::int64_t end = reach(path, name, tensor);
  const auto room = static_cast<std::int64_t>(storage.size() / width);
  if (tensor.offset > room || end > room - tensor.offset) {
    broken_file(path, name, "the tensor lies past the end of its storage",
                "at most " + std::to_string(room) + " elements",
                std::to_string(tensor.offset) + " + " + std::to_string(end));
  }
  const auto elements = checked_element_count(tensor.shape);
  if (!elements || *elements > kMostGathered) broken_file(path, name, "an impossible shape");
  const std::byte* first = storage.data() + static_cast<std::size_t>(tensor.offset) * width;
  TensorView view{.name = name,
                  .format = tensor.format,
                  .shape = tensor.shape,
                  .data = first,
                  .bytes = static_cast<std::size_t>(*elements) * width,
                  .file = file};
  const bool aligned = reinterpret_cast<std::uintptr_t>(first) % width == 0;
  if (view.bytes == 0 || (aligned && is_contiguous(tensor))) return view;
  if (view.bytes > budget.left) broken_file(path, name, "tensors repeat the elements of their storages too often");
  budget.left -= view.bytes;
  view.file = MappedFile::in_memory(path, gathered(tensor, first, width, *elements));
  view.data = view.file->bytes().data();
  return view;
}

}  // namespace

std::vector<TensorView> parse_torch_file(const std::shared_ptr<const MappedFile>& file) {
  const std::string& path = file->path();
  if (file->text().starts_with("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")) {
    throw Error(ErrorKind::unsupported, "a file of PyTorch before 1.6; load and save it anew with a later one",
                {.file = path});
  }
  const auto entries = read_zip_directory(file);
  std::string root;
  for (const auto& [name, bytes] : entries) {
    if (!name.ends_with(kPickle)) continue;
    if (!root.empty()) broken_file(path, name, "more than one data.pkl");
    root = name.substr(0, name.size() - kPickle.size() + 1);
  }
  if (root.empty()) broken_file(path, "data.pkl", "not a file of torch.save: no data.pkl in it");
  if (const auto order = entries.find(root + "byteorder"); order != entries.end()) {
    const std::string_view text(reinterpret_cast<const char*>(order->second.data()), order->second.size());
    if (text != "little") {
      throw Error(ErrorKind::unsupported, "written on a machine with another order of bytes",
                  {.file = path, .field = "byteorder", .expected = "little", .found = std::string(text)});
    }
  }
  Budget budget{file->size() + kSpareBytes};
  std::vector<TensorView> tensors;
  for (const auto& [name, tensor] : read_pickled_tensors(entries.at(root + "data.pkl"), path)) {
    const auto storage = entries.find(root + "data/" + tensor.storage);
    if (storage == entries.end()) broken_file(path, name, "the storage is missing", "data/" + tensor.storage);
    tensors.push_back(view_of(name, tensor, storage->second, file, budget));
  }
  return tensors;
}

std::vector<TensorView> read_torch_file(const std::string& path) { return parse_torch_file(MappedFile::open(path)); }

std::vector<TensorView> read_torch_folder(const std::string& folder, std::vector<std::string>* missing) {
  const std::string single = folder + "/pytorch_model.bin";
  if (may_exist(single)) return read_torch_file(single);
  return read_shards(folder, "pytorch_model.bin.index.json", read_torch_file, missing);
}

}  // namespace powerhouse
