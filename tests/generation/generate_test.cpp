// Generation on the real model: what is promised to hold whatever the text is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "expect_error.h"
#include "model/fixture.h"
#include "powerhouse/generation.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::real_model;

class Generate : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (real_model().empty()) return;
    model_ = std::make_unique<CausalLM>(CausalLM::from_pretrained(real_model()));
    tokenizer_ = std::make_unique<Tokenizer>(Tokenizer::from_pretrained(real_model()));
  }
  static void TearDownTestSuite() {
    model_.reset();
    tokenizer_.reset();
  }
  void SetUp() override { POWERHOUSE_NEEDS_REAL_MODEL(); }

  GenerationResult run(std::string_view prompt, const GenerationOptions& options) {
    return generate(*model_, *tokenizer_, prompt, options);
  }

  static std::unique_ptr<CausalLM> model_;
  static std::unique_ptr<Tokenizer> tokenizer_;
};

std::unique_ptr<CausalLM> Generate::model_;
std::unique_ptr<Tokenizer> Generate::tokenizer_;

TEST_F(Generate, StreamsWhatItReturns) {
  std::string streamed;
  GenerationOptions options{.max_new_tokens = 24, .temperature = 0.9f, .top_p = 0.9f, .seed = 3};
  options.on_token = [&](std::string_view text) { streamed += text; };
  const auto result = run("Once upon a time", options);
  EXPECT_FALSE(result.text.empty());
  EXPECT_EQ(streamed, result.text);
  EXPECT_EQ(result.ids.size(), 24u);
  EXPECT_EQ(result.finish_reason, FinishReason::length);
  EXPECT_EQ(result.text, tokenizer_->decode(result.ids, {.skip_special_tokens = true}));
}

TEST_F(Generate, TheSeedDecides) {
  const auto text = [&](std::uint64_t seed, int threads_wanted) {
    const int before = threads();
    set_threads(threads_wanted);
    const auto result = run("My favourite food is", {.max_new_tokens = 12, .temperature = 1.2f, .seed = seed});
    set_threads(before);
    return result.text;
  };
  EXPECT_EQ(text(1, 2), text(1, 2));
  EXPECT_EQ(text(1, 2), text(1, 1));
  EXPECT_NE(text(1, 2), text(2, 2));
  const auto drawn = run("My favourite food is", {.max_new_tokens = 12, .temperature = 1.2f});
  const auto again = run("My favourite food is", {.max_new_tokens = 12, .temperature = 1.2f, .seed = drawn.seed});
  EXPECT_EQ(drawn.text, again.text);
}

TEST_F(Generate, StopsBeforeAStopStringAcrossTokens) {
  const auto free = run("1, 2, 3, 4, 5, 6,", {.max_new_tokens = 24});
  ASSERT_GT(free.text.size(), 12u);
  const std::string stop = free.text.substr(5, 4);  // whatever tokens it spans
  std::string streamed;
  GenerationOptions options{.max_new_tokens = 24, .stop = {"never there", stop}};
  options.on_token = [&](std::string_view text) { streamed += text; };
  const auto stopped = run("1, 2, 3, 4, 5, 6,", options);
  EXPECT_EQ(stopped.finish_reason, FinishReason::stop);
  EXPECT_EQ(stopped.text, free.text.substr(0, free.text.find(stop)));
  EXPECT_EQ(streamed, stopped.text);
}

TEST_F(Generate, EndsAtAnyOfSeveralEosIds) {
  const auto free = run("The capital of France is", {.max_new_tokens = 10, .ignore_eos = true});
  const std::int64_t third = free.ids[2];
  const auto ended = run("The capital of France is", {.max_new_tokens = 10, .eos_token_ids = {999999, third}});
  EXPECT_EQ(ended.finish_reason, FinishReason::eos);
  EXPECT_EQ(ended.ids.back(), third);
  EXPECT_LE(ended.ids.size(), 3u);
  EXPECT_EQ(ended.text, tokenizer_->decode(std::span(ended.ids).first(ended.ids.size() - 1)));
}

TEST_F(Generate, CanBeCancelled) {
  std::stop_source source;
  GenerationOptions options{.max_new_tokens = 500, .ignore_eos = true, .cancel = source.get_token()};
  int pieces = 0;
  options.on_token = [&](std::string_view) {
    if (++pieces == 3) source.request_stop();
  };
  const auto result = run("Tell me a story.", options);
  EXPECT_EQ(result.finish_reason, FinishReason::cancelled);
  EXPECT_LT(result.ids.size(), 10u);
}

TEST_F(Generate, CachedEqualsUncached) {
  const auto ids = tokenizer_->encode("Water boils at");
  const CausalLM exact = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  Session session(exact);
  const auto result = generate(session, session.create(), *tokenizer_, ids, {.max_new_tokens = 8, .ignore_eos = true});
  std::vector<std::int64_t> all = ids;
  for (const std::int64_t id : result.ids) {
    const at::Tensor logits = exact.forward(testing::to_tensor(all));
    EXPECT_EQ(logits.select(0, 0).select(0, -1).argmax().item<std::int64_t>(), id);
    all.push_back(id);
  }
}

