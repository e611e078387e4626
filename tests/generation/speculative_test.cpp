// Speculative decoding: the text is the model's own, whatever is drafted.
#include "powerhouse/speculative.h"
#include "json_numbers.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "expect_error.h"
#include "generation/draft_length.h"
#include "generation/shares.h"
#include "padded_head.h"
#include "powerhouse/logits_processors.h"
#include "support/philox.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::integers;

Tokenizer tiny_tokenizer() { return Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/text/folder"); }

TEST(PromptLookup, DraftsWhatTransformersDrafts) {
  const CausalLM model = testing::load("tiny_gqa");
  Session session(model);
  const GenerationOptions options;
  const std::function<double()> uniform = [] { return 0.0; };
  const Json cases = Json::parse_file(POWERHOUSE_FIXTURES "/generation/contrast.json");
  int drafts = 0;
  for (const Json& one : cases.at("lookup").as_array()) {
    const std::vector<std::int64_t> ids = integers(one.at("ids"));
    const Draft draft = prompt_lookup(one.at("ngram").as_integer())
                            ->propose({.session = session,
                                       .sequence = 0,
                                       .history = ids,
                                       .prompt_length = std::ssize(ids),
                                       .count = one.at("count").as_integer(),
                                       .options = options,
                                       .uniform = uniform});
    EXPECT_EQ(draft.ids, integers(one.at("draft"))) << ids.size();
    EXPECT_TRUE(draft.probabilities.empty());
    drafts += draft.ids.empty() ? 0 : 1;
  }
  EXPECT_GT(drafts, 20);
}

// Drafts the text itself, with every fifth token wrong.
class Prophet : public Drafter {
 public:
  Prophet(std::vector<std::int64_t> text, std::int64_t vocabulary) : text_(std::move(text)), vocabulary_(vocabulary) {}
  Draft propose(const DraftRequest& request) override {
    Draft draft;
    auto at = request.history.size() - static_cast<std::size_t>(request.prompt_length);
    for (; at < text_.size() && std::ssize(draft.ids) < request.count; ++at) {
      draft.ids.push_back(at % 5 == 4 ? (text_[at] + 1) % vocabulary_ : text_[at]);
    }
    return draft;
  }

 private:
  std::vector<std::int64_t> text_;
  std::int64_t vocabulary_;
};

// The same beside two drafts that are wrong, one of them from the first token on.
class BranchingProphet : public Drafter {
 public:
  BranchingProphet(std::vector<std::int64_t> text, std::int64_t vocabulary)
      : prophet_(std::move(text), vocabulary), vocabulary_(vocabulary) {}
  Draft propose(const DraftRequest& request) override {
    Draft draft = prophet_.propose(request);
    std::vector<std::int64_t> late = draft.ids, early = draft.ids;
    if (late.size() > 1) late.back() = (late.back() + 2) % vocabulary_;
    if (!early.empty()) early.front() = (early.front() + 3) % vocabulary_;
    draft.others = {late, draft.ids};
    draft.ids = early;
    return draft;
  }

 private:
  Prophet prophet_;
  std::int64_t vocabulary_;
};

void expect_plain_text(const CausalLM& model, const Tokenizer& tokenizer, const std::vector<std::int64_t>& ids,
                       GenerationOptions options) {
  Session plain(model);
  const GenerationResult wanted = generate(plain, plain.create(), tokenizer, ids, options);
  const auto expect_same = [&](Drafter& drafter, const SpeculativeOptions& speculative) {
    Session session(model);
    const SequenceId sequence = session.create();
    const SpeculativeResult found =
        generate_speculatively(session, sequence, tokenizer, ids, drafter, speculative, options);
    EXPECT_EQ(found.generation.ids, wanted.ids);
    EXPECT_EQ(found.generation.text, wanted.text);
    EXPECT_EQ(found.generation.finish_reason, wanted.finish_reason);
    EXPECT_EQ(session.length(sequence), std::ssize(ids) + std::ssize(wanted.ids) - 1);
    return found.statistics;
  };
  for (const bool adaptive : {false, true}) {
    for (const std::int64_t most : {1, 3, 10, 40}) {
      expect_same(*prompt_lookup(), {.max_draft_tokens = most, .adaptive = adaptive});
      expect_same(*prompt_lookup(1, 4), {.max_draft_tokens = most, .adaptive = adaptive});
      BranchingProphet branching(wanted.ids, model.config().vocab_size);
      const auto branched = expect_same(branching, {.max_draft_tokens = most, .adaptive = adaptive});
      if (!adaptive) {
        EXPECT_GT(branched.accepted, std::ssize(wanted.ids) / 3);
      }
      Prophet prophet(wanted.ids, model.config().vocab_size);
      const auto found = expect_same(prophet, {.max_draft_tokens = most, .adaptive = adaptive});
      if (adaptive) continue;
      EXPECT_GT(found.drafted, 0);
      if (most > 1) {
        EXPECT_LT(found.passes, std::ssize(wanted.ids) - 1);
      }
    }
  }
}

TEST(Speculative, TinyModelsTextIsThatOfPlainDecoding) {
  const Tokenizer tokenizer = tiny_tokenizer();
  for (const char* name : {"tiny_gqa", "tiny_mqa_linear", "tiny_blocks_q4_0.gguf", "tiny_bf16",
                           "families/llama_dynamic_short", "families/phi3_longrope", "families/mistral_window"}) {
    SCOPED_TRACE(name);
    const CausalLM model = testing::load(name, Dtype::automatic);
    const GenerationOptions greedy{.max_new_tokens = 30, .repetition_penalty = 1.1f, .ignore_eos = true};
    expect_plain_text(model, tokenizer, {1, 5, 9, 3, 7}, greedy);
    GenerationOptions sampled = greedy;
    sampled.temperature = 0.9f;
    sampled.seed = 5;
    expect_plain_text(model, tokenizer, {1, 5, 9, 3, 7}, sampled);
  }
}

TEST(Speculative, ModelsAndEarlyExitsDraftGreedily) {
  const Tokenizer tokenizer = tiny_tokenizer();
  const CausalLM model = testing::load("tiny_mqa_linear", Dtype::automatic);
  const std::vector<std::int64_t> ids = {1, 5, 9, 3, 7};
  const GenerationOptions options{.max_new_tokens = 24, .ignore_eos = true};
  Session session(model);
  const auto wanted = generate(session, session.create(), tokenizer, ids, options).ids;
  const SpeculativeOptions always{.max_draft_tokens = 4, .adaptive = false};
  const auto own = draft_model(model, tokenizer, {.confidence = 0});
  const SpeculativeResult same = generate_speculatively(model, tokenizer, ids, *own, always, options);
  EXPECT_EQ(same.generation.ids, wanted);
  EXPECT_EQ(same.statistics.accepted, same.statistics.drafted) << "a model drafts its own text";
  const auto exit = early_exit(2, {.confidence = 0});
  const SpeculativeResult early = generate_speculatively(model, tokenizer, ids, *exit, always, options);
  EXPECT_EQ(early.generation.ids, wanted);
  EXPECT_GT(early.statistics.drafted, 0);
}

// Heads are filled up to different numbers of rows behind the tokens of one tokenizer.
TEST(Speculative, PaddedHeadsDraftForEachOther) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(POWERHOUSE_FIXTURES "/training/reward/tokenizer");
  const CausalLM model = testing::load("tiny_gqa");
  const std::vector<std::int64_t> ids = {1, 5, 9, 3, 7};
  const SpeculativeOptions always{.max_draft_tokens = 4, .adaptive = false};
  const LogitsProcessor known = [](std::span<float> row, const LogitsContext& /*context*/) {
    EXPECT_EQ(row.size(), 97u) << "a row is the text's model's, drafted or not";
    std::fill(row.begin() + 73, row.end(), -std::numeric_limits<float>::infinity());
  };
  for (const std::int64_t rows : {73, 80, 112}) {
    const CausalLM other = testing::load_with_rows("tiny_gqa", 73, rows);
    for (const float temperature : {0.0f, 1.0f}) {
      const GenerationOptions options{
          .max_new_tokens = 24, .temperature = temperature, .seed = 3, .ignore_eos = true, .processors = {known}};
      const auto drafter = draft_model(other, tokenizer, {.confidence = 0});
      const auto found = generate_speculatively(model, tokenizer, ids, *drafter, always, options);
      EXPECT_GT(found.statistics.drafted, 10);
      EXPECT_EQ(found.statistics.accepted, found.statistics.drafted) << rows << " rows of the same weights";
      // What the draft model has no row for it can't go on behind.
      const std::vector<std::int64_t> beyond = {1, 96, 9};
      const auto behind = generate_speculatively(model, tokenizer, beyond, *drafter, always, options);
      EXPECT_EQ(behind.generation.ids.size(), 24u);
      EXPECT_EQ(behind.statistics.drafted > 0, rows > 96);
    }
  }
  // Fewer rows than there are tokens are not padding, but for tokens that only fill a list up.
  const CausalLM cut = testing::load_with_rows("tiny_gqa", 72, 72),
                 filled = testing::load_with_rows("tiny_gqa", 73, 80);
  expect_error(ErrorKind::unsupported, "vocabulary",
               [&] { generate_speculatively(model, tokenizer, ids, *draft_model(cut, tokenizer), always, {}); });
  const auto longer = [](const std::string& token) {
    const testing::TemporaryFolder folder;
    Json json = Json::parse_file(POWERHOUSE_FIXTURES "/training/reward/tokenizer/tokenizer.json");
    JsonObject& vocabulary = json.as_object()["model"].as_object()["vocab"].as_object();
    for (std::int64_t id = 73; id < 97; ++id) vocabulary[token + std::to_string(id) + "]"] = id;
    folder.write("tokenizer.json", json.dump());
    return Tokenizer::from_pretrained(folder.path());
  };
  const GenerationOptions options{.max_new_tokens = 4, .processors = {known}};
  EXPECT_NO_THROW(generate_speculatively(model, longer("[PAD"), ids, *draft_model(filled, tokenizer), always, options));
  expect_error(ErrorKind::unsupported, "vocabulary", [&] {
    generate_speculatively(model, longer("[WORD"), ids, *draft_model(filled, tokenizer), always, options);
  });
}

