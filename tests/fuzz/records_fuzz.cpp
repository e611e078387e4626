// Any bytes as a file of training data: an Error, or rows that lie in order and read without a crash. The first byte
// picks the format.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "training/data/record_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace powerhouse;
  if (size == 0) return 0;
  const int descriptor = ::memfd_create("fuzz", 0);
  if (descriptor < 0 || ::write(descriptor, data + 1, size - 1) != static_cast<ssize_t>(size - 1)) std::abort();
  DatasetSource source{.path = "/proc/self/fd/" + std::to_string(descriptor)};
  constexpr const char* kFormats[] = {"jsonl", "json", "csv", "text", "text", "text"};
  constexpr TextDocuments kDocuments[] = {TextDocuments::file, TextDocuments::blank_lines, TextDocuments::lines};
  source.format = kFormats[data[0] % 6];
  source.text_documents = kDocuments[data[0] % 3];
  try {
    const auto file = training::RecordFile::open(source);
    std::int64_t line = 0;
    for (std::int64_t row = 0; row < file->rows(); ++row) {
      if (file->line(row) < line) std::abort();
      line = file->line(row);
      try {
        if (!file->read(row).columns.is_object()) std::abort();
      } catch (const Error& error) {
        if (std::string(error.what()).find("line ") == std::string::npos) std::abort();
      }
    }
  } catch (const Error&) {
  }
  ::close(descriptor);
  return 0;
}
