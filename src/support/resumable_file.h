// ResumableFile: a large file written in items, each at its own place, that goes on after a kill where it stopped.
//
// Bytes go to `<path>.partial`; what is finished stands in a journal beside it, `<path>.partial.journal`: first the
// identity of what is being made (of what, by which options), then a line an item with its place and checksum, written
// only after the item's bytes have reached the disk. Nothing stands under the final name before commit().
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace powerhouse {

class ResumableFile {
 public:
  /// What one call to finish() said.
  struct Item {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::uint32_t checksum = 0;  // crc32c
    std::string note{};
  };

  /// Opens the partial file, whose final size is `bytes`, and takes that room on the disk at once. Where one is there
  /// already with the same identity (any text), the items that are whole on disk are finished(); any other is begun
  /// anew. Error{usage} where another process is at it or `path` is no regular file; Error{io} where the folder can't
  /// be written or the disk is too small. Without `resume` it is begun anew in any case.
  ResumableFile(std::string path, const std::string& identity, std::uint64_t bytes, bool resume = true);
  ResumableFile(const ResumableFile&) = delete;
  ResumableFile& operator=(const ResumableFile&) = delete;
  /// Leaves the partial file and its journal for another time, unless discard() or commit() was called.
  ~ResumableFile();

  /// By name.
  const std::map<std::string, Item>& finished() const { return finished_; }

  void write(std::uint64_t offset, std::span<const std::byte> bytes);
  /// The item is written. Its line reaches the journal within a second or two, once its bytes are on disk.
  void finish(const std::string& name, const Item& item);

  /// Where the bytes are until then.
  const std::string& partial() const { return partial_; }
  /// Brings all to disk, renames the file onto its final name and removes the journal.
  void commit();
  /// Removes the partial file and the journal.
  void discard() noexcept;

 private:
  void open();
  bool read_journal(const std::string& identity);
  void begin_journal(const std::string& identity);
  void flush();

  std::string path_, partial_, journal_;
  std::uint64_t bytes_;
  int fd_ = -1;
  int journal_fd_ = -1;
  std::string pending_{};  // lines whose items may not be on disk yet
  std::chrono::steady_clock::time_point flushed_ = std::chrono::steady_clock::now();
  std::map<std::string, Item> finished_{};
};

}  // namespace powerhouse
