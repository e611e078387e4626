// What losses share: sums over packed completions, checks of their inputs, and the end of each: a loss that is a
// number.
//
// Sums are taken in float64 and given back in the input's type (float32 for bf16 and f16), since a completion's
// log-probability is a few hundred nats of which differences of a hundredth matter.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/completion_log_probs.h"
#include "powerhouse/error.h"

namespace powerhouse::losses {

at::Tensor log_sigmoid(const at::Tensor& x);

/// float32 for bf16 and f16, else as it is.
at::Tensor wide(const at::Tensor& values);

/// On the device and in the type of `like`.
at::Tensor constant(const std::vector<double>& values, const at::Tensor& like);

/// Completions' lengths, in the type of `like`.
at::Tensor counts(const std::vector<std::int64_t>& cu_seqlens, const at::Tensor& like);

/// int64 [tokens]: the completion of each token.
at::Tensor segments(const std::vector<std::int64_t>& cu_seqlens, const at::Tensor& like);

/// Of [tokens] the sum of each completion, [completions].
at::Tensor segment_sums(const at::Tensor& values, const std::vector<std::int64_t>& cu_seqlens);

/// Error{usage} unless `tensor` is floating [size].
void check_vector(const at::Tensor& tensor, std::int64_t size, const std::string& field);

/// Error{usage} unless `mask` is undefined or bool [size].
void check_mask(const at::Tensor& mask, std::int64_t size, const std::string& field);

/// Error{usage} where offsets don't fit the tokens, or an optional tensor has another size.
void check_completions(const CompletionLogProbs& completions, const std::string& field);
void check_offsets(const std::vector<std::int64_t>& cu_seqlens, std::int64_t tokens, const std::string& field);

/// Error{usage} unless there are as many chosen as rejected completions, at least one each.
void check_pairs(const PairLogProbs& pairs);

/// means, or Error{numeric} that names the completion which is empty or not finite.
at::Tensor finite_means(const CompletionLogProbs& completions, const std::string& field);

/// Error{numeric} that names the first of [n] that is NaN or infinite.
void check_finite(const at::Tensor& values, const std::string& field);

/// Error{range} unless `good`.
void check_range(bool good, std::string_view field, std::string_view expected, double found);

/// The mean of a tensor as a metric; absent where that is NaN.
void add_metric(Metrics& metrics, std::string_view name, const at::Tensor& values);

/// The mean of `values` [tokens] over all tokens of completions, where they are given.
void add_entropy(Metrics& metrics, const std::vector<const CompletionLogProbs*>& completions);

/// entropy and logits/{chosen,rejected}, means over the tokens of completions, where they are given.
void add_pair_token_metrics(Metrics& metrics, const PairLogProbs& pairs);

/// rewards/{chosen,rejected,accuracies,margins} and logps/{chosen,rejected}.
void add_pair_metrics(Metrics& metrics, const PairSums& rewards, const PairSums& log_probs);

/// Error{numeric} where the loss is not finite.
LossResult finish(at::Tensor loss, Metrics metrics, std::string_view method);

/// Names of an enum, in a table of {name, value, ...}.
template <typename Table, typename Enum>
std::string_view name_in(const Table& table, Enum value) noexcept {
  for (const auto& row : table) {
    if (row.value == value) return row.name;
  }
  return "";
}

template <typename Table>
auto parse_name(const Table& table, std::string_view name, std::string_view field) {
  std::string names;
  for (const auto& row : table) {
    if (row.name == name) return row.value;
    (names += names.empty() ? "" : ", ") += row.name;
  }
  throw Error(ErrorKind::usage, "unknown name",
              {.field = std::string(field), .expected = names, .found = std::string(name)});
}

}  // namespace powerhouse::losses
