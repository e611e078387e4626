// Names of the losses' smaller choices, as TRL's configurations and ours spell them.
#include "powerhouse/policy_losses.h"
#include "powerhouse/preference_losses.h"
#include "training/losses/common.h"

namespace powerhouse {
namespace {

template <typename Enum>
struct Name {
  std::string_view name;
  Enum value;
};

constexpr Name<OrpoNll> kOrpoNll[] = {{"prompt_and_completion", OrpoNll::prompt_and_completion},
                                      {"completion", OrpoNll::completion}};
constexpr Name<CpoNll> kCpoNll[] = {{"token_mean", CpoNll::token_mean}, {"sequence_sum", CpoNll::sequence_sum}};
constexpr Name<ImportanceSampling> kImportanceSampling[] = {{"token", ImportanceSampling::token},
                                                            {"sequence", ImportanceSampling::sequence}};
constexpr Name<ScaleRewards> kScaleRewards[] = {{"group", ScaleRewards::group},
                                                {"batch", ScaleRewards::batch},
                                                {"none", ScaleRewards::none},
                                                {"true", ScaleRewards::group},
                                                {"false", ScaleRewards::none}};
constexpr Name<RewardAggregation> kRewardAggregation[] = {
    {"sum_then_normalize", RewardAggregation::sum_then_normalize},
    {"normalize_then_sum", RewardAggregation::normalize_then_sum}};
constexpr Name<RlooObjective> kRlooObjective[] = {{"clipped", RlooObjective::clipped},
                                                  {"reinforce", RlooObjective::reinforce}};

}  // namespace

std::string_view to_string(OrpoNll tokens) noexcept { return losses::name_in(kOrpoNll, tokens); }
std::string_view to_string(CpoNll tokens) noexcept { return losses::name_in(kCpoNll, tokens); }
std::string_view to_string(ImportanceSampling level) noexcept { return losses::name_in(kImportanceSampling, level); }
std::string_view to_string(ScaleRewards scale) noexcept { return losses::name_in(kScaleRewards, scale); }
std::string_view to_string(RewardAggregation order) noexcept { return losses::name_in(kRewardAggregation, order); }
std::string_view to_string(RlooObjective objective) noexcept { return losses::name_in(kRlooObjective, objective); }

OrpoNll parse_orpo_nll(std::string_view name) { return losses::parse_name(kOrpoNll, name, "nll"); }
CpoNll parse_cpo_nll(std::string_view name) { return losses::parse_name(kCpoNll, name, "nll"); }
ImportanceSampling parse_importance_sampling(std::string_view name) {
  return losses::parse_name(kImportanceSampling, name, "importance_sampling_level");
}
ScaleRewards parse_scale_rewards(std::string_view name) {
  return losses::parse_name(kScaleRewards, name, "scale_rewards");
}
RewardAggregation parse_reward_aggregation(std::string_view name) {
  return losses::parse_name(kRewardAggregation, name, "multi_objective_aggregation");
}
RlooObjective parse_rloo_objective(std::string_view name) {
  return losses::parse_name(kRlooObjective, name, "objective");
}

}  // namespace powerhouse
