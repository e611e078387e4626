// A sequence saved and restored goes on with the same bits as one that was never interrupted; whatever is wrong with a
// file is an Error, and the session stays as it was.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "expect_error.h"
#include "file_bytes.h"
#include "fixture.h"
#include "kernels/reference/cache.h"
#include "model/causal_lm_impl.h"
#include "model/session_file.h"
#include "powerhouse/session.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

using Ids = std::vector<std::int64_t>;

Ids linear_ids(std::int64_t count, std::int64_t first = 0) {
  Ids ids;
  for (std::int64_t i = first; i < first + count; ++i) ids.push_back((i * 31 + 22) % 37);
  return ids;
}

struct Case {
  const char* name;
  const char* path;
  Dtype dtype = Dtype::f32;
  KvType kv_type = KvType::automatic;
  std::int64_t before = 29;  // tokens, and as many as `after` when it has been restored
  std::int64_t after = 6;
  std::optional<KvType> value_type{};

  friend void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }
};

class SavedSequence : public ::testing::TestWithParam<Case> {
 protected:
  TemporaryFolder folder_;
};

TEST_P(SavedSequence, GoesOnWithTheSameBits) {
  const CausalLM model = load(GetParam().path, GetParam().dtype);
  if (GetParam().before > 64) model.impl().model->config.max_position_embeddings = 2048;
  const Ids before = linear_ids(GetParam().before);
  const Ids after = linear_ids(GetParam().after, GetParam().before);
  const std::string path = folder_.file("sequence.safetensors");
  Session first(model, {.kv_type = GetParam().kv_type, .value_type = GetParam().value_type, .page_tokens = 4});
  const SequenceId sequence = first.create();
  first.forward(sequence, before, LogitsOf::none);
  first.save(sequence, path);
  const at::Tensor expected = first.forward(sequence, after, LogitsOf::all);
  for (const std::int64_t page_tokens : {1, 4, 16, 64}) {
    Session second(model,
                   {.kv_type = GetParam().kv_type, .value_type = GetParam().value_type, .page_tokens = page_tokens});
    second.create();  // ids of sequences are the session's own
    const SequenceId restored = second.restore(path);
    EXPECT_EQ(second.length(restored), GetParam().before);
    EXPECT_EQ(Ids(second.tokens(restored).begin(), second.tokens(restored).end()), before);
    const at::Tensor logits = second.forward(restored, after, LogitsOf::all);
    EXPECT_TRUE(logits.equal(expected)) << "pages of " << page_tokens;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, SavedSequence,
    ::testing::Values(Case{"float32", "tiny_gqa"}, Case{"bf16", "tiny_bf16", Dtype::bf16},
                      Case{"float16_cache", "tiny_gqa", Dtype::f32, KvType::f16},
                      Case{"plan", "tiny_blocks_q4_0.gguf", Dtype::automatic},
                      Case{"plan_in_parts", "tiny_blocks_q4_0.gguf", Dtype::automatic, KvType::automatic, 555, 6},
                      Case{"plan_in_parts_q8_0_cache", "tiny_blocks_q4_0.gguf", Dtype::automatic, KvType::q8_0, 555, 6},
                      Case{"q8_0_cache", "tiny_blocks", Dtype::f32, KvType::q8_0},
                      Case{"q4_0_cache", "tiny_blocks", Dtype::f32, KvType::q4_0},
                      Case{"q8_0_q4_1_cache", "tiny_blocks", Dtype::f32, KvType::q8_0, 29, 6, KvType::q4_1},
                      Case{"plan_q5_0_f16_cache", "tiny_blocks_q4_0.gguf", Dtype::automatic, KvType::q5_0, 29, 6,
                           KvType::f16},
                      Case{"plan_q8_0_cache", "tiny_blocks_q4_0.gguf", Dtype::automatic, KvType::q8_0},
                      Case{"plan_q4_0_cache", "tiny_blocks_q4_0.gguf", Dtype::automatic, KvType::q4_0},
                      Case{"longrope_within", "families/llama_longrope", Dtype::f32, KvType::automatic, 5, 3},
                      Case{"longrope_across", "families/llama_longrope", Dtype::f32, KvType::automatic, 5, 30},
                      Case{"longrope_beyond", "families/llama_longrope", Dtype::f32, KvType::automatic, 30, 3},
                      Case{"dynamic_across", "families/llama_dynamic", Dtype::f32, KvType::automatic, 5, 30},
                      Case{"dynamic_beyond", "families/llama_dynamic", Dtype::f32, KvType::automatic, 30, 3},
                      Case{"windows_per_layer", "families/gemma3_hub", Dtype::f32}),
    [](const auto& info) { return std::string(info.param.name); });

class SessionFile : public ::testing::Test {
 protected:
  // A file of `ids` in a session of the model.
  std::string saved(const CausalLM& model, const Ids& ids, const SessionOptions& options = {}) const {
    const std::string path = folder_.file("sequence");
    Session session(model, options);
    const SequenceId sequence = session.create();
    if (!ids.empty()) session.forward(sequence, ids, LogitsOf::none);
    session.save(sequence, path);
    return path;
  }

  TemporaryFolder folder_;
  CausalLM model_ = load("tiny_gqa");
};

TEST_F(SessionFile, IsReadByOthers) {
  const std::string path = saved(model_, linear_ids(11));
  const Tensors tensors(path);
  EXPECT_EQ(to_vector(tensors["tokens"]), linear_ids(11));
  EXPECT_EQ(tensors.all().size(), 1u + 2 * 2);
  EXPECT_EQ(tensors["layers.1.key"].sizes(), (at::IntArrayRef{11, 2, 16}));
  EXPECT_EQ(tensors["layers.0.value"].scalar_type(), at::kFloat);
}

TEST_F(SessionFile, HoldsBlocksAsBytes) {
  const CausalLM model = load("tiny_blocks");  // 2 heads of 32 in a layer
  const at::Tensor exact = Tensors(saved(model, linear_ids(11)))["layers.0.key"];
  for (const auto& [type, format] : {std::pair{KvType::q8_0, BlockFormat::q8_0}, {KvType::q4_0, BlockFormat::q4_0}}) {
    const at::Tensor found = Tensors(saved(model, linear_ids(11), {.kv_type = type}))["layers.0.key"];
    const std::int64_t token_bytes = 2 * block_info(format).block_bytes;
    ASSERT_EQ(found.scalar_type(), at::kByte);
    ASSERT_EQ(found.sizes(), (at::IntArrayRef{11, token_bytes}));
    at::Tensor expected = empty_tensor(found.sizes(), at::kByte);
    reference::store_cache({.source_type = Element::f32,
                            .cache_type = format,
                            .source = exact.const_data_ptr(),
                            .destination = expected.mutable_data_ptr()},
                           0, exact.numel());
    EXPECT_TRUE(found.equal(expected)) << to_string(type);
  }
}

// As long as it lives no file grows beyond `bytes`: what a full disk says, but that the error is another.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_F(SessionFile, AFullDiskLeavesWhatWasThere) {
  const CausalLM model = load("tiny_blocks_q4_0.gguf", Dtype::automatic);
  const std::string path = saved(model, linear_ids(9));
  const std::string before = file_bytes(path);
  Session session(model);
  const SequenceId sequence = session.create();
  session.forward(sequence, linear_ids(40), LogitsOf::none);
  for (const rlim_t size : {0, 100, 5000}) {
    const FullDisk full(size);
    expect_error(ErrorKind::io, path, [&] { session.save(sequence, path); });
    expect_error(ErrorKind::io, "other", [&] { session.save(sequence, folder_.file("other")); });
  }
  EXPECT_EQ(file_bytes(path), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1) << "something is left behind";
  session.save(sequence, path);
  const SequenceId restored = session.restore(path);
  const Ids more = linear_ids(5, 40);
  EXPECT_TRUE(session.forward(restored, more).equal(session.forward(sequence, more)));
}

