#include "generation/beam_group.h"

#include <algorithm>

#include "generation/beam_order.h"
#include "generation/row_statistics.h"

namespace powerhouse {

SamplingChain beam_chain(const GenerationOptions& options, ChainSetting setting) {
  setting.min_tokens_to_keep = std::max<std::size_t>(2, setting.eos_ids.size() + 1);
  return {options, setting};
}

BeamGroup::BeamGroup(const BeamRules& rules, std::vector<std::int64_t> prompt)
    : rules_(&rules), finished_(rules.options, rules.group_size(), rules.limit) {
  beams_.push_back(
      {.history = std::move(prompt), .phrases = rules.phrases.begin(), .chain = rules.chain, .matcher = rules.matcher});
}

void BeamGroup::apply_rules(std::span<float> log_probs, std::span<const std::int64_t> taken) {
  const BeamSearchOptions& options = rules_->options;
  const std::size_t vocabulary = log_probs.size() / beams_.size();
  for (std::size_t i = 0; i < beams_.size(); ++i) {
    Beam& beam = beams_[i];
    const std::span<float> row = log_probs.subspan(i * vocabulary, vocabulary);
    for (const std::int64_t token : taken) row[static_cast<std::size_t>(token)] -= options.diversity_penalty;
    const LogitsContext context{.ids = beam.history, .prompt_length = rules_->prompt_length, .seed = rules_->seed};
    beam.chain.process(row, context, beam.matcher ? &*beam.matcher : nullptr);
    if (rules_->phrases.all_met(beam.phrases)) continue;
    for (const std::int64_t end : rules_->ends) {
      if (end >= 0 && static_cast<std::size_t>(end) < vocabulary) row[static_cast<std::size_t>(end)] = kForbidden;
    }
  }
}

std::vector<BeamCandidate> BeamGroup::in_order(std::span<const float> log_probs) const {
  if (!rules_->phrases.empty()) return order_by_banks(*rules_, beams_, log_probs);
  if (rules_->options.generation.temperature > 0) return order_by_chance(*rules_, beams_, log_probs);
  return order_by_score(*rules_, beams_, log_probs);
}

// By EOS, or where the constraint lets nothing follow.
bool BeamGroup::ends_text(const BeamCandidate& candidate) const {
  if (rules_->ends.contains(candidate.token)) return true;
  if (!beams_[candidate.beam].matcher) return false;
  ConstraintMatcher matcher = *beams_[candidate.beam].matcher;
  matcher.accept(candidate.token);
  return matcher.is_finished();
}

void BeamGroup::finish(const BeamCandidate& candidate) {
  const Beam& beam = beams_[candidate.beam];
  PhraseState state = beam.phrases;
  rules_->phrases.advance(state, candidate.token);
  BeamHypothesis hypothesis{.ids = {beam.history.begin() + rules_->prompt_length, beam.history.end()},
                            .constraints_met = rules_->phrases.all_met(state)};
  if (ends_text(candidate)) {
    hypothesis.finish_reason = rules_->ends.contains(candidate.token) ? FinishReason::eos : FinishReason::stop;
  }
  hypothesis.ids.push_back(candidate.token);
  finished_.add(std::move(hypothesis), candidate.score);
}

void BeamGroup::move_to(const std::vector<BeamCandidate>& running) {
  std::vector<Beam> next;
  next.reserve(running.size());
  for (const BeamCandidate& candidate : running) {
    Beam beam = beams_[candidate.beam];
    beam.history.push_back(candidate.token);
    beam.sum = candidate.score;
    rules_->phrases.advance(beam.phrases, candidate.token);
    if (beam.matcher) beam.matcher->accept(candidate.token);
    next.push_back(std::move(beam));
  }
  beams_ = std::move(next);
}

// Only a candidate among the first, as many as there are beams, finishes; those behind them replace it as beams.
std::vector<BeamCandidate> BeamGroup::step(std::span<float> log_probs, std::span<const std::int64_t> taken) {
  apply_rules(log_probs, taken);
  const std::size_t size = rules_->group_size();
  const std::int64_t length = new_tokens() + 1;
  std::vector<BeamCandidate> running;
  const std::vector<BeamCandidate> order = in_order(log_probs);
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (length < rules_->limit && !ends_text(order[i])) {
      running.push_back(order[i]);
    } else if (i < size) {
      finish(order[i]);
    }
  }
  if (rules_->phrases.empty()) std::sort(running.begin(), running.end(), ranks_before);  // drawn ones are not yet
  if (running.size() > size) running.resize(size);
  const auto best = std::min_element(running.begin(), running.end(), ranks_before);
  if (!running.empty() && finished_.is_done(best->score, length)) running.clear();
  move_to(running);
  return running;
}

void BeamGroup::cut_off() {
  for (const Beam& beam : beams_) {
    finished_.add({.ids = {beam.history.begin() + rules_->prompt_length, beam.history.end()},
                   .finish_reason = FinishReason::cancelled,
                   .constraints_met = rules_->phrases.all_met(beam.phrases)},
                  beam.sum);
  }
}

}  // namespace powerhouse
