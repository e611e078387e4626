#include "powerhouse/batch_generation.h"

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>

#include "generation/continuation.h"
#include "generation/option_bounds.h"
#include "generation/owned_sequence.h"
#include "generation/row_chooser.h"
#include "model/causal_lm_impl.h"
#include "powerhouse/error.h"
#include "support/refuse_usage.h"

namespace powerhouse {
namespace {

// One text of the batch: what it asks to be computed next, and what it makes of the rows that come of it.
class BatchText {
 public:
  BatchText(Session& session, const Tokenizer& tokenizer, const GenerationRequest& request)
      : options_(request.options),
        sequence_(OwnedSequence::create(session)),
        text_(session.model().config(), tokenizer, request.ids, std::ssize(request.ids),
              guided_room_behind(session, sequence_.id(), request.ids, options_.sampling), options_),
        chooser_(tokenizer, options_, session.model().config(), text_),
        next_(request.ids) {
    if (options_.sampling.guidance_scale == 1.0f) return;
    negative_ = OwnedSequence::create(session);
    const auto& prompt = options_.sampling.negative_prompt_ids;
    negative_next_ = prompt.empty() ? std::vector<std::int64_t>{request.ids.back()} : prompt;
  }

  void add_to(std::vector<SequenceInput>& batch) const {
    batch.push_back({.sequence = sequence_.id(), .ids = next_});
    if (negative_) batch.push_back({.sequence = negative_->id(), .ids = negative_next_});
  }

  /// Takes its rows, from `logits` on; how many they were.
  std::size_t take(float* logits, std::size_t vocabulary) {
    if (!begun_) text_.prefilled();
    begun_ = true;
    if (!text_.wants_more()) return rows();
    const std::int64_t id =
        chooser_.choose(text_, {logits, vocabulary}, {logits + vocabulary, negative_ ? vocabulary : 0});
    text_.take(id);
    next_ = negative_next_ = {id};
    return rows();
  }

  bool wants_more() { return text_.wants_more(); }
  GenerationResult finish() { return text_.finish(); }

 private:
  std::size_t rows() const { return negative_ ? 2 : 1; }

  const GenerationOptions& options_;
  OwnedSequence sequence_;
  std::optional<OwnedSequence> negative_{};
  Continuation text_;
  RowChooser chooser_;
  std::vector<std::int64_t> next_, negative_next_{};
  bool begun_ = false;
};

void check(std::span<const GenerationRequest> requests, const BatchOptions& options, const CausalLM& model) {
  if (options.max_num_seqs < 1) {
    out_of_bounds("max_num_seqs", "1 or more", static_cast<double>(options.max_num_seqs));
  }
  const std::int64_t longest = longest_sequence(model.config()) - model.impl().virtual_tokens();
  const auto check_length = [longest](const char* field, std::span<const std::int64_t> ids) {
    if (std::ssize(ids) <= longest) return;
    throw Error(
        ErrorKind::range, "the prompt does not fit the model's context",
        {.field = field, .expected = "at most " + std::to_string(longest), .found = std::to_string(ids.size())});
  };
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const GenerationRequest& request = requests[i];
    try {
      check_options(request.options);
      check_prompt(request.ids);
      check_ids(request.options, model.config().vocab_size);
      check_length("ids", request.ids);
      check_length("negative_prompt_ids", request.options.sampling.negative_prompt_ids);
      refuse_usage(request.options.cache_prompt, "cache_prompt", "each text of a batch has a cache of its own");
    } catch (const Error& error) {
      throw error.in_file("request " + std::to_string(i));
    }
  }
}

}  // namespace

std::vector<GenerationResult> generate_batch(const CausalLM& model, const Tokenizer& tokenizer,
                                             std::span<const GenerationRequest> requests, const BatchOptions& options) {
  check(requests, options, model);
  Session session(model, options.session);
  std::vector<GenerationResult> results(requests.size());
  struct Running {
    std::size_t index;
    std::unique_ptr<BatchText> text;
  };
  std::vector<Running> running;
  std::size_t waiting = 0;
  const auto is_over = [&](Running& one) {
    if (one.text->wants_more()) return false;
    results[one.index] = one.text->finish();
    return true;
  };
  while (true) {
    std::erase_if(running, is_over);
    if (waiting < requests.size() && std::ssize(running) < options.max_num_seqs) {
      running.push_back({waiting, std::make_unique<BatchText>(session, tokenizer, requests[waiting])});
      ++waiting;
      continue;  // it may be over before it began
    }
    if (running.empty()) break;
    std::vector<SequenceInput> batch;
    for (const Running& one : running) one.text->add_to(batch);
    const at::Tensor rows = session.forward(batch).contiguous();
    const auto vocabulary = static_cast<std::size_t>(rows.size(-1));
    auto* row = rows.data_ptr<float>();
    for (const Running& one : running) row += one.text->take(row, vocabulary) * vocabulary;
  }
  return results;
}

std::vector<GenerationResult> generate_batch(const CausalLM& model, const Tokenizer& tokenizer,
                                             std::initializer_list<GenerationRequest> requests,
                                             const BatchOptions& options) {
  return generate_batch(model, tokenizer, std::span(requests.begin(), requests.size()), options);
}

}  // namespace powerhouse
