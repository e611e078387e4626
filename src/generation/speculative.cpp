// Drafts are verified by one pass over the last token and the draft: its row k holds the logits behind k draft tokens.
#include "powerhouse/speculative.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "generation/continuation.h"
#include "generation/draft_length.h"
#include "generation/option_bounds.h"
#include "generation/owned_sequence.h"
#include "generation/sampling_chain.h"
#include "generation/sampling_lanes.h"
#include "generation/shares.h"
#include "ops/rope.h"
#include "powerhouse/error.h"
#include "support/refuse_usage.h"

namespace powerhouse {
namespace {

using Clock = std::chrono::steady_clock;

void check(const SpeculativeOptions& options) {
  if (options.max_draft_tokens >= 1 && options.max_draft_tokens <= 256) return;
  throw Error(ErrorKind::usage, "option out of bounds",
              {.field = "max_draft_tokens", .expected = "1 to 256", .found = std::to_string(options.max_draft_tokens)});
}

// The length at which a RoPE that depends on it changes: tokens before and behind it never share a pass, so that its
// frequencies are those of decoding token by token.
std::int64_t rope_change(const ModelConfig& config) {
  for (const Block& block : config.layers) {
    if (block.position == PositionKind::rope && ops::depends_on_length(block.rope)) {
      return block.rope.original_max_position_embeddings;
    }
  }
  return 0;
}

// What a chain makes of the rows of one draft.
LogitsProcessor process_like(const SamplingChain& chain) {
  return [own = chain](std::span<float> logits, const LogitsContext& context) mutable { own.process(logits, context); };
}

class Speculation {
 public:
  Speculation(Session& session, SequenceId sequence, Drafter& drafter, const SpeculativeOptions& speculative,
              const GenerationOptions& options, const ChainSetting& setting, Continuation& text)
      : session_(session),
        sequence_(sequence),
        drafter_(drafter),
        most_(speculative.max_draft_tokens),
        options_(options),
        text_(text),
        chain_(options, setting),
        length_(speculative.max_draft_tokens, speculative.adaptive),
        rope_change_(rope_change(session.model().config())),
        random_(sampling_random(text.seed(), SamplingLane::token)),
        drafting_(sampling_random(text.seed(), SamplingLane::draft)),
        accepting_(sampling_random(text.seed(), SamplingLane::accept)) {}

  std::int64_t choose(const at::Tensor& row) {
    return chain_.choose({row.data_ptr<float>(), static_cast<std::size_t>(row.numel())}, text_.context(),
                         text_.matcher());
  }

  /// A draft, and the pass that verifies it.
  void step() {
    const std::int64_t before = session_.length(sequence_);
    const Draft draft = propose(before);
    const std::int64_t last = text_.history().back();
    std::vector<std::vector<std::int64_t>> branches(1 + draft.others.size(), {last});
    std::vector<OwnedSequence> forks;
    std::vector<SequenceInput> batch;
    for (std::size_t i = 0; i < branches.size(); ++i) {
      const std::vector<std::int64_t>& drafted = i == 0 ? draft.ids : draft.others[i - 1];
      branches[i].insert(branches[i].end(), drafted.begin(), drafted.end());
      if (i > 0) forks.push_back(OwnedSequence::fork(session_, sequence_));
      batch.push_back({i == 0 ? sequence_ : forks.back().id(), branches[i], LogitsOf::all});
    }
    const auto begin = Clock::now();
    const at::Tensor rows = session_.forward(batch, PassOptions{.singly = true}).contiguous();
    length_.passed(rows.size(0), seconds_since(begin));
    const std::size_t right = verify(draft, branches, rows);
    if (right > 0) session_.replace(sequence_, forks[right - 1].release());
    session_.truncate(sequence_, std::ssize(text_.history()) - 1);
  }

  const SpeculativeStatistics& statistics() const { return statistics_; }

