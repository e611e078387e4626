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

}  // namespace

PreferenceMethod::PreferenceMethod(PreferenceOptions options, bool share_prompts)
    : options_(std::move(options)), share_prompts_(share_prompts) {
  std::visit([](const auto& own) { check(own); }, options_);
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
  for (const std::int64_t row : out.rows) out.desirable.push_back(data.desirable(row));
  if (has_mismatched()) {
    std::vector<PreferencePair> both;
    for (std::size_t i = 0; i < out.rows.size(); ++i) {
      const std::size_t before = (i + out.rows.size() - 1) % out.rows.size();
      both.push_back({data.completion(out.rows[i]), data.mismatched(out.rows[i], out.rows[before])});
    }
    out.completions = pair_batch(both, false, share_prompts_);
  } else {
    for (const std::int64_t row : out.rows) out.completions.add(data.completion(row));
  }
  return out;
}

std::int64_t PreferenceMethod::target_tokens(const PreferenceMicroBatch& batch) const {
  return has_mismatched() ? batch.completions.cu_seqlens[batch.rows.size()] : batch.completions.tokens.target_count();
}

at::Tensor PreferenceMethod::reference(const CausalLM& model, const PreferenceMicroBatch& batch) const {
  const c10::AutoGradMode no_gradients(false);
  const CompletionLogProbs completions = score(model, batch.completions).completions;
  const auto* dpo = std::get_if<DpoOptions>(&options_);
  if (dpo == nullptr) return sums(completions);
  const PairSums pairs = pair_sums(split_pairs(completions), dpo->ld_alpha);
  const std::int64_t count = pairs.chosen.size(0);
  at::Tensor out = pairs.chosen.new_empty({count * 2});
  out.narrow(0, 0, count).copy_(pairs.chosen);
  out.narrow(0, count, count).copy_(pairs.rejected);
  return out;
}

LossResult PreferenceMethod::loss(const CausalLM& model, const PreferenceMicroBatch& batch, const at::Tensor& reference,
                                  ScoreOptions options) const {
  options.logit_statistics = true;  // TRL's metrics of logits, and WPO's weights
  const CompletionScores policy = score(model, batch.completions, options);
  return std::visit(
      Overloaded{
          [&](const DpoOptions& own) { return dpo_loss(split_pairs(policy.completions), halves(reference), own); },
          [&](const OrpoOptions& own) {
            const at::Tensor& prompts = policy.prompt_log_probs;  // of prompts of one token: none
            return orpo_loss(split_pairs(policy.completions), prompts.defined() ? prompts : no_tokens(policy), own);
          },
          [&](const KtoOptions& own) {
            if (!has_mismatched()) {
              return kto_loss(policy.completions, reference, batch.desirable, {}, own);
            }
            const auto [completions, mismatched] = split_pairs(policy.completions);
            const auto [expected, of_mismatched] = halves(reference);
            const at::Tensor kl = kto_kl(sums(mismatched).detach(), of_mismatched);
            return kto_loss(completions, expected, batch.desirable, kl, own);
          },
          [&](const CpoOptions& own) { return cpo_loss(split_pairs(policy.completions), own); }},
      options_);
}

}  // namespace powerhouse
