#include "evaluation/text_chunks.h"

#include "model/causal_lm_impl.h"
#include "powerhouse/error.h"
#include "text/leading_bos.h"

namespace powerhouse {

TextChunks::TextChunks(const Tokenizer& tokenizer, std::string_view text, std::int64_t context, std::int64_t longest)
    : context_(context) {
  if (context < 4 || context % 2 != 0 || context > longest) {
    throw Error(
        ErrorKind::range, "context out of range",
        {.field = "context", .expected = "even, 4 to " + std::to_string(longest), .found = std::to_string(context)});
  }
  ids_ = tokenizer.encode(text);
  if (size() < 2) {
    throw Error(ErrorKind::range, "the text is too short",
                {.field = "text",
                 .expected = "at least " + std::to_string(2 * context) + " tokens",
                 .found = std::to_string(ids_.size())});
  }
  bos_ = leading_bos(tokenizer);
}

std::vector<std::int64_t> TextChunks::at(std::int64_t index) const {
  const auto begin = ids_.begin() + index * context_;
  std::vector<std::int64_t> chunk(begin, begin + context_);
  if (bos_) chunk.front() = *bos_;
  return chunk;
}

std::int64_t longest_chunk(const CausalLM& model) {
  return longest_sequence(model.config()) - model.impl().virtual_tokens();
}

}  // namespace powerhouse
