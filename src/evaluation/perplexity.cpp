// Perplexity by llama.cpp's protocol, so that figures compare with `llama-perplexity`.
#include "evaluation/scored_rows.h"
#include "evaluation/text_chunks.h"
#include "powerhouse/evaluation.h"

namespace powerhouse {

PerplexityResult perplexity(const CausalLM& model, const Tokenizer& tokenizer, std::string_view text,
                            const PerplexityOptions& options) {
  const TextChunks chunks(tokenizer, text, options.context, longest_chunk(model));
  LikelihoodSums sums;
  for (std::int64_t index = 0; index < chunks.size(); ++index) {
    const std::vector<std::int64_t> chunk = chunks.at(index);
    ScoredRows rows(model, {.kv_type = options.kv_type, .value_type = options.value_type}, chunk);
    for (at::Tensor logits = rows.next(); logits.defined(); logits = rows.next()) {
      const at::Tensor normalizers = logits.logsumexp(-1).contiguous();
      const auto* normalizer = normalizers.const_data_ptr<float>();
      const auto* values = logits.const_data_ptr<float>();
      for (std::size_t i = 0; i < rows.targets().size(); ++i) {
        const std::int64_t at = static_cast<std::int64_t>(i) * logits.size(1) + rows.targets()[i];
        sums.add(double{normalizer[i]} - double{values[at]});
      }
    }
    if (options.on_progress) options.on_progress(index + 1, chunks.size(), sums.perplexity());
  }
  return sums.result(chunks.size());
}

}  // namespace powerhouse
