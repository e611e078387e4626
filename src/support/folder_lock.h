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
  /// Makes the folder where it is not there. Error{usage} where another run has it (`field` is for the Error),
  /// Error{io} where it can't be made. File systems without locks do without.
  void take(const std::string& folder, const std::string& field = "");

 private:
  int fd_ = -1;
};

}  // namespace powerhouse
