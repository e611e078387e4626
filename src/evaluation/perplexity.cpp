// Perplexity by llama.cpp's protocol, so that figures compare with `llama-perplexity`.
#include <ATen/core/Tensor.h>

#include <cmath>

#include "model/causal_lm_impl.h"
#include "powerhouse/error.h"
#include "powerhouse/evaluation.h"
#include "powerhouse/session.h"

namespace powerhouse {
namespace {

// Logits of this many rows are held at once, whatever the context.
constexpr std::int64_t kRowsAtOnce = 256;

struct Sums {
  double nll = 0;
  double squares = 0;
  std::int64_t count = 0;

  double mean() const { return nll / static_cast<double>(count); }
};

// Scores tokens first + 1 .. context - 1 of a chunk, each given all before it.
void score_chunk(const CausalLM& model, KvType kv_type, std::span<const std::int64_t> chunk, std::int64_t first,
                 Sums& sums) {
  Session session(model, {.kv_type = kv_type});
  const SequenceId sequence = session.create();
  const auto context = static_cast<std::int64_t>(chunk.size());
  session.forward(sequence, chunk.first(static_cast<std::size_t>(first)), LogitsOf::none);
  for (std::int64_t row = first; row < context - 1; row += kRowsAtOnce) {
    const std::int64_t rows = std::min(kRowsAtOnce, context - 1 - row);
    const at::Tensor logits = session.forward(
        sequence, chunk.subspan(static_cast<std::size_t>(row), static_cast<std::size_t>(rows)), LogitsOf::all);
    const at::Tensor normalizers = logits.logsumexp(-1).contiguous();
    const auto* normalizer = normalizers.const_data_ptr<float>();
    const auto* values = logits.const_data_ptr<float>();
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t target = chunk[static_cast<std::size_t>(row + i + 1)];
      const double nll = double{normalizer[i]} - double{values[i * logits.size(1) + target]};
      sums.nll += nll;
      sums.squares += nll * nll;
      ++sums.count;
    }
  }
}

}  // namespace

PerplexityResult perplexity(const CausalLM& model, const Tokenizer& tokenizer, std::string_view text,
                            const PerplexityOptions& options) {
  const std::int64_t context = options.context;
  const std::int64_t longest = longest_sequence(model.config()) - model.impl().virtual_tokens();
  if (context < 4 || context % 2 != 0 || context > longest) {
    throw Error(
        ErrorKind::range, "context out of range",
        {.field = "context", .expected = "even, 4 to " + std::to_string(longest), .found = std::to_string(context)});
  }
  const std::vector<std::int64_t> ids = tokenizer.encode(text);
  const std::int64_t chunks = static_cast<std::int64_t>(ids.size()) / context;
  if (chunks < 2) {
    throw Error(ErrorKind::range, "the text is too short",
                {.field = "text",
                 .expected = "at least " + std::to_string(2 * context) + " tokens",
                 .found = std::to_string(ids.size())});
  }
  // Where the tokenizer begins a text with BOS, every chunk begins with it.
  const auto bos = tokenizer.bos_token_id();
  const std::vector<std::int64_t> empty = tokenizer.encode("");
  const bool add_bos = bos && !empty.empty() && empty.front() == *bos;

  Sums sums;
  for (std::int64_t index = 0; index < chunks; ++index) {
    const auto begin = ids.begin() + index * context;
    std::vector<std::int64_t> chunk(begin, begin + context);
    if (add_bos) chunk.front() = *bos;
    score_chunk(model, options.kv_type, chunk, context / 2, sums);
    if (options.on_progress) options.on_progress(index + 1, chunks, std::exp(sums.mean()));
  }
  const double variance = sums.squares / static_cast<double>(sums.count) - sums.mean() * sums.mean();
  const double value = std::exp(sums.mean());
  return {.perplexity = value,
          .standard_error = variance > 0 ? value * std::sqrt(variance / static_cast<double>(sums.count - 1)) : 0,
          .negative_log_likelihood = sums.mean(),
          .tokens = sums.count,
          .chunks = chunks};
}

}  // namespace powerhouse
