#include "formats/zip_directory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::uint32_t kEntry = 0x04034b50, kDirectoryEntry = 0x02014b50;
constexpr std::uint32_t kEnd = 0x06054b50, kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr std::size_t kEntrySize = 30, kDirectoryEntrySize = 46, kEndSize = 22, kEnd64Size = 56, kLocatorSize = 20;
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::size_t kLongestComment = 65535;

class Reader {
 public:
  explicit Reader(const MappedFile& file) : file_(file), bytes_(file.bytes()) {}

  [[noreturn]] void fail(std::string_view message, std::string field = "ZIP directory") const {
    throw Error(ErrorKind::format, message, {.file = file_.path(), .field = std::move(field)});
  }
  std::span<const std::byte> slice(std::uint64_t at, std::uint64_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) fail("the file ends too early");
    return bytes_.subspan(at, size);
  }
  template <typename T>
  T number(std::uint64_t at) const {
    T value{};
    std::memcpy(&value, slice(at, sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::size_t size() const { return bytes_.size(); }

 private:
  const MappedFile& file_;
  std::span<const std::byte> bytes_;
};

struct Directory {
  std::uint64_t offset = 0, entries = 0;
};

Directory find_directory(const Reader& in) {
  if (in.size() < kEndSize) in.fail("not a ZIP file");
  std::uint64_t end = in.size() - kEndSize;
  const std::uint64_t first = end > kLongestComment ? end - kLongestComment : 0;
  while (in.number<std::uint32_t>(end) != kEnd) {
    if (end == first) in.fail("not a ZIP file, or cut short: its directory is missing at the end");
    --end;
  }
  Directory out{in.number<std::uint32_t>(end + 16), in.number<std::uint16_t>(end + 10)};
  if (out.offset != 0xFFFFFFFF && out.entries != 0xFFFF) return out;
  if (end < kLocatorSize || in.number<std::uint32_t>(end - kLocatorSize) != kLocator64) return out;
  const auto end64 = in.number<std::uint64_t>(end - kLocatorSize + 8);
  in.slice(end64, kEnd64Size);
  if (in.number<std::uint32_t>(end64) != kEnd64) in.fail("a broken ZIP64 directory");
  return {in.number<std::uint64_t>(end64 + 48), in.number<std::uint64_t>(end64 + 32)};
}

// Sizes and offsets that do not fit 32 bits stand in an extra field, in this order, those alone.
void read_zip64(const Reader& in, std::uint64_t at, std::uint64_t size, std::span<std::uint64_t* const> values) {
  while (size >= 4) {
    const auto id = in.number<std::uint16_t>(at);
    const std::uint64_t length = in.number<std::uint16_t>(at + 2);
    if (length > size - 4) in.fail("a broken extra field");
    if (id == kZip64Extra) {
      std::uint64_t from = at + 4;
      for (std::uint64_t* value : values) {
        if (*value != 0xFFFFFFFF) continue;
        if (from + 8 > at + 4 + length) in.fail("a broken ZIP64 field");
        *value = in.number<std::uint64_t>(from);
        from += 8;
      }
      return;
    }
    at += 4 + length;
    size -= 4 + length;
  }
}

// Where an entry lies, with its header.
struct Extent {
  std::uint64_t begin = 0, end = 0;
};

void check_apart(const Reader& in, std::vector<Extent> extents) {
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].begin < extents[i - 1].end) in.fail("two entries overlap");
  }
}

}  // namespace

std::map<std::string, std::span<const std::byte>> read_zip_directory(const std::shared_ptr<const MappedFile>& file) {
  const Reader in(*file);
  const Directory directory = find_directory(in);
  std::map<std::string, std::span<const std::byte>> entries;
  std::vector<Extent> extents;
  std::uint64_t at = directory.offset;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    in.slice(at, kDirectoryEntrySize);
    if (in.number<std::uint32_t>(at) != kDirectoryEntry) in.fail("a broken ZIP directory");
    const std::uint64_t name_size = in.number<std::uint16_t>(at + 28);
    const std::uint64_t extra_size = in.number<std::uint16_t>(at + 30);
    const std::uint64_t comment_size = in.number<std::uint16_t>(at + 32);
    const auto name_bytes = in.slice(at + kDirectoryEntrySize, name_size);
    const std::string name(reinterpret_cast<const char*>(name_bytes.data()), name_bytes.size());
    std::uint64_t stored = in.number<std::uint32_t>(at + 20);
    std::uint64_t size = in.number<std::uint32_t>(at + 24);
    std::uint64_t offset = in.number<std::uint32_t>(at + 42);
    std::uint64_t* const wide[] = {&size, &stored, &offset};
    read_zip64(in, at + kDirectoryEntrySize + name_size, extra_size, wide);
    if (in.number<std::uint16_t>(at + 10) != 0 || (in.number<std::uint16_t>(at + 8) & 1) != 0) {
      throw Error(ErrorKind::unsupported, "a compressed or encrypted entry: torch.save stores them as they are",
                  {.file = file->path(), .field = name});
    }
    if (stored != size) in.fail("a stored entry of two sizes", name);
    in.slice(offset, kEntrySize);
    if (in.number<std::uint32_t>(offset) != kEntry) in.fail("no entry where the directory says", name);
    const std::uint64_t begin =
        offset + kEntrySize + in.number<std::uint16_t>(offset + 26) + in.number<std::uint16_t>(offset + 28);
    if (!entries.emplace(name, in.slice(begin, size)).second) in.fail("a name stands twice", name);
    extents.push_back({offset, begin + size});
    at += kDirectoryEntrySize + name_size + extra_size + comment_size;
  }
  extents.push_back({directory.offset, at});
  check_apart(in, std::move(extents));
  return entries;
}

}  // namespace powerhouse
