#include "text/spellings.h"

#include <cstdio>

namespace powerhouse {

std::array<std::int32_t, 256> find_byte_tokens(const Vocabulary& vocabulary) {
  std::array<std::int32_t, 256> ids{};
  for (std::size_t byte = 0; byte < ids.size(); ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(byte));
    ids[byte] = vocabulary.find(name).value_or(-1);
  }
  return ids;
}

}  // namespace powerhouse