// Two distributions over a tiny vocabulary, by the rule alone.
TEST(Speculative, AcceptedOrReplacedTokensHaveTheModelsDistribution) {
  constexpr std::size_t kVocabulary = 6;
  constexpr int kDraws = 100000;
  const std::array<std::array<double, kVocabulary>, 2> wanted = {
      {{0.4, 0.3, 0.15, 0.1, 0.05, 0.0}, {0.02, 0.08, 0.2, 0.3, 0.25, 0.15}}};
  const std::array<std::array<double, kVocabulary>, 2> drafted = {
      {{0.1, 0.5, 0.05, 0.05, 0.1, 0.2}, {0.3, 0.3, 0.1, 0.1, 0.1, 0.1}}};
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const Random random(11 + i, RandomStream::sampling);
    std::array<int, kVocabulary> counts{};
    for (std::uint64_t n = 0; n < kDraws; ++n) {
      const std::int64_t id = draw_share(drafted[i], random.uniform(3 * n));
      const auto at = static_cast<std::size_t>(id);
      const bool accepted = is_accepted(wanted[i][at], drafted[i][at], random.uniform(3 * n + 1));
      const std::int64_t token = accepted ? id : draw_instead(wanted[i], drafted[i], random.uniform(3 * n + 2));
      ++counts[static_cast<std::size_t>(token)];
    }
    double chi_squared = 0;
    for (std::size_t k = 0; k < kVocabulary; ++k) {
      const double expected = wanted[i][k] * kDraws;
      if (expected == 0) {
        EXPECT_EQ(counts[k], 0);
      } else {
        chi_squared += (counts[k] - expected) * (counts[k] - expected) / expected;
      }
    }
    EXPECT_LT(chi_squared, 20.5) << "one of a thousand with 5 degrees of freedom";
  }
}

