#include "training/preference_method.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include "powerhouse/error.h"
#include "support/number_text.h"

namespace powerhouse {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

PairSums halves(const at::Tensor& sums) {
  const std::int64_t pairs = sums.size(0) / 2;
  return {sums.narrow(0, 0, pairs), sums.narrow(0, pairs, pairs)};
}

at::Tensor no_tokens(const CompletionScores& scores) { return scores.completions.token_log_probs.narrow(0, 0, 0); }

at::Tensor sums_without_gradients(const CausalLM& model, const CompletionBatch& batch, const ScoreOptions& options) {
  const c10::AutoGradMode no_gradients(false);
  return sums(score(model, batch, options).completions);
}

}  // namespace

PreferenceMethod::PreferenceMethod(PreferenceOptions options, bool share_prompts)
    : options_(std::move(options)), share_prompts_(share_prompts) {
  std::visit([](const auto& own) { check(own); }, options_);
  const auto* dpo = std::get_if<DpoOptions>(&options_);
  if (dpo != nullptr && dpo->use_weighting) {
    throw Error(ErrorKind::unsupported, "needs the sum of squares of each token's distribution, which is not scored",
                {.field = "use_weighting"});
  }
}

bool PreferenceMethod::has_reference() const {
  return std::holds_alternative<DpoOptions>(options_) || std::holds_alternative<KtoOptions>(options_);
}

bool PreferenceMethod::has_mismatched() const {
  const auto* kto = std::get_if<KtoOptions>(&options_);
  return kto != nullptr && kto->loss_type == KtoLossType::kto;
}

std::string PreferenceMethod::description() const {
  return std::visit(Overloaded{[](const DpoOptions& own) {
                                 std::string types;
                                 for (const DpoLossType type : own.loss_type) {
                                   types += (types.empty() ? "" : " + ") + std::string(to_string(type));
                                 }
                                 return "dpo (" + types + "), beta " + number_text(own.beta);
                               },
                               [](const OrpoOptions& own) { return "orpo, beta " + number_text(own.beta); },
                               [](const KtoOptions& own) {
                                 return "kto (" + std::string(to_string(own.loss_type)) + "), beta " +
                                        number_text(own.beta) + ", weights " + number_text(own.desirable_weight) +
                                        " and " + number_text(own.undesirable_weight);
                               },
                               [](const CpoOptions& own) {
                                 return "cpo (" + std::string(to_string(own.loss_type)) + "), beta " +
                                        number_text(own.beta);
                               }},
                    options_);
}

std::string PreferenceMethod::reference_key() const {
  const auto* dpo = std::get_if<DpoOptions>(&options_);
  if (dpo != nullptr) return "pairs" + (dpo->ld_alpha ? " ld_alpha " + number_text(*dpo->ld_alpha) : std::string());
  return has_mismatched() ? "completions, mismatched" : "completions";
}

PreferenceMicroBatch PreferenceMethod::load(const PreferenceDataset& data, std::vector<std::int64_t> rows) const {
  PreferenceMicroBatch out{.rows = std::move(rows)};
  if (!unpaired()) {
    std::vector<PreferencePair> pairs;
    for (const std::int64_t row : out.rows) pairs.push_back(data.pair(row));
    const auto* orpo = std::get_if<OrpoOptions>(&options_);
    out.completions = pair_batch(pairs, orpo != nullptr && orpo->nll == OrpoNll::prompt_and_completion, share_prompts_);
    return out;
  }
  for (std::size_t i = 0; i < out.rows.size(); ++i) {
    out.completions.add(data.completion(out.rows[i]));
    out.desirable.push_back(data.desirable(out.rows[i]));
    if (has_mismatched()) {
      const std::size_t before = (i + out.rows.size() - 1) % out.rows.size();
      out.mismatched.add(data.mismatched(out.rows[i], out.rows[before]));
    }
  }
  return out;
}

ReferenceSums PreferenceMethod::reference(const CausalLM& model, const PreferenceMicroBatch& batch) const {
  const c10::AutoGradMode no_gradients(false);
  ReferenceSums out;
  const CompletionLogProbs completions = score(model, batch.completions).completions;
  if (const auto* dpo = std::get_if<DpoOptions>(&options_)) {
    const PairSums pairs = pair_sums(split_pairs(completions), dpo->ld_alpha);
    out.completions = pairs.chosen.new_empty({pairs.chosen.size(0) * 2});
    out.completions.narrow(0, 0, pairs.chosen.size(0)).copy_(pairs.chosen);
    out.completions.narrow(0, pairs.chosen.size(0), pairs.chosen.size(0)).copy_(pairs.rejected);
  } else {
    out.completions = sums(completions);
  }
  if (has_mismatched()) out.mismatched = sums(score(model, batch.mismatched).completions);
  return out;
}

LossResult PreferenceMethod::loss(const CausalLM& model, const PreferenceMicroBatch& batch,
                                  const ReferenceSums& reference, const ScoreOptions& options) const {
  at::Tensor kl;
  if (has_mismatched()) kl = kto_kl(sums_without_gradients(model, batch.mismatched, options), reference.mismatched);
  const CompletionScores policy = score(model, batch.completions, options);
  return std::visit(Overloaded{[&](const DpoOptions& own) {
                                 return dpo_loss(split_pairs(policy.completions), halves(reference.completions), own);
                               },
                               [&](const OrpoOptions& own) {
                                 const at::Tensor& prompts = policy.prompt_log_probs;  // of prompts of one token: none
                                 return orpo_loss(split_pairs(policy.completions),
                                                  prompts.defined() ? prompts : no_tokens(policy), own);
                               },
                               [&](const KtoOptions& own) {
                                 return kto_loss(policy.completions, reference.completions, batch.desirable, kl, own);
                               },
                               [&](const CpoOptions& own) { return cpo_loss(split_pairs(policy.completions), own); }},
                    options_);
}

}  // namespace powerhouse
