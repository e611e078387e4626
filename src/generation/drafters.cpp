// What drafts: earlier text, a smaller model, the first layers of the model itself.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "generation/sampler.h"
#include "generation/shares.h"
#include "ops/vocabulary.h"
#include "powerhouse/error.h"
#include "powerhouse/speculative.h"

namespace powerhouse {
namespace {

class PromptLookup final : public Drafter {
 public:
  PromptLookup(std::int64_t max_ngram, std::int64_t max_branches) : max_ngram_(max_ngram), max_branches_(max_branches) {
    const auto expect = [](bool holds, const char* field, const char* expected, std::int64_t found) {
      if (holds) return;
      throw Error(ErrorKind::usage, "nothing to look up by",
                  {.field = field, .expected = expected, .found = std::to_string(found)});
    };
    expect(max_ngram >= 1, "max_ngram", "1 or more", max_ngram);
    expect(max_branches >= 1 && max_branches <= 16, "max_branches", "1 to 16", max_branches);
  }

  bool is_free() const override { return true; }

  Draft propose(const DraftRequest& request) override {
    const auto text = request.history;
    for (std::int64_t n = std::min(max_ngram_, std::ssize(text) - 1); n > 0; --n) {
      std::vector<std::vector<std::int64_t>> found = continuations(text, n, request.count);
      if (found.empty()) continue;
      // Branches cost more, and more often one of them is right: they are counted apart.
      const std::size_t promise = static_cast<std::size_t>(n - 1) + (found.size() > 1 ? kBranched : 0);
      Draft draft{.ids = std::move(found.front()), .promise = promise};
      draft.others.assign(std::make_move_iterator(found.begin() + 1), std::make_move_iterator(found.end()));
      return draft;
    }
    return {};
  }

 private:
  static constexpr std::size_t kBranched = 64;

  // What followed the last n tokens, the first occurrence first; none is the beginning of another.
  std::vector<std::vector<std::int64_t>> continuations(std::span<const std::int64_t> text, std::int64_t n,
                                                       std::int64_t most) const {
    std::vector<std::vector<std::int64_t>> all;
    const auto ngram = text.last(static_cast<std::size_t>(n));
    // The last token of all follows some occurrence, or it is the n-gram itself.
    for (auto from = text.begin(); std::ssize(all) < max_branches_; ++from) {
      from = std::search(from, text.end() - 1, ngram.begin(), ngram.end());
      if (from == text.end() - 1) break;
      const auto begin = from + n;
      const auto count = std::min(most, static_cast<std::int64_t>(text.end() - begin));
      std::vector<std::int64_t> next(begin, begin + count);
      const bool known = std::any_of(all.begin(), all.end(), [&](const std::vector<std::int64_t>& other) {
        const std::size_t shared = std::min(next.size(), other.size());
        return std::equal(next.begin(), next.begin() + static_cast<std::ptrdiff_t>(shared), other.begin());
      });
      if (!known) all.push_back(std::move(next));
    }
    return all;
  }

  std::int64_t max_ngram_, max_branches_;
};

// Token after token from rows of logits.
class RowDrafter : public Drafter {
 public:
  explicit RowDrafter(const DraftModelOptions& options) : options_(options) {
    if (!(options.confidence >= 0 && options.confidence <= 1)) {
      throw Error(ErrorKind::usage, "option out of bounds",
                  {.field = "confidence", .expected = "0 to 1", .found = std::to_string(options.confidence)});
    }
  }