TEST_F(SessionFile, HoldsWhatWasNotCut) {
  Session session(model_);
  const SequenceId sequence = session.create();
  session.forward(sequence, linear_ids(20), LogitsOf::none);
  session.truncate(sequence, 7);
  const SequenceId fork = session.fork(sequence);
  session.forward(sequence, linear_ids(3), LogitsOf::none);
  session.save(fork, folder_.file("fork"));
  EXPECT_EQ(file_bytes(folder_.file("fork")).size(), file_bytes(saved(model_, linear_ids(7))).size());
  const SequenceId restored = session.restore(folder_.file("fork"));
  EXPECT_TRUE(session.forward(restored, linear_ids(4)).equal(session.forward(fork, linear_ids(4))));
  // Nothing at all, too.
  const SequenceId empty = session.restore(saved(model_, {}));
  EXPECT_EQ(session.length(empty), 0);
  EXPECT_TRUE(close(session.forward(empty, linear_ids(4)), model_.forward(to_tensor(linear_ids(4)))[0].narrow(0, 3, 1),
                    kSameF32));
}

TEST_F(SessionFile, OfAnotherModelIsRefused) {
  const std::string path = saved(model_, linear_ids(11));
  const auto refused = [&](const CausalLM& model, std::string_view field, const SessionOptions& options = {}) {
    Session session(model, options);
    expect_error(ErrorKind::usage, field, [&] { session.restore(path); });
  };
  refused(load("tiny_bias_llama3"), "model");
  refused(load("tiny_blocks"), "model");
  refused(load("tiny_gqa"), "kv_type", {.kv_type = KvType::bf16});
  const CausalLM blocks = load("tiny_blocks");
  saved(blocks, linear_ids(11), {.kv_type = KvType::q8_0});
  refused(blocks, "kv_type", {.kv_type = KvType::q4_0});
  refused(blocks, "kv_type", {.kv_type = KvType::q8_0, .value_type = KvType::q4_0});
  refused(blocks, "kv_type");
  saved(model_, linear_ids(11));
  CausalLM trained = load("tiny_gqa");
  trained.set_requires_grad(true);
  Session same(trained);
  EXPECT_EQ(same.length(same.restore(path)), 11);
  trained.parameter("model.layers.1.mlp.down_proj.weight").detach().mul_(1.001);
  refused(trained, "model");
}

