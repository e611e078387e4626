// AtomicFile: written under a temporary name beside the target and renamed at the end, so that a full disk or a crash
// leaves the old file (or none), never half of a new one. A link stays a link and permissions stay as they were. What
// is no file (a pipe, a device) is written to directly: there is nothing to replace.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace powerhouse {

class AtomicFile {
 public:
  /// Opens `<target>.partial-<pid>-<n>`. Throws Error{io}.
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();  // removes the temporary file unless commit() succeeded

  void write(const void* data, std::size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Where the bytes are until then; empty where the target is written to directly.
  const std::string& temporary() const { return temporary_; }
  /// Flushes to disk and renames onto the target.
  void commit();

 private:
  std::string path_;
  std::string target_;     // where path_ leads
  std::string temporary_;  // empty where the target is written to directly
  int fd_ = -1;
};

/// The whole file in one call.
void write_atomically(const std::string& path, std::string_view text);

}  // namespace powerhouse