 protected:
  /// `next` gives the logits behind a token.
  template <typename Next>
  Draft draft(const DraftRequest& request, at::Tensor row, std::int64_t count, Next next) const {
    Draft out;
    std::vector<std::int64_t> history(request.history.begin(), request.history.end());
    const std::int64_t rows = row.size(-1);
    while (true) {
      row = fit_logits(row, request.session.model().config().vocab_size);
      const std::span<float> logits(row.data_ptr<float>(), static_cast<std::size_t>(row.numel()));
      if (request.process) {
        request.process(logits, {.ids = history, .prompt_length = request.prompt_length, .seed = request.seed});
      }
      std::int64_t id = 0;
      double probability = 0;
      if (request.options.temperature == 0.0f) {
        id = greedy_token(logits);
        probability = std::exp(logits[static_cast<std::size_t>(id)] - ops::log_sum_exp(logits));
      } else {
        std::vector<double> shares = shares_of(logits);
        id = draw_share(shares, request.uniform());
        probability = shares[static_cast<std::size_t>(id)];
        out.probabilities.push_back(std::move(shares));
      }
      out.ids.push_back(id);
      // Behind the token, not before it: whether it stands in the draft must not depend on which it is.
      if (std::ssize(out.ids) == count || probability < options_.confidence || id >= rows) return out;
      history.push_back(id);
      row = next(id);
    }
  }

 private:
  DraftModelOptions options_;
};

class DraftModel final : public RowDrafter {
 public:
  DraftModel(const CausalLM& model, Tokenizer tokenizer, const DraftModelOptions& options)
      : RowDrafter(options), tokenizer_(std::move(tokenizer)), session_(model), sequence_(session_.create()) {}

  void begin(const CausalLM& model, const Tokenizer& tokenizer) override {
    require_same_vocabulary(model.config(), tokenizer, session_.model().config(), tokenizer_, "draft model");
  }

  Draft propose(const DraftRequest& request) override {
    const auto room = longest_ - std::ssize(request.history);
    const std::int64_t count = std::min(request.count, room + 1);
    if (count < 1) return {};
    const std::int64_t rows = session_.model().config().vocab_size;
    const auto is_beyond = [rows](std::int64_t id) { return id >= rows; };
    if (std::any_of(request.history.begin(), request.history.end(), is_beyond)) return {};
    const std::int64_t kept = session_.keep_prefix(sequence_, request.history);
    const auto rest = request.history.subspan(static_cast<std::size_t>(kept));
    return draft(request, session_.forward(sequence_, rest), count, [this](std::int64_t id) {
      return session_.forward(sequence_, {&id, 1});
    });
  }

 private:
  Tokenizer tokenizer_;
  Session session_;
  SequenceId sequence_;
  std::int64_t longest_ = session_.room(sequence_);
};

class EarlyExit final : public RowDrafter {
 public:
  EarlyExit(std::int64_t layers, const DraftModelOptions& options) : RowDrafter(options), layers_(layers) {}

  void begin(const CausalLM& model, const Tokenizer& /*tokenizer*/) override {
    const auto all = static_cast<std::int64_t>(model.config().layers.size());
    if (layers_ >= 1 && layers_ < all) return;
    throw Error(ErrorKind::usage, "an early exit behind no such layer",
                {.field = "layers", .expected = "1 to " + std::to_string(all - 1), .found = std::to_string(layers_)});
  }

  Draft propose(const DraftRequest& request) override {
    const std::int64_t length = request.session.length(request.sequence);
    const auto next = [&](std::int64_t id) {
      return request.session.forward(request.sequence, {&id, 1}, LogitsOf::last, PassOptions{.layers = layers_});
    };
    Draft out = draft(request, next(request.history.back()), request.count, next);
    request.session.truncate(request.sequence, length);
    return out;
  }

 private:
  std::int64_t layers_;
};

}  // namespace

Drafter::~Drafter() = default;

std::unique_ptr<Drafter> prompt_lookup(std::int64_t max_ngram, std::int64_t max_branches) {
  return std::make_unique<PromptLookup>(max_ngram, max_branches);
}

std::unique_ptr<Drafter> draft_model(const CausalLM& model, const Tokenizer& tokenizer,
                                     const DraftModelOptions& options) {
  return std::make_unique<DraftModel>(model, tokenizer, options);
}

std::unique_ptr<Drafter> early_exit(std::int64_t layers, const DraftModelOptions& options) {
  return std::make_unique<EarlyExit>(layers, options);
}

}  // namespace powerhouse
