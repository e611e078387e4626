// A report of what a context changes.
#include <ATen/core/Tensor.h>
#include <ATen/ops/xlogy_ops.h>

#include "generation/continuation.h"
#include "generation/contrast_checks.h"
#include "generation/option_bounds.h"
#include "ops/log_probabilities.h"
#include "ops/tensors.h"
#include "powerhouse/contrast.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// Log-probabilities of all tokens at each place of an answer, float64 [answer, vocabulary].
at::Tensor log_probs_of(Session& session, std::span<const std::int64_t> prompt, std::span<const std::int64_t> answer) {
  const SequenceId sequence = session.create();
  at::Tensor rows = session.forward(sequence, prompt);
  if (answer.size() > 1) {
    const at::Tensor more = session.forward(sequence, answer.first(answer.size() - 1), LogitsOf::all);
    rows = concatenate({rows, more}, 0);
  }
  session.remove(sequence);
  return rows.to(at::kDouble).log_softmax(-1);
}

at::Tensor divergence_of(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor p = a.exp(), q = b.exp();
  const at::Tensor middle = p.add(q).mul(0.5);
  const auto part = [&](const at::Tensor& share) {
    return at::_ops::xlogy_Tensor::call(share, share).sub(at::_ops::xlogy_Tensor::call(share, middle)).sum(-1);
  };
  return part(p).add(part(q)).mul(0.5);
}

}  // namespace

double ConflictReport::context_gain() const {
  double gain = 0;
  for (const ContextEffect& effect : effects) gain += effect.with_context - effect.without;
  return gain;
}

ConflictReport knowledge_conflict(const CausalLM& model, const Tokenizer& tokenizer,
                                  std::span<const std::int64_t> with_context, std::span<const std::int64_t> without,
                                  const ContextAwareOptions& contrast, const GenerationOptions& options) {
  check(contrast);
  check_options(options);
  check_prompt(with_context);
  check_prompt(without);
  if (options.temperature != 0.0f) {
    throw Error(ErrorKind::usage, "answers that are compared are greedy",
                {.field = "temperature", .expected = "0", .found = std::to_string(options.temperature)});
  }
  Session session(model);
  const auto answer = [&](std::span<const std::int64_t> prompt) {
    return generate(session, session.create(), tokenizer, prompt, options);
  };
  ConflictReport report{
      .with_context = answer(with_context),
      .without = answer(without),
      .context_aware = generate_context_aware(model, tokenizer, with_context, without, contrast, options)};
  const std::vector<std::int64_t>& ids = report.with_context.ids;
  if (ids.empty() || report.without.ids.empty()) return report;
  report.conflict = ids.front() != report.without.ids.front();
  const at::Tensor full = log_probs_of(session, with_context, ids), bare = log_probs_of(session, without, ids);
  const at::Tensor divergence = divergence_of(full, bare);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto place = static_cast<std::int64_t>(i);
    report.effects.push_back({.id = ids[i],
                              .with_context = full.select(0, place).select(0, ids[i]).item<double>(),
                              .without = bare.select(0, place).select(0, ids[i]).item<double>(),
                              .divergence = divergence.select(0, place).item<double>()});
  }
  return report;
}

}  // namespace powerhouse
