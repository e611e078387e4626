// What changes a beam's log-probabilities, against transformers' (tests/oracles/beam_processors.py).
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <string>

#include "beam_cases.h"
#include "generation/beam_group.h"
#include "model/fixture.h"
#include "sampling_case.h"

namespace powerhouse {
namespace {

using namespace testing;

TEST(BeamProcessors, LeaveWhatTransformersLeavesOfABeam) {
  const Json all = sampling_fixture("beam_processors.json");
  const Json::Array& cases = all.at("rows").as_array();
  ASSERT_GT(cases.size(), 80u);
  for (const Json& item : cases) {
    const std::vector<float> logits = row_of(item.at("row"));
    const std::string what = item.at("options").dump() + " of " + std::to_string(logits.size()) + " tokens, EOS " +
                             item.at("eos_token_id").dump();
    at::Tensor log_probs = at::log_softmax(at::tensor(logits), -1);
    const std::span<float> row(log_probs.data_ptr<float>(), logits.size());
    std::vector<std::int64_t> ids = integers(item.at("prompt"));
    const std::int64_t prompt_length = std::ssize(ids);
    for (const std::int64_t id : integers(item.at("new"))) ids.push_back(id);
    SamplingChain chain =
        beam_chain(options_of(item.at("options")),
                   {.vocab_size = std::ssize(logits), .eos_ids = integers(item.at("eos_token_id")), .limit = 20});
    chain.process(row, {.ids = ids, .prompt_length = prompt_length});
    std::vector<std::int64_t> left;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (std::isfinite(row[i])) left.push_back(static_cast<std::int64_t>(i));
    }
    ASSERT_EQ(left, integers(item.at("ids"))) << what;
    for (std::size_t i = 0; i < left.size(); ++i) {
      const double expected = item.at("log_probs").as_array()[i].as_double();
      EXPECT_NEAR(row[static_cast<std::size_t>(left[i])], expected, 1e-6 * std::max(1.0, std::abs(expected))) << what;
    }
  }
}

TEST(BeamProcessors, LeadBeamsWhereTransformersLead) {
  const Json all = sampling_fixture("beam_processors.json");
  for (const char* name : {"tiny_gqa", "tiny_bias_llama3", "tiny_mqa_linear"}) {
    const CausalLM model = load(name);
    const Json::Array& cases = all.at("searches").at(name).as_array();
    ASSERT_EQ(cases.size(), 11u);
    for (const Json& item : cases) {
      BeamSearchOptions options = to_beam_options(item.at("options"));
      options.generation.sampling = options_of(item.at("options")).sampling;
      Session session(model);
      const auto found = beam_search(session, session.create(), integers(item.at("prompt")), options);
      expect_hypotheses(found, item, 1e-5);
    }
  }
}

}  // namespace
}  // namespace powerhouse
