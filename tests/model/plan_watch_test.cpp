// A plan's NaN is traced by the plan, and the model stays as small as it was.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "expect_error.h"
#include "fixture.h"
#include "formats/gguf_reader.h"
#include "model/causal_lm_impl.h"
#include "powerhouse/session.h"
#include "support/mapped_file.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using namespace testing;

// A copy of a fixture whose tensor begins with a NaN: its first element, or its first block's scale.
std::string with_nan(const TemporaryFolder& folder, const char* name, const std::string& tensor) {
  const auto file = GgufFile::open(fixture(name));
  const TensorView* const view = file->find_tensor(tensor);
  if (view == nullptr) throw std::runtime_error("the fixture has no tensor " + tensor);
  const std::span<const std::byte> all = view->file->bytes();
  std::string bytes(reinterpret_cast<const char*>(all.data()), all.size());
  const auto at = static_cast<std::size_t>(view->data - all.data());
  const unsigned char in_f32[] = {0, 0, 0xC0, 0x7F};
  const unsigned char in_f16[] = {0, 0x7E};
  const bool plain = view->format == BlockFormat::f32;
  std::memcpy(bytes.data() + at, plain ? in_f32 : in_f16, plain ? sizeof in_f32 : sizeof in_f16);
  return folder.write("nan.gguf", bytes);
}

struct Place {
  const char* file;
  const char* tensor;
  const char* where;

  friend void PrintTo(const Place& place, std::ostream* out) { *out << place.tensor; }
};

class PlanNaN : public ::testing::TestWithParam<Place> {};

TEST_P(PlanNaN, IsTracedWithoutMakingWeightsDense) {
  const TemporaryFolder folder;
  const std::string path = with_nan(folder, GetParam().file, GetParam().tensor);
  const CausalLM model = CausalLM::from_pretrained(path, {.dtype = Dtype::automatic});
  ASSERT_NE(model.impl().model->plan, nullptr);
  const std::size_t before = model.memory().weights;
  Session session(model);
  const SequenceId sequence = session.create();
  for (const std::int64_t count : {3, 40}) {
    const std::vector<std::int64_t> ids(static_cast<std::size_t>(count), 0);  // the row of embeddings that is damaged
    expect_error(ErrorKind::numeric, GetParam().where, [&] { session.forward(sequence, ids); });
    EXPECT_EQ(session.length(sequence), 0);
  }
  EXPECT_EQ(model.memory().weights, before);
}

INSTANTIATE_TEST_SUITE_P(
    Tiny, PlanNaN,
    ::testing::Values(Place{"tiny_blocks_q8_0.gguf", "token_embd.weight", "embeddings"},
                      Place{"tiny_blocks_q8_0.gguf", "blk.0.attn_norm.weight", "layer 0 attention_norm"},
                      Place{"tiny_blocks_q8_0.gguf", "blk.1.attn_k.weight", "layer 1 key"},
                      Place{"tiny_blocks_q4_0.gguf", "blk.0.attn_v.weight", "layer 0 value"},
                      Place{"tiny_blocks_q4_0.gguf", "blk.1.attn_output.weight", "layer 1 attention_output"},
                      Place{"tiny_blocks_q8_0.gguf", "blk.0.ffn_norm.weight", "layer 0 mlp_norm"},
                      Place{"tiny_blocks_q8_0.gguf", "blk.1.ffn_up.weight", "layer 1 mlp_activation"},
                      Place{"tiny_blocks_q8_0.gguf", "blk.1.ffn_down.weight", "layer 1 mlp_output"},
                      Place{"tiny_blocks_q8_0.gguf", "output_norm.weight", "final_norm"},
                      Place{"tiny_blocks_q8_0.gguf", "output.weight", "logits"},
                      Place{"tiny_shared_expert_q8_0.gguf", "blk.1.ffn_gate_inp.weight", "layer 1 router_logits"},
                      Place{"tiny_shared_expert_q8_0.gguf", "blk.0.ffn_down_shexp.weight", "layer 0 mlp_output"}));

}  // namespace
}  // namespace powerhouse
