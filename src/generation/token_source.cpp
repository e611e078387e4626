#include "generation/token_source.h"

#include <algorithm>

#include "generation/row_statistics.h"
#include "powerhouse/error.h"

namespace powerhouse {

TokenSource::TokenSource(Session& session, SequenceId sequence, const GenerationOptions& options,
                         const ChainSetting& setting, std::uint64_t seed)
    : session_(session),
      sequence_(sequence),
      options_(options),
      seed_(seed),
      draws_(session.can_draw() && draws_by_warpers_alone(options) && !options.top_log_probs),
      chain_(options, setting) {
  if (options.sampling.guidance_scale != 1.0f) negative_ = session.create();
}

TokenSource::~TokenSource() {
  if (negative_) session_.remove(*negative_);
}

void TokenSource::forward(std::span<const std::int64_t> ids, const std::stop_token& cancel) {
  if (!negative_) {
    logits_ = session_.forward(sequence_, ids, LogitsOf::last, cancel);
    return;
  }
  // The sequence without the prompt begins with the negative one, or as transformers has it with the last token.
  const auto& prompt = options_.sampling.negative_prompt_ids;
  const bool begins = session_.length(*negative_) == 0;
  const SequenceInput both[] = {
      {sequence_, ids}, {*negative_, begins && !prompt.empty() ? std::span<const std::int64_t>(prompt) : ids.last(1)}};
  logits_ = session_.forward(both, cancel);
}

bool TokenSource::append(std::span<const std::int64_t> ids, std::size_t place, const std::stop_token& cancel) {
  try {
    if (draws_) {
      const SequenceInput input{sequence_, ids};
      const TokenDraw draw{.temperature = options_.temperature,
                           .top_k = options_.top_k,
                           .top_p = options_.top_p,
                           .min_p = options_.min_p,
                           .seed = seed_,
                           .counter = place};
      drawn_ = session_.draw({&input, 1}, {&draw, 1}, cancel).front();
    } else {
      forward(ids, cancel);
    }
    return true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::cancelled) throw;
    return false;
  }
}

std::int64_t TokenSource::choose(LogitsContext context, ConstraintMatcher* matcher) {
  if (draws_) return drawn_;
  context.seed = seed_;
  logits_ = logits_.contiguous();
  const auto size = static_cast<std::size_t>(logits_.size(-1));
  const std::span<float> row(logits_.data_ptr<float>(), size);
  if (options_.top_log_probs) own_.assign(row.begin(), row.end());
  if (negative_) processors::guide(row, {row.data() + size, size}, options_.sampling.guidance_scale);
  return chain_.choose(row, context, matcher);
}

TokenChoice choice_of(std::span<const float> logits, std::int64_t id, std::int64_t count) {
  const double log_sum = row_statistics(logits).log_sum;
  const auto log_prob = [&](std::int64_t token) {
    return TokenLogProb{token, static_cast<float>(logits[static_cast<std::size_t>(token)] - log_sum)};
  };
  TokenChoice found{.chosen = log_prob(id)};
  const auto shown = std::min(static_cast<std::size_t>(count), logits.size());
  if (shown == 0) return found;
  std::vector<Candidate> front = best_candidates(logits, shown);
  std::sort(front.begin(), front.end(), ranks_first);
  front.resize(std::min(front.size(), shown));
  for (const Candidate& one : front) found.best.push_back(log_prob(one.id));
  return found;
}

}  // namespace powerhouse