 private:
  // How many tokens a draft may have: the last token of the text need not be computed on.
  std::int64_t room(std::int64_t before) const {
    std::int64_t room = std::min({most_, text_.left() - 1, session_.room(sequence_) - 1});
    if (before < rope_change_) room = std::min(room, rope_change_ - before - 1);
    if (before == rope_change_ && rope_change_ > 0) room = 0;
    return std::max<std::int64_t>(room, 0);
  }

  Draft propose(std::int64_t before) {
    const std::int64_t room = this->room(before);
    const bool drafted_before = std::exchange(drafted_last_, false);
    if (room == 0) return {};
    const std::int64_t count = drafter_.is_free() ? room : std::min(room, length_.choose(0));
    if (count == 0) return {};
    const auto begin = Clock::now();
    Draft draft = drafter_.propose({.session = session_,
                                    .sequence = sequence_,
                                    .history = text_.history(),
                                    .prompt_length = text_.context().prompt_length,
                                    .seed = text_.seed(),
                                    .count = count,
                                    .options = options_,
                                    .process = process_like(chain_),
                                    .uniform = uniform_});
    check(draft, count);
    if (draft.ids.empty()) return draft;
    const double seconds = seconds_since(begin);
    statistics_.draft_seconds += seconds;
    if (drafter_.is_free()) {
      const auto worth = static_cast<std::size_t>(length_.choose(draft.promise, 1 + std::ssize(draft.others)));
      if (worth == 0) return {};
      draft.ids.resize(std::min(draft.ids.size(), worth));
      for (auto& other : draft.others) other.resize(std::min(other.size(), worth));
    } else if (drafted_before) {  // else it had to catch up with the text first
      length_.drafted(std::ssize(draft.ids), seconds);
    }
    drafted_last_ = true;
    return draft;
  }

  // A drafter may be the user's own.
  void check(const Draft& draft, std::int64_t count) const {
    const std::int64_t vocabulary = session_.model().config().vocab_size;
    const auto check_branch = [&](const std::vector<std::int64_t>& branch) {
      refuse_usage(std::ssize(branch) > count, "ids", "a draft of more tokens than are wanted");
      for (const std::int64_t id : branch) {
        refuse_usage(id < 0 || id >= vocabulary, "ids", "a draft of tokens outside the vocabulary");
      }
    };
    check_branch(draft.ids);
    for (const auto& other : draft.others) check_branch(other);
    refuse_usage(!draft.others.empty() && !draft.probabilities.empty(), "others", "branches are certain drafts");
    refuse_usage(!draft.probabilities.empty() && draft.probabilities.size() != draft.ids.size(), "probabilities",
                 "each token of a draft needs the distribution it was drawn from");
    for (const std::vector<double>& row : draft.probabilities) {
      refuse_usage(std::ssize(row) != vocabulary, "probabilities", "a distribution over another vocabulary");
    }
    refuse_usage(!draft.probabilities.empty() && options_.temperature == 0.0f, "probabilities",
                 "greedy decoding takes drafts that are certain");
  }

  // Goes along the branches, each behind the text's last token, as far as they come true; which of them did.
  std::size_t verify(const Draft& draft, const std::vector<std::vector<std::int64_t>>& branches,
                     const at::Tensor& rows) {
    std::vector<std::size_t> right;  // all branches that have come true so far, whose rows are the same bits
    std::vector<std::int64_t> first;
    std::int64_t drafted_tokens = 0, row = 0;
    for (std::size_t i = 0; i < branches.size(); ++i) {
      right.push_back(i);
      first.push_back(row);
      row += std::ssize(branches[i]);
      drafted_tokens += std::ssize(branches[i]) - 1;
    }
    std::size_t accepted = 0, seen = 0;
    while (true) {
      const at::Tensor logits = rows.select(0, first[right.front()] + static_cast<std::int64_t>(accepted));
      const bool drawn = accepted < draft.probabilities.size();
      const std::int64_t id =
          drawn ? accept(draft.ids[accepted], draft.probabilities[accepted], logits) : choose(logits);
      std::vector<std::size_t> still;
      bool drafted = false;
      for (const std::size_t i : right) {
        if (accepted + 1 >= branches[i].size()) continue;
        drafted = true;
        if (branches[i][accepted + 1] == id) still.push_back(i);
      }
      if (drafted) ++seen;
      const bool more = text_.take(id);
      if (still.empty()) break;
      right = std::move(still);
      ++accepted;
      if (!more) break;
    }
    ++statistics_.passes;
    if (drafted_tokens > 0) {
      ++statistics_.drafted_passes;
      statistics_.drafted += drafted_tokens;
      statistics_.accepted += static_cast<std::int64_t>(accepted);
      length_.verified(draft.promise, static_cast<std::int64_t>(seen), static_cast<std::int64_t>(accepted));
    }
    return right.front();
  }

