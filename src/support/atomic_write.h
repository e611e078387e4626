// AtomicFile: written under a temporary name beside the target and renamed at the end, so that a full disk or a crash
// leaves the old file (or none), never half of a new one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace powerhouse {

class AtomicFile {
 public:
  /// Opens `<path>.partial-<pid>-<n>`. Throws Error{io}.
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();  // removes the temporary file unless commit() succeeded

  void write(const void* data, std::size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Flushes to disk and renames onto the target.
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  int fd_ = -1;
};

/// The whole file in one call.
void write_atomically(const std::string& path, std::string_view text);

}  // namespace powerhouse