TEST_F(SessionFile, OfOtherArithmeticIsRefusedByExactNumerics) {
  const auto of = [](Numerics numerics, Dtype dtype) {
    return CausalLM::from_pretrained(fixture("tiny_gqa"), {.dtype = dtype, .numerics = numerics});
  };
  const SessionOptions f32{.kv_type = KvType::f32};
  const CausalLM exact = of(Numerics::exact, Dtype::f32);
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    const std::string path = saved(of(Numerics::fast, dtype), linear_ids(11), f32);
    Session session(exact);
    expect_error(ErrorKind::usage, "arithmetic", [&] { session.restore(path); });
  }
  const std::string path = saved(exact, linear_ids(11));
  Session same(exact);
  EXPECT_EQ(same.length(same.restore(path)), 11);
  Session fast(of(Numerics::fast, Dtype::f32), f32);
  EXPECT_EQ(fast.length(fast.restore(path)), 11);
}

TEST_F(SessionFile, DamageIsAnErrorAndChangesNothing) {
  const std::string path = saved(model_, linear_ids(11));
  const std::string whole = file_bytes(path);
  Session session(model_);
  const SequenceId sequence = session.create();
  session.forward(sequence, linear_ids(5), LogitsOf::none);
  const auto refused = [&](const std::string& bytes, std::size_t at) {
    folder_.write("damaged", bytes);
    try {
      session.restore(folder_.file("damaged"));
      ADD_FAILURE() << "restored what was damaged at " << at;
    } catch (const Error& error) {
      EXPECT_NE(error.file().find("damaged"), std::string::npos) << error.what();
    }
  };
  for (std::size_t at = 0; at < whole.size(); at += at < 1200 ? 1 : 61) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x11);
    refused(damaged, at);
  }
  for (std::size_t length = 0; length < whole.size(); length += 97) refused(whole.substr(0, length), length);
  refused(whole + "x", whole.size());
  expect_error(ErrorKind::not_found, "nowhere", [&] { session.restore(folder_.file("nowhere")); });
  expect_error(ErrorKind::format, "model", [&] { session.restore(fixture("tiny_gqa/model.safetensors")); });
  expect_error(ErrorKind::not_found, "77", [&] { session.save(77, folder_.file("none")); });
  EXPECT_FALSE(std::filesystem::exists(folder_.file("none")));
  const SequenceId next = session.create();
  EXPECT_EQ(next, sequence + 1);
  EXPECT_EQ(session.length(sequence), 5);
}

