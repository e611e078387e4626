// Completions from score's targets and from padded rows, their sums and means.
#include "powerhouse/completion_log_probs.h"

#include "training/losses/common.h"

namespace powerhouse {

std::vector<std::int64_t> completion_offsets(const TokenBatch& batch) {
  std::vector<std::int64_t> offsets{0};
  for (std::int64_t document = 0; document < batch.documents(); ++document) {
    const auto begin = batch.targets.begin() + batch.cu_seqlens[document];
    const auto end = batch.targets.begin() + batch.cu_seqlens[document + 1];
    offsets.push_back(offsets.back() + (end - begin) - std::count(begin, end, kIgnoredTarget));
  }
  return offsets;
}

CompletionLogProbs from_padded(const at::Tensor& log_probs, const at::Tensor& mask) {
  if (!log_probs.defined() || !mask.defined() || log_probs.dim() != 2 || mask.sizes() != log_probs.sizes() ||
      !log_probs.is_floating_point()) {
    throw Error(ErrorKind::usage, "log-probabilities and mask of different shapes",
                {.field = "from_padded", .expected = "floating and mask, both [completions, length]"});
  }
  const at::Tensor counted = mask.ne(0), lengths = counted.sum(1).to(at::kCPU);
  CompletionLogProbs result{.token_log_probs = log_probs.masked_select(counted)};
  for (std::int64_t i = 0; i < lengths.size(0); ++i) {
    result.cu_seqlens.push_back(result.cu_seqlens.back() + lengths[i].item<std::int64_t>());
  }
  return result;
}

PairLogProbs split_pairs(const CompletionLogProbs& completions) {
  losses::check_completions(completions, "completions");
  const std::int64_t pairs = completions.completions() / 2;
  if (completions.completions() % 2 != 0) {
    throw Error(ErrorKind::usage, "an odd number of completions makes no pairs",
                {.field = "completions", .found = std::to_string(completions.completions())});
  }
  const auto half = [&](std::int64_t first) {
    const std::vector<std::int64_t>& offsets = completions.cu_seqlens;
    const std::int64_t begin = offsets[first], tokens = offsets[first + pairs] - begin;
    const auto part = [&](const at::Tensor& values) {
      return values.defined() ? values.narrow(0, begin, tokens) : at::Tensor();
    };
    CompletionLogProbs result{.token_log_probs = part(completions.token_log_probs),
                              .entropy = part(completions.entropy),
                              .log_sum_sq_probs = part(completions.log_sum_sq_probs),
                              .mean_logits = part(completions.mean_logits),
                              .is_top1 = part(completions.is_top1)};
    for (std::int64_t i = first; i < first + pairs; ++i) {
      result.cu_seqlens.push_back(offsets[i + 1] - begin);
      if (!completions.lengths.empty()) result.lengths.push_back(completions.lengths[i]);
    }
    return result;
  };
  return {half(0), half(pairs)};
}

at::Tensor sums(const CompletionLogProbs& completions) {
  losses::check_completions(completions, "completions");
  return losses::segment_sums(completions.token_log_probs, completions.cu_seqlens);
}

at::Tensor means(const CompletionLogProbs& completions) {
  losses::check_completions(completions, "completions");
  return losses::finite_means(completions, "completions");
}

}  // namespace powerhouse
