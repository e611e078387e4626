// How states are kept: paged, saved and loaded, in which bits; and that no bit depends on the threads.
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "expect_error.h"
#include "support/thread_team.h"
#include "temporary_folder.h"
#include "training/optimizer_cases.h"

namespace powerhouse::testing {
namespace {

struct Method {
  const char* name;
  OptimizerOptions options;
};
const std::vector<Method>& methods() {
  static const std::vector<Method> all = {{"sgd", SgdOptions{.lr = 0.1, .momentum = 0.9}},
                                          {"adamw", AdamWOptions{}},
                                          {"adamw_8bit", AdamW8bitOptions{}},
                                          {"adafactor", AdafactorOptions{.beta1 = 0.9}},
                                          {"lion", LionOptions{}},
                                          {"muon", MuonOptions{}},
                                          {"adagrad", AdagradOptions{}},
                                          {"rmsprop", RmspropOptions{.momentum = 0.5}}};
  return all;
}

/// Matrices of more than one chunk, of odd sizes, and what is no matrix.
OptimizerCase model(at::ScalarType dtype) {
  return {.name = "storage",
          .shapes = {{"embed", {70, 300}}, {"norm", {33}}, {"up", {96, 177}}, {"stack", {3, 40, 5}}, {"small", {5, 4}}},
          .dtype = dtype};
}

std::vector<at::Tensor> weights_after(const OptimizerCase& test, const OptimizerOptions& options,
                                      const OptimizerStorage& storage, std::uint64_t steps) {
  std::vector<NamedTensor> parameters = test.parameters();
  Optimizer optimizer(make_parameter_groups(parameters), options, storage);
  for (std::uint64_t step = 0; step < steps; ++step) {
    test.set_gradients(parameters, step);
    optimizer.step({.grad_scale = 0.5, .max_grad_norm = 1});
  }
  std::vector<at::Tensor> weights;
  for (const NamedTensor& parameter : parameters) weights.push_back(parameter.second.detach());
  for (const NamedTensor& state : optimizer.state_dict()) weights.push_back(state.second.clone());
  return weights;
}

void expect_same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bits(a[i], b[i])) << what << ", tensor " << i;
}

class WithThreads {
 public:
  explicit WithThreads(int count) : before_(team_threads()) { set_team_threads(count); }
  ~WithThreads() { set_team_threads(before_); }

 private:
  int before_;
};

