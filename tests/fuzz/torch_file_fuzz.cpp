// Any bytes as a file of torch.save, and as the pickle inside one: an Error, or tensors within their storages.
#include <cstdlib>

#include "formats/pickle.h"
#include "formats/torch_file.h"
#include "fuzz_file.h"
#include "powerhouse/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = powerhouse::testing::fuzz_file(data, size);
  try {
    for (const auto& tensor : powerhouse::parse_torch_file(file)) {
      if (tensor.bytes > size + (1 << 20)) std::abort();
      if (tensor.bytes > 0) (void)*static_cast<const volatile std::byte*>(tensor.data + tensor.bytes - 1);
    }
  } catch (const powerhouse::Error&) {
  }
  try {
    powerhouse::read_pickled_tensors(file->bytes(), "data.pkl");
  } catch (const powerhouse::Error&) {
  }
  return 0;
}