// The whole machine: the first drafted token of texts, against the model's distribution.
class SampledTexts : public ::testing::TestWithParam<float> {};  // by the probability of XTC

TEST_P(SampledTexts, HaveTheModelsDistribution) {
  const Tokenizer tokenizer = tiny_tokenizer();
  const CausalLM model = testing::load("tiny_mqa_linear", Dtype::automatic);
  const std::vector<std::int64_t> ids = {1, 5, 9, 3, 7};
  constexpr std::size_t kVocabulary = 4;  // of the model's; the others are forbidden
  GenerationOptions options{.max_new_tokens = 3, .temperature = 1.0f, .ignore_eos = true};
  options.sampling.xtc_probability = GetParam();
  options.sampling.xtc_threshold = 0.2f;
  options.processors = {[](std::span<float> row, const LogitsContext& /*context*/) {
    std::fill(row.begin() + kVocabulary, row.end(), -std::numeric_limits<float>::infinity());
  }};
  const auto exit = early_exit(1, {.confidence = 0});
  std::array<double, kVocabulary * kVocabulary * kVocabulary> counts{}, shares{};
  constexpr int kTexts = 4000;
  Session session(model);
  for (int i = 0; i < kTexts; ++i) {
    options.seed = static_cast<std::uint64_t>(i);
    const SequenceId sequence = session.create();
    const auto text = generate_speculatively(session, sequence, tokenizer, ids, *exit,
                                             {.max_draft_tokens = 3, .adaptive = false}, options)
                          .generation.ids;
    session.remove(sequence);
    ASSERT_EQ(text.size(), 3u);
    counts[static_cast<std::size_t>((text[0] * 4 + text[1]) * 4 + text[2])] += 1;
  }
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(shares.size()); ++i) {
    std::vector<std::int64_t> all = ids;
    double share = 1;
    for (const std::int64_t id : {i / 16, i / 4 % 4, i % 4}) {
      at::Tensor row = model.forward(testing::to_tensor(all)).select(0, 0).select(0, -1).narrow(0, 0, kVocabulary);
      row = row.contiguous().clone();
      const double plain = row.to(at::kDouble).softmax(-1)[id].item<double>();
      processors::Xtc{1.0f, options.sampling.xtc_threshold}({row.data_ptr<float>(), kVocabulary}, {});
      const double without_the_best = row.to(at::kDouble).softmax(-1)[id].item<double>();
      share *= (1 - GetParam()) * plain + GetParam() * without_the_best;
      all.push_back(id);
    }
    shares[static_cast<std::size_t>(i)] = share;
  }
  double chi_squared = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const double expected = shares[i] * kTexts;
    chi_squared += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  EXPECT_LT(chi_squared, 103.4) << "one of a thousand with 63 degrees of freedom";
}