TEST(OptimizerStorage, HasTheSameBitsForAnyThreadsAndPaged) {
  const TemporaryFolder folder;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const OptimizerCase test = model(dtype);
    for (const Method& method : methods()) {
      for (const bool random : {false, true}) {
        const OptimizerStorage storage{.stochastic_rounding = random, .seed = 3};
        OptimizerStorage paged = storage;
        paged.paged = true;
        paged.page_folder = folder.path();
        std::vector<at::Tensor> one;
        {
          const WithThreads threads(1);
          one = weights_after(test, method.options, storage, 3);
        }
        const WithThreads threads(3);
        expect_same(weights_after(test, method.options, storage, 3), one, std::string(method.name) + " 3 threads");
        expect_same(weights_after(test, method.options, paged, 3), one, std::string(method.name) + " paged");
      }
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(OptimizerStorage, ResumesBitForBitThroughAFile) {
  const TemporaryFolder folder;
  for (const Method& method : methods()) {
    for (const bool paged : {false, true}) {
      const OptimizerCase test = model(at::kBFloat16);
      const OptimizerStorage storage{
          .master_weights = paged, .paged = paged, .page_folder = paged ? folder.path() : std::string()};
      std::vector<NamedTensor> parameters = test.parameters();
      Optimizer straight(make_parameter_groups(parameters), method.options, storage);
      const auto run = [&](Optimizer& optimizer, std::vector<NamedTensor>& of, std::uint64_t step) {
        test.set_gradients(of, step);
        if (step == 1) of[2].second.mutable_grad().reset();  // so that steps are counted by parameter
        optimizer.step();
      };
      for (std::uint64_t step = 0; step < 3; ++step) run(straight, parameters, step);
      save_safetensors(folder.file("states.safetensors"), straight.state_dict());
      std::vector<NamedTensor> copies;
      for (const auto& [name, tensor] : parameters) {
        copies.emplace_back(name, tensor.detach().clone().set_requires_grad(true));
      }
      Optimizer resumed(make_parameter_groups(copies), method.options, storage);
      resumed.load_state_dict(load_safetensors(folder.file("states.safetensors")));
      for (std::uint64_t step = 3; step < 6; ++step) {
        run(straight, parameters, step);
        run(resumed, copies, step);
      }
      for (std::size_t i = 0; i < copies.size(); ++i) {
        EXPECT_TRUE(same_bits(copies[i].second.detach(), parameters[i].second.detach())) << method.name << " " << i;
      }
      const auto left = straight.state_dict(), right = resumed.state_dict();
      for (std::size_t i = 0; i < left.size(); ++i) {
        EXPECT_TRUE(same_bits(left[i].second, right[i].second)) << method.name << " " << left[i].first;
      }
    }
  }
}

TEST(OptimizerStorage, RefusesStatesThatAreNotItsOwnAndChangesNothing) {
  const OptimizerCase test = model(at::kFloat);
  std::vector<NamedTensor> parameters = test.parameters();
  Optimizer optimizer({{.parameters = parameters}}, AdamWOptions{});
  test.set_gradients(parameters, 0);
  optimizer.step();
  std::vector<NamedTensor> good;
  for (const auto& [name, tensor] : optimizer.state_dict()) good.emplace_back(name, tensor.clone());
  const auto expect = [&](ErrorKind kind, std::string_view mentions, auto&& change) {
    std::vector<NamedTensor> bad;
    for (const auto& [name, tensor] : good) bad.emplace_back(name, tensor.clone().fill_(1));
    change(bad);
    expect_error(kind, mentions, [&] { optimizer.load_state_dict(bad); });
    const auto now = optimizer.state_dict();
    for (std::size_t i = 0; i < now.size(); ++i) EXPECT_TRUE(same_bits(now[i].second, good[i].second)) << mentions;
  };
  expect(ErrorKind::not_found, good.back().first, [](auto& bad) { bad.pop_back(); });
  expect(ErrorKind::format, "other parameters", [](auto& bad) { bad.emplace_back("stranger.step", bad[0].second); });
  expect(ErrorKind::format, good.back().first, [](auto& bad) { bad.back().second = bad.back().second.flatten(); });
  expect(ErrorKind::format, good.back().first,
         [](auto& bad) { bad.back().second = bad.back().second.to(at::kBFloat16); });
  expect(ErrorKind::range, ".step", [](auto& bad) { bad.front().second.fill_(-1); });
}

TEST(OptimizerStorage, PagesAboveABudgetOnly) {
  const OptimizerCase test = model(at::kFloat);
  const auto make = [&](std::uint64_t budget) {
    return Optimizer({{.parameters = test.parameters()}}, AdamWOptions{}, {.paged_above_bytes = budget});
  };
  const std::uint64_t bytes = make(0).state_bytes();
  EXPECT_GE(bytes, 2u * 4u * (70 * 300 + 33 + 96 * 177 + 600 + 20));
  EXPECT_FALSE(make(0).paged());
  EXPECT_FALSE(make(bytes).paged());
  EXPECT_TRUE(make(bytes - 1).paged());
}

TEST(OptimizerStorage, SaysSoWhereThePageFileHasNoRoom) {
  const OptimizerCase test = model(at::kFloat);
  const std::vector<NamedTensor> parameters = test.parameters();
  const TemporaryFolder folder;
  const auto make = [&](const std::string& where) {
    Optimizer({{.parameters = parameters}}, AdamWOptions{}, {.paged = true, .page_folder = where});
  };
  expect_error(ErrorKind::io, "absent", [&] { make(folder.file("absent")); });
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 65536, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error(ErrorKind::io, "bytes of optimizer states", [&] { make(folder.path()); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  make(folder.path());  // and there is again
}

std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

TEST(OptimizerStorage, KeepsPagedStatesOutOfTheResidentSet) {
  constexpr std::int64_t kSize = 1 << 24;  // 128 MiB of states
  at::Tensor parameter = empty_tensor({kSize}, at::kFloat).fill_(1).set_requires_grad(true);
  parameter.mutable_grad() = empty_tensor({kSize}, at::kFloat).fill_(0.5);
  const TemporaryFolder folder;
  Optimizer optimizer({{.parameters = {{"w", parameter}}}}, AdamWOptions{},
                      {.paged = true, .page_folder = folder.path()});
  EXPECT_EQ(optimizer.state_bytes(), 2u * 4u * kSize);
  optimizer.step();
  const std::int64_t before = resident_bytes();
  optimizer.step();
  EXPECT_LT(resident_bytes() - before, 32 << 20);
  const auto states = by_name(optimizer.state_dict());
  EXPECT_NEAR(states.at("w.exp_avg").min().item<double>(), 0.5 * (1 - 0.9 * 0.9), 1e-6);
  EXPECT_NEAR(states.at("w.exp_avg").max().item<double>(), 0.5 * (1 - 0.9 * 0.9), 1e-6);
}

TEST(OptimizerStorage, RoundsAtRandomWithoutABias) {
  // Steps of 2^-12 are a sixteenth of the bf16 spacing at 1: to nearest, no weight would ever move.
  constexpr std::int64_t kSize = 40000;
  const auto mean = [&](OptimizerStorage storage, int steps) {
    at::Tensor parameter = empty_tensor({kSize}, at::kFloat).fill_(1).to(at::kBFloat16).set_requires_grad(true);
    Optimizer optimizer({{.parameters = {{"w", parameter}}}}, SgdOptions{.lr = 0x1p-12}, std::move(storage));
    for (int step = 0; step < steps; ++step) {
      parameter.mutable_grad() = empty_tensor({kSize}, at::kFloat).fill_(1).to(at::kBFloat16);
      optimizer.step();
    }
    return parameter.detach().to(at::kDouble).mean().item<double>();
  };
  EXPECT_EQ(mean({}, 16), 1.0);
  EXPECT_NEAR(mean({.stochastic_rounding = true, .seed = 5}, 16), 1.0 - 16 * 0x1p-12, 1e-4);
  EXPECT_NE(mean({.stochastic_rounding = true, .seed = 5}, 16), mean({.stochastic_rounding = true, .seed = 6}, 16));
  EXPECT_EQ(mean({.master_weights = true, .stochastic_rounding = true}, 16), 1.0 - 16 * 0x1p-12);
}

}  // namespace
}  // namespace powerhouse::testing
