// Kullback-Leibler divergence of one model's predictions from another's, as `llama-perplexity --kl-divergence` has it,
// but from the reference's own logits, computed side by side: nothing is stored or rounded.
#include <algorithm>
#include <cmath>

#include "evaluation/chunk_divergence.h"
#include "evaluation/row_divergence.h"
#include "evaluation/scored_rows.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

struct Mean {
  double value = 0, error = 0;
};

template <typename Value>
Mean mean_of(const std::vector<RowDivergence>& rows, Value value) {
  double sum = 0, squares = 0;
  for (const RowDivergence& row : rows) sum += value(row);
  const auto count = static_cast<double>(rows.size());
  const double mean = sum / count;
  for (const RowDivergence& row : rows) squares += (value(row) - mean) * (value(row) - mean);
  return {mean, rows.size() > 1 ? std::sqrt(squares / count / (count - 1)) : 0};
}

double quantile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

DivergenceResult summary(const std::vector<RowDivergence>& rows, std::int64_t chunks) {
  LikelihoodSums reference, model;
  std::vector<double> sorted;
  sorted.reserve(rows.size());
  for (const RowDivergence& row : rows) {
    reference.add(row.reference_nll);
    model.add(row.nll);
    sorted.push_back(row.divergence);
  }
  std::sort(sorted.begin(), sorted.end());
  const Mean divergence = mean_of(rows, [](const RowDivergence& row) { return row.divergence; });
  const Mean top = mean_of(rows, [](const RowDivergence& row) { return row.same_top ? 1.0 : 0.0; });
  const Mean lost = mean_of(rows, [](const RowDivergence& row) { return row.nll - row.reference_nll; });
  return {.reference = reference.result(chunks),
          .model = model.result(chunks),
          .mean = divergence.value,
          .standard_error = divergence.error,
          .median = quantile(sorted, 0.5),
          .percentile_99 = quantile(sorted, 0.99),
          .maximum = sorted.back(),
          .same_top = top.value,
          .same_top_error = top.error,
          .log_perplexity_ratio = lost.value,
          .log_perplexity_ratio_error = lost.error};
}

}  // namespace

DivergenceResult chunk_divergence(const CausalLM& reference, const SessionOptions& reference_options,
                                  const CausalLM& model, const SessionOptions& options, const TextChunks& chunks,
                                  const std::function<void(std::int64_t, std::int64_t, double)>& on_progress) {
  if (reference.config().vocab_size != model.config().vocab_size) {
    throw Error(ErrorKind::unsupported, "the models have different vocabularies",
                {.field = "vocab_size",
                 .expected = std::to_string(reference.config().vocab_size),
                 .found = std::to_string(model.config().vocab_size)});
  }
  std::vector<RowDivergence> rows;
  rows.reserve(static_cast<std::size_t>(chunks.size() * (chunks.context() / 2)));
  double sum = 0;
  for (std::int64_t index = 0; index < chunks.size(); ++index) {
    const std::vector<std::int64_t> chunk = chunks.at(index);
    ScoredRows ours(model, options, chunk), theirs(reference, reference_options, chunk);
    for (at::Tensor logits = ours.next(); logits.defined(); logits = ours.next()) {
      const at::Tensor expected = theirs.next();
      const std::size_t first = rows.size();
      const std::int64_t width = logits.size(1);
      rows.resize(first + ours.targets().size());
      parallel_for(logits.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          rows[first + static_cast<std::size_t>(i)] =
              row_divergence(expected.const_data_ptr<float>() + i * width, logits.const_data_ptr<float>() + i * width,
                             width, ours.targets()[static_cast<std::size_t>(i)]);
        }
      });
      for (std::size_t i = first; i < rows.size(); ++i) sum += rows[i].divergence;
    }
    if (on_progress) on_progress(index + 1, chunks.size(), sum / static_cast<double>(rows.size()));
  }
  return summary(rows, chunks.size());
}

DivergenceResult divergence(const CausalLM& reference, const CausalLM& model, const Tokenizer& tokenizer,
                            std::string_view text, const PerplexityOptions& options) {
  const TextChunks chunks(tokenizer, text, options.context, std::min(longest_chunk(reference), longest_chunk(model)));
  return chunk_divergence(reference, {}, model, {.kv_type = options.kv_type, .value_type = options.value_type}, chunks,
                          options.on_progress);
}

}  // namespace powerhouse