INSTANTIATE_TEST_SUITE_P(Xtc, SampledTexts, ::testing::Values(0.0f, 0.5f),
                         [](const auto& info) { return info.param > 0 ? "sometimes" : "never"; });

TEST(Speculative, ProcessorsOfDraftsSeeTheTextsSeed) {
  const CausalLM model = testing::load("tiny_mqa_linear", Dtype::automatic);
  std::int64_t rows = 0;
  GenerationOptions options{.max_new_tokens = 12, .temperature = 1.0f, .seed = 77, .ignore_eos = true};
  options.processors = {[&rows](std::span<float> /*row*/, const LogitsContext& context) {
    EXPECT_EQ(context.seed, 77u);
    ++rows;
  }};
  const std::vector<std::int64_t> ids = {1, 5, 9, 3, 7};
  const auto exit = early_exit(1, {.confidence = 0});
  const auto found =
      generate_speculatively(model, tiny_tokenizer(), ids, *exit, {.max_draft_tokens = 3, .adaptive = false}, options);
  EXPECT_GE(rows, std::ssize(found.generation.ids) + found.statistics.drafted) << "drafts' rows are processed too";
}

// Rows of a pass have the bits of tokens that come alone, also behind the length where attention is cut and rounded.
TEST(Speculative, RealModelsTextIsThatOfPlainDecoding) {
  POWERHOUSE_NEEDS_REAL_MODEL();
  const CausalLM model = CausalLM::from_pretrained(testing::real_model());
  const Tokenizer tokenizer = Tokenizer::from_pretrained(testing::real_model());
  std::string passage;
  for (const char* line : {"The river rose in the night, and by morning the lower fields lay under brown water. ",
                           "Nobody in the village had seen it come so fast. The miller counted 14 sacks of flour. ",
                           "He swore that he would build his next house on the hill, where the old church stands. "}) {
    passage += line;
  }
  const std::string prompt = passage + passage + passage + passage + "Copy the text above:\n" + passage.substr(0, 40);
  const std::vector<std::int64_t> ids = tokenizer.encode(prompt);
  ASSERT_GT(ids.size(), 256u);
  Session one(model), together(model);
  const SequenceId a = one.create(), b = together.create();
  one.forward(a, ids);
  together.forward(b, ids);
  const std::vector<std::int64_t> next = tokenizer.encode(passage.substr(40, 160));
  const at::Tensor rows = together.forward(b, next, LogitsOf::all, PassOptions{.singly = true});
  for (std::size_t i = 0; i < next.size(); ++i) {
    const at::Tensor row = one.forward(a, {&next[i], 1});
    EXPECT_TRUE(row.select(0, 0).equal(rows.select(0, static_cast<std::int64_t>(i)))) << i;
  }
  const GenerationOptions greedy{.max_new_tokens = 60, .ignore_eos = true};
  expect_plain_text(model, tokenizer, ids, greedy);
}

