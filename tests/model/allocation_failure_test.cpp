// Memory that runs out, at whichever of its allocations: a pass ends in Error{memory}, never in the end of the process,
// the session is as it was, and the next pass gives the bits that it would have given. Every `operator new` of this
// test binary can be made to fail; blocks that LibTorch's allocator brings are not among them.
#include <gtest/gtest.h>

#include "fixture.h"
#include "model/allocation_failure.h"
#include "model/causal_lm_impl.h"
#include "powerhouse/error.h"
#include "powerhouse/session.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

using namespace testing;

using Ids = std::vector<std::int64_t>;

Ids some(std::int64_t count, std::int64_t first) {
  Ids ids;
  for (std::int64_t i = first; i < first + count; ++i) ids.push_back((i * 31 + 22) % 61);
  return ids;
}

struct Case {
  const char* name;
  const char* path;
  Numerics numerics = Numerics::fast;
  bool large = false;  // only allocations of some KiB fail, but all of them from the chosen one on
  bool adapters = false;

  friend void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }
};

// Low-rank terms of some modules.
std::shared_ptr<const AdapterTable> some_terms() {
  auto table = std::make_shared<AdapterTable>();
  const auto add = [&](Role role, std::int64_t inputs, std::int64_t outputs) {
    at::Tensor a = empty_tensor({5, inputs}, at::kFloat), b = empty_tensor({outputs, 5}, at::kFloat);
    for (at::Tensor* matrix : {&a, &b}) {
      for (std::int64_t i = 0; i < matrix->numel(); ++i) {
        matrix->data_ptr<float>()[i] = 0.01f * static_cast<float>(i * 37 % 19 - 9);
      }
    }
    table->at(1, role).terms.push_back({.low_rank = {.a = a, .b = b}});
  };
  add(Role::q_proj, 64, 128);
  add(Role::v_proj, 64, 64);
  add(Role::down_proj, 96, 64);
  return table;
}

class AllocationFailure : public ::testing::TestWithParam<Case> {
 protected:
  CausalLM load_model() const {
    CausalLM model = CausalLM::from_pretrained(fixture(GetParam().path), {.numerics = GetParam().numerics});
    model.impl().model->config.max_position_embeddings = 2048;
    if (GetParam().adapters) model.impl().adapters = some_terms();
    return model;
  }

  // Runs `body` with the allocation failing that comes after `number` others; whether it came through.
  template <typename Body>
  static bool survives(std::int64_t number, Body body) {
    fail_allocations({.number = number, .smallest = GetParam().large ? 4096u : 0u, .once = !GetParam().large});
    try {
      body();
    } catch (const Error& error) {
      fail_no_allocations();
      EXPECT_EQ(error.kind(), ErrorKind::memory) << error.what();
      return false;
    }
    fail_no_allocations();
    return true;
  }
};

// A prompt, a fork and rows of others in one batch, on two threads, with nothing that an earlier pass has left.
TEST_P(AllocationFailure, EndsInAnErrorAndChangesNothing) {
  const int threads = team_threads();
  set_team_threads(2);
  const Ids past = some(280, 0);
  const Ids one = some(1, 280);
  const Ids prompt = some(300, 7);
  struct Run {
    Session session;
    SequenceId first, fork, other;

    Run(const CausalLM& model, const Ids& past)
        : session(model), first(session.create()), fork(0), other(session.create()) {
      session.forward(first, past, LogitsOf::none);
      fork = session.fork(first);
    }
    at::Tensor forward(const Ids& one, const Ids& prompt) {
      const SequenceInput batch[] = {{first, one}, {fork, one}, {other, prompt, LogitsOf::all}};
      return session.forward(batch);
    }
  };
  const CausalLM expecting = load_model();
  ASSERT_NE(expecting.impl().model->plan, nullptr);
  const at::Tensor expected = Run(expecting, past).forward(one, prompt);

  bool through = false;
  std::int64_t number = 0;
  for (; !through && number < 2000; ++number) {
    CausalLM model = load_model();
    Run run(model, past);
    if (GetParam().adapters) model.impl().adapters = some_terms();  // the same, compiled anew
    at::Tensor logits;
    through = survives(number, [&] { logits = run.forward(one, prompt); });
    if (through) {
      EXPECT_TRUE(logits.equal(expected));
      break;
    }
    EXPECT_EQ(run.session.length(run.first), 280);
    EXPECT_EQ(run.session.length(run.fork), 280);
    EXPECT_EQ(run.session.length(run.other), 0);
    EXPECT_EQ(run.session.tokens(run.other).size(), 0u);
    ASSERT_TRUE(run.forward(one, prompt).equal(expected)) << "behind a failure of allocation " << number;
  }
  EXPECT_TRUE(through);
  EXPECT_GT(number, 5);
  set_team_threads(threads);
}

TEST_P(AllocationFailure, LeavesForksAsTheyWere) {
  const CausalLM model = load_model();
  Session session(model);
  const SequenceId sequence = session.create();
  session.forward(sequence, some(20, 0), LogitsOf::none);
  const Ids next = some(1, 20);
  const at::Tensor expected = session.forward(session.fork(sequence), next);
  for (std::int64_t number = 0, through = 0; through == 0; ++number) {
    SequenceId fork = -1;
    through = survives(number, [&] { fork = session.fork(sequence); }) ? 1 : 0;
    if (through != 0) {
      EXPECT_TRUE(session.forward(fork, next).equal(expected));
    }
  }
  EXPECT_TRUE(session.forward(sequence, next).equal(expected));
}

INSTANTIATE_TEST_SUITE_P(Tiny, AllocationFailure,
                         ::testing::Values(Case{"dense", "tiny_blocks_q4_0.gguf"},
                                           Case{"experts", "tiny_shared_expert_q8_0.gguf"},
                                           Case{"exact", "tiny_blocks_q8_0.gguf", Numerics::exact},
                                           Case{"dense_large", "tiny_blocks_q4_0.gguf", Numerics::fast, true},
                                           Case{"experts_large", "tiny_experts_q4_0.gguf", Numerics::fast, true},
                                           Case{"exact_large", "tiny_blocks_q8_0.gguf", Numerics::exact, true},
                                           Case{"adapters", "tiny_blocks_q4_0.gguf", Numerics::fast, false, true},
                                           Case{"adapters_large", "tiny_blocks_q4_0.gguf", Numerics::fast, true, true}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace powerhouse
