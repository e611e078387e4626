#include "text/same_vocabulary.h"

#include <algorithm>

#include "powerhouse/error.h"
#include "support/utf8.h"
#include "text/tokenizer_impl.h"

namespace powerhouse {

void check_same_vocabulary(const Tokenizer& reference, const Tokenizer& tokenizer, const std::string& model) {
  const auto count = static_cast<std::int64_t>(std::min(reference.vocab_size(), tokenizer.vocab_size()));
  const auto shown = [](std::string_view token, std::int64_t id) {
    std::string text = "token " + std::to_string(id) + ": ";
    append_printable(text, token);
    return text;
  };
  for (std::int64_t id = 0; id < count; ++id) {
    if (!reference.impl().contains(id) || !tokenizer.impl().contains(id)) continue;
    const std::string_view expected = reference.impl().text(id), found = tokenizer.impl().text(id);
    if (expected == found) continue;
    throw Error(ErrorKind::unsupported, "the models have different vocabularies",
                {.file = model,
                 .field = "vocabulary",
                 .expected = shown(expected, id),
                 .found = std::string(shown(found, id))});
  }
}

}  // namespace powerhouse
