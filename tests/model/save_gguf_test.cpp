// GGUF files of ours: read back they are the same model, to the bit, and hold what llama.cpp's own conversion holds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "expect_error.h"
#include "fixture.h"
#include "formats/gguf_writer.h"
#include "json_numbers.h"
#include "powerhouse/tokenizer.h"
#include "support/json.h"
#include "support/mapped_file.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

std::vector<std::string> files() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(fixture("families_gguf"))) {
    if (entry.path().extension() == ".gguf") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class SaveGguf : public ::testing::TestWithParam<std::string> {};

// From llama.cpp's conversion through a model to our file: every tensor has the same name, type, shape and bytes, and
// every key that both have the same value.
TEST_P(SaveGguf, EqualsTheConversionOfLlamaCpp) {
  const std::string path = fixture("families_gguf/" + GetParam() + ".gguf");
  const auto theirs = GgufFile::open(path);
  const CausalLM model = CausalLM::from_pretrained(path);
  const TemporaryFolder temporary;
  const std::string saved = temporary.file("saved.gguf");
  model.save_pretrained(saved);
  const auto ours = GgufFile::open(saved);
  EXPECT_EQ(ours->tensors().size(), theirs->tensors().size());
  for (const TensorView& want : theirs->tensors()) {
    const TensorView* got = ours->find_tensor(want.name);
    ASSERT_NE(got, nullptr) << want.name;
    EXPECT_EQ(block_info(got->format).name, block_info(want.format).name) << want.name;
    EXPECT_EQ(got->shape, want.shape) << want.name;
    ASSERT_EQ(got->bytes, want.bytes) << want.name;
    EXPECT_EQ(std::memcmp(got->data, want.data, want.bytes), 0) << want.name;
  }
  const auto mine = copy_entries(*ours, "");
  int shared = 0;
  for (const GgufEntry& want : copy_entries(*theirs, "")) {
    for (const GgufEntry& got : mine) {
      if (got.key != want.key || got.key.starts_with("general.")) continue;
      EXPECT_EQ(got, want) << got.key;
      ++shared;
    }
  }
  EXPECT_GE(shared, 8);
  const CausalLM back = CausalLM::from_pretrained(saved);
  const at::Tensor ids = to_tensor({1, 5, 9, 3, 7, 11, 2, 30});
  EXPECT_TRUE(back.forward(ids).equal(model.forward(ids)));
}

// llama.cpp loaded what we write (tests/oracles/llama_greedy.py) and said these tokens.
const Json& recorded_greedy() {
  static const Json recorded = Json::parse_file(fixture("families_gguf/llama_cpp_greedy.json"));
  return recorded;
}

void expect_continuation(const CausalLM& model, const Json& expected) {
  std::vector<std::int64_t> ids = testing::integers(recorded_greedy().at("prompt"));
  for (const Json& token : expected.as_array()) {
    const std::int64_t next = model.forward(to_tensor(ids))[0][-1].argmax().item<std::int64_t>();
    ASSERT_EQ(next, token.as_integer()) << "token " << ids.size();
    ids.push_back(next);
  }
}

TEST_P(SaveGguf, ContinuesAsInLlamaCpp) {
  const Json& recorded = recorded_greedy();
  if (const Json* why = recorded.at("not_run").get(GetParam())) GTEST_SKIP() << why->as_string();
  const CausalLM model =
      CausalLM::from_pretrained(fixture("families_gguf/" + GetParam() + ".gguf"), {.dtype = Dtype::f32});
  expect_continuation(model, recorded.at("greedy").at(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Tiny, SaveGguf, ::testing::ValuesIn(files()), [](const auto& info) { return info.param; });

class FolderAsGguf : public ::testing::TestWithParam<std::string> {};

// A folder becomes a GGUF file of the same logits that llama.cpp loads, or an Error says why not.
TEST_P(FolderAsGguf, IsTheSameModelOrRefused) {
  const CausalLM model = load("families/" + GetParam());
  const TemporaryFolder temporary;
  const std::string saved = temporary.file("saved.gguf");
  try {
    model.save_pretrained(saved);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported) << error.what();
    EXPECT_FALSE(std::filesystem::exists(saved));
    return;
  }
  const CausalLM back = CausalLM::from_pretrained(saved, {.dtype = Dtype::f32});
  const at::Tensor ids = Tensors(fixture("families/" + GetParam() + "/expected.safetensors"))["input_ids"];
  EXPECT_TRUE(close(back.forward(ids.narrow(0, 0, 1))[0], model.forward(ids.narrow(0, 0, 1))[0], kSameF32));
  const Json* continuation = recorded_greedy().at("folders").get(GetParam());
  ASSERT_NE(continuation, nullptr) << "llama.cpp has not loaded this file";
  expect_continuation(model, *continuation);
}

INSTANTIATE_TEST_SUITE_P(Tiny, FolderAsGguf, ::testing::ValuesIn(family_names()),
                         [](const auto& info) { return info.param; });

// A vocabulary of letters, the blank (U+0120) and one merge.
std::string small_tokenizer() {
  std::string vocabulary;
  for (char c = 'a'; c <= 'z'; ++c) {
    vocabulary += std::string("\"") + c + "\":" + std::to_string(c - 'a') + ",";
  }
  return R"({"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},)"
         R"("decoder":{"type":"ByteLevel"},"post_processor":null,)"
         R"("added_tokens":[{"id":28,"content":"<s>","special":true,"normalized":false}],)"
         R"("model":{"type":"BPE","merges":["a b"],"vocab":{)" +
         vocabulary + "\"\xC4\xA0\":26,\"ab\":27}}}";
}

