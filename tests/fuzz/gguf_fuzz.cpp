// Any bytes as a GGUF file: an Error or a file whose every view lies inside.
#include <cstdlib>

#include "formats/gguf_reader.h"
#include "fuzz_file.h"
#include "powerhouse/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = powerhouse::testing::fuzz_file(data, size);
  try {
    const auto gguf = powerhouse::GgufFile::parse(file);
    for (const auto& [key, value] : gguf->metadata()) {
      if (gguf->find(key) != &value) std::abort();
      try {
        gguf->numbers(key);
        gguf->integers(key);
        gguf->strings(key);
      } catch (const powerhouse::Error&) {
      }
    }
    for (const auto& tensor : gguf->tensors()) {
      if (tensor.data < file->bytes().data() || tensor.bytes > file->size() ||
          tensor.data + tensor.bytes > file->bytes().data() + file->size()) {
        std::abort();
      }
    }
  } catch (const powerhouse::Error&) {
  }
  return 0;
}
