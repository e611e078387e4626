// TextSource: the texts that a tokenizer is trained on, batch by batch, so that a corpus of any size passes through a
// few megabytes. Files give their lines, each with its line feed, as the trainers of `tokenizers` read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace powerhouse {

/// Texts with the bytes they lie in, and where these came from.
struct TextBatch {
  struct Origin {
    std::size_t start;     // in `bytes`
    std::string name;      // a file, or "text 17"
    std::uint64_t offset;  // of `start` in it
  };
  std::string bytes;
  std::vector<std::string_view> texts;
  std::vector<Origin> origins;  // ascending

  void clear();
  /// Error{format} that names the file and the byte `at` of `text`, one of this batch.
  [[noreturn]] void refuse_utf8(std::string_view text, std::size_t at) const;
};

class TextSource {
 public:
  virtual ~TextSource() = default;
  /// Fills a batch of about `size` bytes; false at the end. One line (or text) is never cut.
  virtual bool next(TextBatch& batch, std::size_t size) = 0;
};

/// The lines of files, one after another. Error{usage} without files, Error{not_found, io} for one that can't be read:
/// all are looked at before the first is read.
class FileLines final : public TextSource {
 public:
  explicit FileLines(std::vector<std::string> files);
  FileLines(const FileLines&) = delete;
  FileLines& operator=(const FileLines&) = delete;
  ~FileLines() override;
  bool next(TextBatch& batch, std::size_t size) override;

 private:
  bool fill(TextBatch& batch, std::size_t size);

  std::vector<std::string> files_;
  std::size_t file_ = 0;  // the one being read, or to be opened next
  int fd_ = -1;
  std::uint64_t offset_ = 0;  // of the next byte to be taken into a batch
  std::string rest_;          // the start of a line that the next batch completes
};

/// Texts from a callback that gives nothing at the end.
class CallbackTexts final : public TextSource {
 public:
  using Next = std::function<std::optional<std::string>()>;
  explicit CallbackTexts(Next next) : next_(std::move(next)) {}
  bool next(TextBatch& batch, std::size_t size) override;

 private:
  Next next_;
  std::uint64_t given_ = 0;
  bool done_ = false;
};

}  // namespace powerhouse
