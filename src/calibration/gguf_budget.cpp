#include "calibration/gguf_budget.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "calibration/gguf_types.h"
#include "calibration/sensitivity.h"
#include "kernels/reference/encode.h"
#include "powerhouse/error.h"
#include "quantization/budget.h"
#include "quantization/file_quantizer.h"

namespace powerhouse {
namespace {

using F = BlockFormat;

constexpr F kCandidates[] = {F::iq1_s, F::iq1_m, F::iq2_xxs, F::iq2_xs, F::iq2_s, F::q2_k, F::iq3_xxs,
                             F::iq3_s, F::q3_k,  F::iq4_xs,  F::q4_k,   F::q5_k,  F::q6_k, F::iq4_nl,
                             F::q4_0,  F::q4_1,  F::q5_0,    F::q5_1,   F::q8_0};
constexpr std::int64_t kSampledRows = 128;
constexpr double kNearest = 0.5;  // of the bits wanted, a type's at least and, the other way round, at most
constexpr std::int64_t kProbeSequences = 4;
constexpr std::size_t kProbeLength = 64;
constexpr std::uint64_t kAlignment = 32;

double bits(F format) { return 8.0 * block_info(format).block_bytes / block_info(format).block_elements; }

std::int64_t weights_of(const SourceTensor& tensor) { return tensor.row_count() * tensor.columns(); }

// Few tokens are enough: a divergence is a mean over their whole vocabulary.
TokenSequences probe_sequences(const TokenSequences& sequences) {
  TokenSequences out;
  const auto all = static_cast<std::int64_t>(sequences.size());
  const std::int64_t count = std::min(kProbeSequences, all);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto& from = sequences[static_cast<std::size_t>(i * all / count)];
    out.emplace_back(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(std::min(kProbeLength, from.size())));
  }
  return out;
}

bool takes(const SourceTensor& tensor, F format, bool weighed) {
  if (tensor.columns() % block_info(format).block_elements != 0) return false;
  return weighed || !(needs_importance(format) || is_useless_unweighed(format));
}

std::vector<F> candidates(const BudgetOptions& options) {
  std::vector<F> out;
  for (const std::string& name : options.types) out.push_back(format_named(name, "budget.types"));
  return out.empty() ? std::vector<F>(std::begin(kCandidates), std::end(kCandidates)) : out;
}

// Those of a size near what is wanted, for to try all takes long; the smallest where none is near.
std::vector<F> formats_for(const SourceTensor& tensor, const BudgetOptions& options, double wanted, bool weighed) {
  std::vector<F> possible;
  for (const F format : candidates(options)) {
    if (takes(tensor, format, weighed)) possible.push_back(format);
  }
  if (!options.types.empty()) return possible;
  std::vector<F> near;
  for (const F format : possible) {
    if (bits(format) >= kNearest * wanted && bits(format) <= wanted / kNearest) near.push_back(format);
  }
  const auto smallest = std::min_element(possible.begin(), possible.end(), [](F a, F b) { return bits(a) < bits(b); });
  if (near.empty() && smallest != possible.end()) near.push_back(*smallest);
  return near;
}

int file_type_of(const SourceModel& source, const std::vector<F>& formats) {
  std::map<F, std::int64_t> weights;
  for (std::size_t i = 0; i < formats.size(); ++i) weights[formats[i]] += weights_of(source.tensors[i]);
  const auto most = std::max_element(weights.begin(), weights.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  int found = source.file_type;
  for (const Mix& mix : mixes()) {
    if (most == weights.end() || mix.format != most->first) continue;
    found = mix.file_type;
    if (std::string_view(mix.name).ends_with("_M")) break;
  }
  return found;
}

}  // namespace

void check_budget(const BudgetOptions& budget) {
  if (budget.bits_per_weight > 0 || budget.max_bytes > 0) return;
  throw Error(ErrorKind::usage, "a budget needs a size",
              {.field = "budget", .expected = "bits_per_weight or max_bytes", .found = "neither"});
}

BudgetedMix budgeted_mix(const SourceModel& source, const TokenSequences& sequences, const ImportanceMatrix& importance,
                         std::uint64_t header_bytes, const QuantizationOptions& options) {
  std::int64_t weights = 0;
  for (const SourceTensor& tensor : source.tensors) weights += weights_of(tensor);
  const BudgetOptions& budget = options.budget;
  const bool by_file = budget.max_bytes > 0;
  const auto room = by_file ? budget.max_bytes - std::min(budget.max_bytes, header_bytes)
                            : static_cast<std::uint64_t>(budget.bits_per_weight * static_cast<double>(weights) / 8);
  const double wanted = 8.0 * static_cast<double>(room) / static_cast<double>(std::max<std::int64_t>(1, weights));
  const std::map<std::string, double> costs =
      divergence_per_error(source.path, probe_sequences(sequences), importance, nullptr, options.cancel);

  std::vector<BudgetItem> items;
  for (const SourceTensor& tensor : source.tensors) {
    if (options.cancel.stop_requested()) throw Error(ErrorKind::cancelled, "quantization was cancelled");
    const auto size = [&](F format) {
      const std::uint64_t bytes = quantized_bytes(format, tensor.row_count(), tensor.columns());
      return by_file ? (bytes + kAlignment - 1) / kAlignment * kAlignment : bytes;
    };
    BudgetItem item{.name = tensor.name, .choices = {{.format = tensor.format, .bytes = size(tensor.format)}}};
    const auto cost = costs.find(tensor.name);
    if (cost != costs.end() && is_quantizable({.name = tensor.name, .shape = tensor.shape})) {
      const std::vector<float> weigh = importance_of(&importance, tensor);
      for (const F format : formats_for(tensor, budget, wanted, !weigh.empty())) {
        item.choices.push_back({.format = format,
                                .bytes = size(format),
                                .cost = cost->second * sampled_error(tensor, format, weigh, kSampledRows)});
      }
    }
    items.push_back(std::move(item));
  }
  BudgetedMix mix;
  const std::vector<std::size_t> chosen = allocate(items, room);
  for (std::size_t i = 0; i < items.size(); ++i) {
    mix.formats.push_back(items[i].choices[chosen[i]].format);
    mix.costs.push_back(items[i].choices[chosen[i]].cost);
  }
  mix.file_type = file_type_of(source, mix.formats);
  return mix;
}

}  // namespace powerhouse
