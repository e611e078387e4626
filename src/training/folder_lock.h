// One run a folder: of two, each would replace what the other leaves.
#pragma once

#include <string>

namespace powerhouse {

/// Keeps other runs out of a folder; it goes with the process, however that ends.
class FolderLock {
 public:
  FolderLock() = default;
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();
  /// Error{usage} where another run has it. File systems without locks do without.
  void take(const std::string& folder);

 private:
  int fd_ = -1;
};

}  // namespace powerhouse