// Files that are whole, but say what can't be.
TEST_F(SessionFile, ImpossibleRecordsAreRefused) {
  const auto save = [&](const CausalLM& model, const SequenceRecord& record) {
    std::vector<KvCache::LayerShape> shapes;
    for (const Block& block : model.config().layers) {
      shapes.push_back({block.attention.num_key_value_heads, block.attention.head_dim});
    }
    KvCache cache(shapes, BlockFormat::f32, 16);
    const std::int64_t sequence = cache.create();
    cache.reserve(sequence, static_cast<std::int64_t>(record.tokens.size()));
    cache.commit(sequence, static_cast<std::int64_t>(record.tokens.size()));
    save_sequence(folder_.file("impossible"), model, cache, sequence, record);
  };
  const auto refused = [&](const CausalLM& model, const SequenceRecord& record, ErrorKind kind, const char* field) {
    save(model, record);
    Session session(model);
    expect_error(kind, field, [&] { session.restore(folder_.file("impossible")); });
  };
  refused(model_, {.tokens = {1, 97}}, ErrorKind::range, "vocabulary");
  refused(model_, {.tokens = {1, -1}}, ErrorKind::range, "vocabulary");
  refused(model_, {.tokens = linear_ids(65)}, ErrorKind::range, "context");
  refused(model_, {.tokens = linear_ids(3), .rope_length = 16}, ErrorKind::format, "rope_length");
  const CausalLM longrope = load("families/llama_longrope");
  const std::int64_t original = longrope.config().layers[0].rope.original_max_position_embeddings;
  refused(longrope, {.tokens = linear_ids(3), .rope_length = 0}, ErrorKind::format, "rope_length");
  refused(longrope, {.tokens = linear_ids(original + 1), .rope_length = original}, ErrorKind::format, "rope_length");
  refused(longrope, {.tokens = linear_ids(3), .rope_length = original + 2}, ErrorKind::format, "rope_length");
}

TEST_F(SessionFile, APrefixOfAPromptIsKept) {
  Session session(model_);
  const SequenceId sequence = session.create();
  EXPECT_EQ(session.keep_prefix(sequence, linear_ids(5)), 0);
  session.forward(sequence, linear_ids(9), LogitsOf::none);
  EXPECT_EQ(session.keep_prefix(sequence, linear_ids(12)), 9);
  EXPECT_EQ(session.keep_prefix(sequence, linear_ids(9)), 8);  // the last one is computed for its logits
  Ids other = linear_ids(8);
  other[5] = 0;
  EXPECT_EQ(session.keep_prefix(sequence, other), 5);
  EXPECT_EQ(Ids(session.tokens(sequence).begin(), session.tokens(sequence).end()), linear_ids(5));
  EXPECT_EQ(session.length(sequence), 5);
  EXPECT_EQ(session.keep_prefix(sequence, {}), 0);
  expect_error(ErrorKind::not_found, "9", [&] { session.keep_prefix(9, linear_ids(3)); });
}

}  // namespace
}  // namespace powerhouse
