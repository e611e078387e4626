// Prompts and prefixes in front of sequences take their share of the context, and a session keeps to those that it
// began with.
#include <span>

#include "adapter_fixture.h"
#include "expect_error.h"
#include "model/branches.h"
#include "ops/tensors.h"
#include "powerhouse/batch_generation.h"
#include "powerhouse/contrastive_search.h"
#include "powerhouse/evaluation.h"
#include "powerhouse/generation.h"
#include "powerhouse/session.h"
#include "training/tiny_run.h"

namespace powerhouse::testing {
namespace {

constexpr std::int64_t kContext = 64, kVirtual = 8;

// Llama with 64 positions, eight of them an adapter's.
class VirtualTokens : public ::testing::TestWithParam<bool> {
 protected:
  VirtualTokens() : model_(load("families/llama_llama3")) { add("v", kVirtual, 1); }

  void add(const std::string& name, std::int64_t count, std::uint64_t seed) {
    if (GetParam()) {
      add_adapter(model_, name, PromptTuningConfig{.num_virtual_tokens = count, .seed = seed});
    } else {
      add_adapter(model_, name, PrefixTuningConfig{.num_virtual_tokens = count, .seed = seed});
    }
  }
  static std::vector<std::int64_t> ids(std::int64_t count) { return std::vector<std::int64_t>(count, 5); }
  static at::Tensor batch(std::int64_t count) { return index_tensor(ids(count)).unsqueeze(0); }