  // The draft's token, or the one in its place.
  std::int64_t accept(std::int64_t id, const std::vector<double>& drafted, const at::Tensor& row) {
    const std::span<float> logits(row.data_ptr<float>(), static_cast<std::size_t>(row.numel()));
    chain_.process(logits, text_.context(), text_.matcher());
    const std::vector<double> wanted = shares_of(logits);
    const auto at = static_cast<std::size_t>(id);
    if (is_accepted(wanted[at], drafted[at], accepting_.uniform(accepted_draws_++))) return id;
    return draw_instead(wanted, drafted, random_.uniform(static_cast<std::uint64_t>(text_.made())));
  }

  Session& session_;
  SequenceId sequence_;
  Drafter& drafter_;
  std::int64_t most_;
  const GenerationOptions& options_;
  Continuation& text_;
  SamplingChain chain_;
  DraftLength length_;
  std::int64_t rope_change_;
  // The first by places of the text, as in plain decoding; the others' numbers are counted, so that none serves twice.
  Random random_, drafting_, accepting_;
  std::uint64_t drafting_draws_ = 0, accepted_draws_ = 0;
  std::function<double()> uniform_ = [this] { return drafting_.uniform(drafting_draws_++); };
  bool drafted_last_ = false;
  SpeculativeStatistics statistics_;
};

}  // namespace

SpeculativeResult generate_speculatively(Session& session, SequenceId sequence, const Tokenizer& tokenizer,
                                         std::span<const std::int64_t> ids, Drafter& drafter,
                                         const SpeculativeOptions& speculative, const GenerationOptions& options) {
  check_options(options);
  refuse_usage(options.sampling.guidance_scale != 1.0f, "guidance_scale", "drafts know no negative prompt");
  refuse_usage(options.thinking.has_value(), "thinking", "drafts know no budget for thoughts");
  refuse_usage(options.top_log_probs.has_value(), "top_log_probs", "drafts are verified without them");
  check(speculative);
  check_prompt(ids);
  drafter.begin(session.model(), tokenizer);
  const std::int64_t reused = options.cache_prompt ? session.keep_prefix(sequence, ids) : 0;
  const auto rest = ids.subspan(static_cast<std::size_t>(reused));
  const ModelConfig& config = session.model().config();
  Continuation text(config, tokenizer, history_of(session, sequence, rest), std::ssize(ids),
                    room_behind(session, sequence, rest), options);
  text.reused(reused);
  Speculation speculation(session, sequence, drafter, speculative, options,
                          chain_setting(config, tokenizer, options, text.limit()), text);
  if (const at::Tensor logits = forward_unless_cancelled(session, sequence, rest, options.cancel); logits.defined()) {
    text.prefilled();
    if (text.wants_more() && text.take(speculation.choose(logits.contiguous()))) {
      do {
        speculation.step();
      } while (text.wants_more());
    }
  } else {
    text.cancelled();
  }
  return {.generation = text.finish(), .statistics = speculation.statistics()};
}

SpeculativeResult generate_speculatively(const CausalLM& model, const Tokenizer& tokenizer,
                                         std::span<const std::int64_t> ids, Drafter& drafter,
                                         const SpeculativeOptions& speculative, const GenerationOptions& options) {
  Session session(model);
  return generate_speculatively(session, session.create(), tokenizer, ids, drafter, speculative, options);
}

}  // namespace powerhouse
