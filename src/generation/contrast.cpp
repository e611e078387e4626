// The loops: each step runs what is contrasted side by side and chooses a token from the row that comes of it.
#include "powerhouse/contrast.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "generation/continuation.h"
#include "generation/contrast_checks.h"
#include "generation/option_bounds.h"
#include "generation/row_chooser.h"
#include "generation/row_statistics.h"
#include "generation/shares.h"
#include "powerhouse/error.h"
#include "support/refuse_usage.h"

namespace powerhouse {
namespace {

std::span<float> values(const at::Tensor& row) {
  return {row.data_ptr<float>(), static_cast<std::size_t>(row.numel())};
}

// `forward` appends ids to whatever runs and gives the row that a token is chosen from. What runs beside the prompt may
// have other beginnings: the first time it is given the prompt's ids. Where only what is likely enough may be chosen,
// that is sought among what a constraint allows: `forward` is given its matcher, or null.
template <typename Forward>
GenerationResult run(const ModelConfig& config, const Tokenizer& tokenizer, std::span<const std::int64_t> prompt,
                     std::int64_t room, const GenerationOptions& options, Forward forward) {
  Continuation text(config, tokenizer, {prompt.begin(), prompt.end()}, std::ssize(prompt), room, options);
  RowChooser chooser(tokenizer, options, config, text);
  at::Tensor row;
  try {
    row = forward(prompt, options.cancel, text.matcher());
    text.prefilled();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::cancelled) throw;
    text.cancelled();
  }
  while (text.wants_more()) {
    const std::int64_t id = chooser.choose(text, values(row));
    if (text.take(id)) row = forward({&id, 1}, {}, text.matcher());
  }
  return text.finish();
}

void check_contrasted(const GenerationOptions& options) {
  check_options(options);
  refuse_usage(options.sampling.guidance_scale != 1.0f, "guidance_scale", "a contrast has a second row of its own");
  refuse_usage(options.thinking.has_value(), "thinking", "a contrast has no budget for thoughts");
}

}  // namespace

GenerationResult generate_context_aware(const CausalLM& model, const Tokenizer& tokenizer,
                                        std::span<const std::int64_t> with_context,
                                        std::span<const std::int64_t> without, const ContextAwareOptions& contrast,
                                        const GenerationOptions& options) {
  check(contrast);
  check_contrasted(options);
  check_prompt(with_context);
  check_prompt(without);
  Session session(model);
  const SequenceId full = session.create(), bare = session.create();
  const std::int64_t room = std::min(room_behind(session, full, with_context), room_behind(session, bare, without));
  bool begun = false;
  return run(model.config(), tokenizer, with_context, room, options,
             [&](std::span<const std::int64_t> ids, const std::stop_token& cancel, ConstraintMatcher*) {
               const SequenceInput batch[] = {{full, ids}, {bare, begun ? ids : without}};
               begun = true;
               const at::Tensor rows = session.forward(batch, cancel).contiguous();
               const at::Tensor row = rows.select(0, 0);
               context_aware_logits(values(row), values(rows.select(0, 1)), contrast);
               return row;
             });
}

GenerationResult generate_contrastive(const CausalLM& expert, const Tokenizer& tokenizer, const Amateur& amateur,
                                      std::span<const std::int64_t> ids, const ContrastiveDecodingOptions& contrast,
                                      const GenerationOptions& options) {
  check(contrast);
  check_contrasted(options);
  check_prompt(ids);
  require_same_vocabulary(expert.config(), tokenizer, amateur.model.config(), amateur.tokenizer, "amateur");
  Session experts(expert), amateurs(amateur.model);
  const SequenceId of_expert = experts.create(), of_amateur = amateurs.create();
  const std::int64_t room = std::min(room_behind(experts, of_expert, ids), room_behind(amateurs, of_amateur, ids));
  const auto shared = static_cast<std::size_t>(std::min(expert.config().vocab_size, amateur.model.config().vocab_size));
  return run(expert.config(), tokenizer, ids, room, options,
             [&](std::span<const std::int64_t> next, const std::stop_token& cancel, ConstraintMatcher* matcher) {
               const at::Tensor row = experts.forward(of_expert, next, LogitsOf::last, cancel).contiguous();
               const at::Tensor other = amateurs.forward(of_amateur, next, LogitsOf::last, cancel).contiguous();
               if (matcher != nullptr) matcher->mask(values(row));
               contrastive_logits(values(row).first(shared), values(other).first(shared), contrast);
               const std::span<float> padding = values(row).subspan(shared);
               std::fill(padding.begin(), padding.end(), kForbidden);
               return row;
             });
}

DolaResult generate_dola(const CausalLM& model, const Tokenizer& tokenizer, std::span<const std::int64_t> ids,
                         const DolaOptions& contrast, const GenerationOptions& options) {
  check(contrast);
  check_contrasted(options);
  check_prompt(ids);
  Session session(model);
  const SequenceId sequence = session.create();
  std::vector<std::int64_t> layers;
  GenerationResult result =
      run(model.config(), tokenizer, ids, room_behind(session, sequence, ids), options,
          [&](std::span<const std::int64_t> next, const std::stop_token& cancel, ConstraintMatcher* matcher) {
            const at::Tensor rows =
                session.forward(sequence, next, LogitsOf::last, PassOptions{.early = contrast.layers}, cancel);
            std::int64_t premature = 0;
            at::Tensor row = dola_logits(rows, contrast, &premature,
                                         matcher != nullptr ? matcher->allowed() : std::vector<std::uint64_t>());
            layers.push_back(contrast.layers[static_cast<std::size_t>(premature)]);
            return row;
          });
  layers.resize(result.ids.size());  // a cancelled text has a row more
  return {.generation = std::move(result), .premature_layers = std::move(layers)};
}

}  // namespace powerhouse