TEST(SaveGgufOf, AFolderTakesItsTokenizerAlong) {
  const TemporaryFolder temporary;
  const std::string folder = temporary.file("folder");
  std::filesystem::copy(fixture("tiny_gqa"), folder, std::filesystem::copy_options::recursive);
  temporary.write("folder/tokenizer.json", small_tokenizer());
  temporary.write("folder/tokenizer_config.json", R"({"bos_token":"<s>","chat_template":"{{ messages }}"})");
  const CausalLM model = CausalLM::from_pretrained(folder, {.dtype = Dtype::f32});
  const std::string saved = temporary.file("saved.gguf");
  model.save_pretrained(saved);
  const Tokenizer source = Tokenizer::from_pretrained(folder);
  const Tokenizer written = Tokenizer::from_pretrained(saved);
  EXPECT_EQ(written.encode("ab <s>b a"), source.encode("ab <s>b a"));
  EXPECT_EQ(written.encode("ab").size(), 1u);
  EXPECT_EQ(written.bos_token_id(), 28);
  EXPECT_EQ(written.chat_template(), "{{ messages }}");
  EXPECT_EQ(static_cast<std::int64_t>(written.vocab_size()), model.config().vocab_size);
  EXPECT_EQ(CausalLM::from_pretrained(saved).config().vocab_size, model.config().vocab_size);

  // And back from there into a folder, which a copy of that folder keeps as it is.
  const std::string back = temporary.file("back");
  CausalLM::from_pretrained(saved).save_pretrained(back);
  const std::string copied = temporary.file("copied");
  CausalLM::from_pretrained(back).save_pretrained(copied);
  for (const std::string& path : {back, copied}) {
    const Tokenizer again = Tokenizer::from_pretrained(path);
    EXPECT_EQ(again.encode("ab <s>b a"), source.encode("ab <s>b a"));
    EXPECT_EQ(again.bos_token_id(), 28);
    EXPECT_EQ(again.chat_template(), "{{ messages }}");
  }
  EXPECT_EQ(read_text(back + "/tokenizer.json"), read_text(copied + "/tokenizer.json"));
}

TEST(SaveFolder, WithoutATokenizerWhereTheFileHasNone) {
  const TemporaryFolder temporary;
  const std::string folder = temporary.file("x");
  load("tiny_gqa").save_pretrained(folder);
  EXPECT_FALSE(std::filesystem::exists(folder + "/tokenizer.json"));
}

TEST(SaveGgufOf, AFolderWhoseTokenizerDoesNotFitIsRefused) {
  const TemporaryFolder temporary;
  const std::string folder = temporary.file("folder");
  std::filesystem::copy(fixture("tiny_gqa"), folder, std::filesystem::copy_options::recursive);
  temporary.write("folder/tokenizer.json", R"({"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}})");
  const CausalLM model = CausalLM::from_pretrained(folder, {.dtype = Dtype::f32});
  expect_error(ErrorKind::unsupported, "tokenizer", [&] { model.save_pretrained(temporary.file("x.gguf")); });
  EXPECT_FALSE(std::filesystem::exists(temporary.file("x.gguf")));
}

TEST(SaveGgufOf, FamiliesWithoutAGraphAreRefused) {
  const TemporaryFolder temporary;
  for (const char* name : {"opt_pre_norm", "gptj_full", "falcon_rw"}) {
    const CausalLM model = load(std::string("families/") + name);
    expect_error(ErrorKind::unsupported, "llama.cpp", [&] { model.save_pretrained(temporary.file("x.gguf")); });
    EXPECT_FALSE(std::filesystem::exists(temporary.file("x.gguf")));
  }
}

}  // namespace
}  // namespace powerhouse