TEST(DraftLength, GoesByWhatIsMeasured) {
  const auto decide = [](double row_seconds, double accepted_share) {
    DraftLength length(10, true);
    length.passed(1, 0.010);
    std::int64_t last = 0;
    for (int i = 0; i < 200; ++i) {
      last = length.choose(0);
      length.passed(last + 1, 0.010 + row_seconds * static_cast<double>(last));
      if (last == 0) continue;
      length.verified(0, last, i % 100 < 100 * accepted_share ? last : 0);
    }
    return last;
  };
  EXPECT_EQ(decide(0.0001, 1.0), 10) << "rows cost nothing and all come true";
  EXPECT_EQ(decide(0.009, 0.05), 0) << "rows cost as much as passes and few come true";
  DraftLength fixed(7, false);
  EXPECT_EQ(fixed.choose(0), 7);
}

TEST(DraftLength, TriesAgain) {
  DraftLength length(10, true);
  length.passed(1, 0.010);
  int tries = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t count = length.choose(0);
    length.passed(count + 1, 0.010 * static_cast<double>(count + 1));
    if (count == 0) continue;
    ++tries;
    length.verified(0, count, 0);
  }
  EXPECT_GT(tries, 2);
  EXPECT_LT(tries, 40);
}

TEST(Speculative, RefusesWhatMakesNoSense) {
  const CausalLM model = testing::load("tiny_gqa"), other = testing::load("tiny_mqa_linear");
  const Tokenizer tokenizer = tiny_tokenizer();
  const std::vector<std::int64_t> ids = {1, 2, 3};
  const auto usage = [](std::string_view field, auto body) { expect_error(ErrorKind::usage, field, body); };
  const auto lookup = prompt_lookup();
  usage("max_ngram", [] { prompt_lookup(0); });
  usage("confidence", [] { early_exit(1, {.confidence = 2}); });
  usage("max_draft_tokens", [&] { generate_speculatively(model, tokenizer, ids, *lookup, {.max_draft_tokens = 0}); });
  usage("prompt", [&] { generate_speculatively(model, tokenizer, {}, *lookup); });
  usage("layers", [&] { generate_speculatively(model, tokenizer, ids, *early_exit(2)); });
  const auto alien = draft_model(other, tokenizer);
  expect_error(ErrorKind::unsupported, "vocabulary", [&] { generate_speculatively(model, tokenizer, ids, *alien); });
}

}  // namespace
}  // namespace powerhouse
