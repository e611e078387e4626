// Any bytes as a safetensors file: an Error or a file whose tensors tile the data.
#include <cstdlib>

#include "formats/safetensors.h"
#include "fuzz_file.h"
#include "powerhouse/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = powerhouse::testing::fuzz_file(data, size);
  try {
    const auto parsed = powerhouse::parse_safetensors(file);
    std::size_t total = 0;
    for (const auto& tensor : parsed.tensors) total += tensor.bytes;
    if (total > size) std::abort();
  } catch (const powerhouse::Error&) {
  }
  return 0;
}