  CausalLM model_;
};

TEST_P(VirtualTokens, CountAsTokensOfTheContext) {
  ASSERT_EQ(longest_sequence(model_.config()), kContext);
  Session session(model_);
  const SequenceId sequence = session.create();
  EXPECT_EQ(session.length(sequence), 0);
  EXPECT_EQ(session.room(sequence), kContext - kVirtual);
  const char* said = "at most 64, the adapter's 8 virtual ones among them";
  expect_error(ErrorKind::range, said, [&] { session.forward(sequence, ids(kContext - kVirtual + 1)); });
  EXPECT_EQ(session.room(sequence), kContext - kVirtual);
  session.forward(sequence, ids(kContext - kVirtual));
  EXPECT_EQ(session.room(sequence), 0);
  expect_error(ErrorKind::range, said, [&] { session.forward(sequence, ids(1)); });

  EXPECT_TRUE(model_.forward(batch(kContext - kVirtual)).defined());
  expect_error(ErrorKind::range, said, [&] { model_.forward(batch(kContext - kVirtual + 1)); });
  TokenBatch fits, longer;
  fits.add(ids(kContext - kVirtual));
  longer.add(ids(3));
  longer.add(ids(kContext - kVirtual + 1));
  EXPECT_TRUE(model_.score(fits).log_probs.defined());
  expect_error(ErrorKind::range, said, [&] { model_.score(longer); });
  // Without the adapter they fit.
  disable_adapters(model_);
  EXPECT_TRUE(model_.forward(batch(kContext)).defined());
  EXPECT_TRUE(model_.score(longer).log_probs.defined());
}

TEST_P(VirtualTokens, StandOnceBeforeAPromptThatIsShared) {
  const SharedPrompts prompts(model_.config().vocab_size);
  for (const std::int64_t layers : {0, -1}) {
    expect_same_scores(model_, prompts.shared(), prompts.apart(), {.checkpointed_layers = layers});
  }
  TokenBatch longer;
  const std::vector<std::int64_t> prompt = ids(20), branch = ids(kContext - kVirtual - 20 + 1);
  longer.add_branches(prompt, {{branch}});
  expect_error(ErrorKind::range, "virtual ones", [&] { model_.score(longer); });
}

TEST_P(VirtualTokens, ThatLeaveNoRoom) {
  add("whole", kContext, 1);
  set_adapter(model_, "whole");
  Session session(model_);
  EXPECT_EQ(session.room(session.create()), 0);
  add("more", kContext + 1, 1);
  set_adapter(model_, "more");
  Session none(model_);
  expect_error(ErrorKind::range, "found 65", [&] { none.create(); });
}

TEST_P(VirtualTokens, OfAnotherAdapterAreToldApart) {
  Session session(model_);
  const SequenceId sequence = session.create();
  const at::Tensor before = session.forward(sequence, ids(3));
  add("other", kVirtual, 2);  // as many
  set_adapter(model_, "other");
  const char* said = "the session began with other virtual tokens";
  expect_error(ErrorKind::usage, said, [&] { session.forward(sequence, ids(1)); });
  expect_error(ErrorKind::usage, said, [&] { session.create(); });
  disable_adapters(model_);
  expect_error(ErrorKind::usage, "other 0 virtual tokens", [&] { session.forward(sequence, ids(1)); });
  set_adapter(model_, "v");
  EXPECT_TRUE(session.forward(session.create(), ids(3)).equal(before));
}

TEST_P(VirtualTokens, EndGenerationWhereTheContextIsFull) {
  const TemporaryFolder folder;
  const std::string path = write_tiny_model(folder);
  const Tokenizer tokenizer = Tokenizer::from_pretrained(path);
  model_ = CausalLM::from_pretrained(path, {.dtype = Dtype::f32});
  const std::int64_t longest = longest_sequence(model_.config());
  add("v", longest - 10, 1);
  const LogitsProcessor known = [](std::span<float> logits, const LogitsContext&) { logits[7] = 1000; };
  const GenerationOptions options{.max_new_tokens = 1000, .ignore_eos = true, .processors = {known}};
  // The last token is not computed on.
  EXPECT_EQ(generate(model_, tokenizer, "abcdef", options).ids.size(), 5u);
  expect_error(ErrorKind::range, "virtual ones", [&] { generate(model_, tokenizer, "abcdefghijk", options); });
  const std::vector<std::int64_t> long_prompt = tokenizer.encode("abcdefghijk");
  const auto batch = [&] { generate_batch(model_, tokenizer, {{.ids = long_prompt, .options = options}}); };
  expect_error(ErrorKind::range, "request 0", batch);  // before anything runs
  expect_error(ErrorKind::range, "at most 10", batch);
  // Here it is.
  EXPECT_EQ(contrastive_search(model_, tokenizer, "abcdef", {.generation = options}).ids.size(), 4u);
  GenerationOptions guided = options;
  guided.sampling = {.guidance_scale = 1.5f, .negative_prompt_ids = tokenizer.encode("abcdefgh")};
  EXPECT_EQ(generate(model_, tokenizer, "abcdef", guided).ids.size(), 3u);
  // Chunks of a text are as long as there is room.
  const std::string text(100, 'a');
  EXPECT_EQ(perplexity(model_, tokenizer, text, {.context = 10}).chunks, 10);
  expect_error(ErrorKind::range, "even, 4 to 10", [&] { perplexity(model_, tokenizer, text, {.context = 12}); });
}

// A prompt of the embeddings of tokens is those tokens, whoever scales embeddings.
TEST(Prompt, OfTokensIsTheTokens) {
  for (const char* name :
       {"families/llama_biases", "families/gemma_hub", "families/gemma3_hub", "families/granite_multipliers"}) {
    CausalLM model = load(name);
    const at::Tensor whole = model.forward(index_tensor(std::vector<std::int64_t>{5, 9, 5, 4, 8, 7}).unsqueeze(0));
    add_adapter(model, "a", PromptTuningConfig{.num_virtual_tokens = 3, .init_token_ids = {5, 9}});
    const at::Tensor found = model.forward(index_tensor(std::vector<std::int64_t>{4, 8, 7}).unsqueeze(0));
    EXPECT_TRUE(close(found, whole.narrow(1, 3, 3), kLogitsTolerance)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Kind, VirtualTokens, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Prompt" : "Prefix"; });

}  // namespace
}  // namespace powerhouse::testing
