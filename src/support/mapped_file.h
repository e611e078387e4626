// MappedFile: a file as read-only bytes, shared by every view into it; or bytes in memory in its place.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace powerhouse {

class MappedFile {
 public:
  /// Maps a regular file. Throws Error{not_found} or Error{io}; a folder, pipe or device is Error{io}. Empty files map
  /// to no bytes; what to make of that is the parser's affair.
  static std::shared_ptr<const MappedFile> open(const std::string& path);

  /// Bytes put together in memory, for what does not lie in a file as it is wanted. `path` is the file for errors.
  static std::shared_ptr<const MappedFile> in_memory(std::string path, std::vector<std::byte> bytes);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::string& path() const noexcept { return path_; }
  bool is_in_memory() const noexcept { return !memory_.empty(); }
  std::size_t size() const noexcept { return size_; }
  std::span<const std::byte> bytes() const noexcept { return {static_cast<const std::byte*>(data_), size_}; }
  std::string_view text() const noexcept { return {static_cast<const char*>(data_), size_}; }

  /// Tells the system that these bytes are not needed soon: their pages leave our resident size and are read again on
  /// the next touch. `data` must lie in this mapping. Does nothing for bytes in memory.
  void release(const void* data, std::size_t size) const noexcept;

 private:
  MappedFile(std::string path, void* data, std::size_t size) : path_(std::move(path)), data_(data), size_(size) {}

  std::string path_;
  void* data_;
  std::size_t size_;
  std::vector<std::byte> memory_{};  // in the place of a mapping
};

/// Whether something stands at `path`; true also where the system will not say, so that opening it tells the reason.
bool may_exist(const std::string& path);

/// The whole text of a file, a pipe or a device such as /dev/stdin. Throws Error{not_found} or Error{io}; more than
/// `max_bytes` is Error{range}.
std::string read_text(const std::string& path, std::size_t max_bytes = std::size_t{1} << 32);

}  // namespace powerhouse