// In float32: reused rows may have been computed in other pieces, which other types and codes make visible.
TEST_F(Generate, ReusesWhatThePromptSharesWithTheSequence) {
  const CausalLM exact = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  const GenerationOptions options{.max_new_tokens = 12, .repetition_penalty = 1.1f, .cache_prompt = true};
  Session session(exact);
  const SequenceId sequence = session.create();
  const auto turn = [&](std::string_view prompt) {
    const auto ids = tokenizer_->encode(prompt);
    const auto result = generate(session, sequence, *tokenizer_, ids, options);
    EXPECT_EQ(result.text, generate(exact, *tokenizer_, prompt, options).text) << prompt;
    EXPECT_EQ(result.prompt_tokens, static_cast<std::int64_t>(ids.size()));
    return result;
  };
  const std::string prompt = "The three largest cities of France are";
  const auto first = turn(prompt);
  EXPECT_EQ(first.reused_tokens, 0);
  const auto again = turn(prompt);  // all of it is cached: the last token is computed for its logits
  EXPECT_EQ(again.reused_tokens, again.prompt_tokens - 1);
  EXPECT_GE(turn(prompt + first.text + " And of Spain?").reused_tokens, first.prompt_tokens);
  EXPECT_EQ(turn("The three largest lakes").reused_tokens,
            static_cast<std::int64_t>(tokenizer_->encode("The three largest").size()));
  EXPECT_EQ(turn("Water boils").reused_tokens, 0);
}

TEST_F(Generate, ASavedCacheServesAnotherConversation) {
  const CausalLM exact = CausalLM::from_pretrained(real_model(), {.dtype = Dtype::f32});
  const testing::TemporaryFolder folder;
  const GenerationOptions options{.max_new_tokens = 8};
  Conversation first(exact, *tokenizer_, "You are a geographer who answers in few words.");
  EXPECT_EQ(first.send("Name a river.", options).reused_tokens, 0);
  first.save_cache(folder.file("cache"));
  Conversation second(exact, *tokenizer_, "You are a geographer who answers in few words.");
  second.restore_cache(folder.file("cache"));
  EXPECT_TRUE(second.history().size() == 1);
  const auto found = second.send("Name a mountain.", options);
  EXPECT_GT(found.reused_tokens, 10);
  Conversation fresh(exact, *tokenizer_, "You are a geographer who answers in few words.");
  EXPECT_EQ(found.text, fresh.send("Name a mountain.", options).text);
}

TEST_F(Generate, RefusesWhatDoesNotFit) {
  const std::vector<std::int64_t> long_prompt(static_cast<std::size_t>(model_->config().max_position_embeddings) + 1,
                                              5);
  Session session(*model_);
  const SequenceId sequence = session.create();
  expect_error(ErrorKind::range, "context", [&] { generate(session, sequence, *tokenizer_, long_prompt); });
  expect_error(ErrorKind::usage, "prompt", [&] { generate(session, sequence, *tokenizer_, {}); });
  const std::vector<std::int64_t> alien = {1 << 20};
  expect_error(ErrorKind::range, "vocabulary", [&] { generate(session, sequence, *tokenizer_, alien); });
  expect_error(ErrorKind::usage, "top_p", [&] { run("x", {.top_p = 2.0f}); });
  EXPECT_EQ(session.length(sequence), 0);
}

TEST_F(Generate, AConversationEqualsOneChatCall) {
  const GenerationOptions options{.max_new_tokens = 16};
  Conversation conversation(*model_, *tokenizer_, "Answer briefly.");
  const auto first = conversation.send("Name a colour.", options);
  const auto second = conversation.send("And another.", options);
  const std::vector<Message> messages = {
      {"system", "Answer briefly."}, {"user", "Name a colour."}, {"assistant", first.text}, {"user", "And another."}};
  EXPECT_EQ(second.text, chat(*model_, *tokenizer_, messages, options).text);
  EXPECT_GT(second.prompt_tokens, first.prompt_tokens + static_cast<std::int64_t>(first.ids.size()));
  EXPECT_GE(second.reused_tokens, first.prompt_tokens) << "the first turn comes from the cache";
  ASSERT_EQ(conversation.history().size(), 5u);
  GenerationOptions failing = options;
  failing.on_token = [](std::string_view) { throw std::runtime_error("the user's callback"); };
  EXPECT_THROW(conversation.send("Third?", failing), std::runtime_error);
  EXPECT_EQ(conversation.history().size(), 5u);
  EXPECT_FALSE(conversation.send("Third?", options).text.empty());
}

TEST_F(Generate, HoldsTheTextToAConstraint) {
  const Constraint constraint = Constraint::from_json_schema(
      *tokenizer_,
      R"({"type":"object","required":["name","age"],"properties":{)"
      R"("name":{"type":"string","pattern":"^[A-Z][a-z]{1,9}$"},"age":{"type":"integer","maximum":99,"minimum":10}}})",
      {.whitespace = JsonWhitespace::compact});
  for (const float temperature : {0.0f, 1.5f}) {
    for (const float penalty : {1.0f, 1.3f}) {
      const auto result = run("A person in JSON: ", {.max_new_tokens = 64,
                                                     .temperature = temperature,
                                                     .repetition_penalty = penalty,
                                                     .seed = 5,
                                                     .ignore_eos = penalty != 1.0f,
                                                     .constraint = constraint});
      EXPECT_THAT(result.text, ::testing::MatchesRegex(R"(\{"name":"[A-Z][a-z]+","age":[1-9][0-9]\})"));
      EXPECT_EQ(result.finish_reason, FinishReason::stop);  // nothing can follow the brace
    }
  }
}

TEST_F(Generate, EndsAConstrainedTextByEosWhereItIsComplete) {
  const Constraint constraint = Constraint::from_gbnf(*tokenizer_, "root ::= \"yes\" [^\\n]*");
  const auto result =
      chat(*model_, *tokenizer_, {{"user", "Is the sky blue?"}}, {.max_new_tokens = 200, .constraint = constraint});
  EXPECT_TRUE(result.text.starts_with("yes")) << result.text;
  EXPECT_EQ(result.finish_reason, FinishReason::eos);
  EXPECT_TRUE(tokenizer_->is_special(result.ids.back()));
}

}  // namespace
}  // namespace powerhouse
