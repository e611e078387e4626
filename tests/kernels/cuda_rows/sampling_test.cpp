// CUDA's sampling without a sort, run on the CPU: against sorting, and Philox against the library's.
#include "kernels/reference/sampling.h"

#include <limits>

#include "kernels/cuda/sampling_params.h"
#include "kernels/cuda_rows/device_buffers.h"
#include "kernels/sampling_row.h"
#include "support/philox.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class CudaSamplingTest : public ::testing::Test {
 protected:
  cuda::SamplingRow options(const reference::SamplingChoice& choice, std::uint64_t counter) const {
    return sampling_row(choice, kSeed, 3, counter);
  }
  /// The number that the kernel draws.
  double number(std::uint64_t counter) const {
    return static_cast<double>(Random(kSeed, RandomStream::sampling, 3).block(counter)[0] >> 8) * 0x1p-24;
  }
  std::vector<std::int64_t> draw(const Buffer& logits, std::int64_t stride, std::int64_t vocabulary,
                                 const std::vector<cuda::SamplingRow>& rows, cuda_on_host::Order order) const {
    std::vector<std::int64_t> tokens(rows.size(), -7);
    GlobalMemory memory;
    DeviceBuffer in(memory, logits, "logits", Contents::input);
    memory.add(rows.data(), rows.size() * sizeof rows[0], "options", Contents::input);
    memory.add(tokens.data(), tokens.size() * 8, "tokens", Contents::output);
    const HostLauncher launcher(memory, order, 5);
    sampling_on_host({.logits = in.floats(),
                      .vocabulary = vocabulary,
                      .stride = stride,
                      .options = rows.data(),
                      .tokens = tokens.data()},
                     static_cast<std::int64_t>(rows.size()), launcher);
    EXPECT_EQ(launcher.text(), "clean");
    return tokens;
  }

  static constexpr std::uint64_t kSeed = 0x123456789ABCDEF0u;
  std::mt19937 engine_{29};
};

TEST_F(CudaSamplingTest, AgreesWithSorting) {
  constexpr reference::SamplingChoice kChoices[] = {
      {1, 1, 0, 0},         {0.7f, 1, 0, 5},         {1.3f, 0.9f, 0, 0},
      {1, 0.5f, 0, 40},     {1, 1, 0.1f, 0},         {0.8f, 0.95f, 0.05f, 50},
      {1e-38f, 0.9f, 0, 0}, {2, 0.999f, 0, 1000000}, {1, 1e-6f, 0, 0},
      {1, 1, 1, 0},         {1, 0.3f, 0, 1}};
  int compared = 0;
  for (const std::int64_t vocabulary : {1, 2, 5, 31, 32, 33, 64, 100, 129, 300, 700, 5003}) {
    for (const int levels : {0, 4}) {  // of logits: all different, or many that are equal
      const std::int64_t stride = vocabulary + 3;
      const auto rows = static_cast<std::int64_t>(std::size(kChoices));
      Buffer logits = Buffer::random(Element::f32, rows * stride, engine_, 6.0f);
      for (std::int64_t i = 0; i < logits.size(); ++i) {
        if (levels > 0)
          logits.set(i, static_cast<float>(std::lround(logits.at(i) / 3.0f * static_cast<float>(levels))));
        if (vocabulary > 40 && engine_() % 10 == 0) logits.set(i, -kInfinity);
      }
      std::vector<cuda::SamplingRow> all;
      for (std::int64_t row = 0; row < rows; ++row) {
        all.push_back(options(kChoices[row], static_cast<std::uint64_t>(row) << 33 | 17));
      }
      for (const cuda_on_host::Order order : kSchedules) {
        if (vocabulary > 300 && order != cuda_on_host::Order::random) continue;  // they take long
        const std::vector<std::int64_t> tokens = draw(logits, stride, vocabulary, all, order);
        for (std::int64_t row = 0; row < rows; ++row) {
          const auto at = static_cast<std::size_t>(row);
          const auto right = reference::sample(static_cast<const float*>(logits.data()) + row * stride, vocabulary,
                                               kChoices[row], number(all[at].counter));
          if (right.margin < 1e-5 || right.top_p_margin < 1e-5) continue;  // float32 may fall on the other side
          ++compared;
          EXPECT_EQ(tokens[at], right.token) << "vocabulary " << vocabulary << " row " << row << " of " << right.left;
        }
      }
    }
  }
  EXPECT_GT(compared, 400);
}

TEST_F(CudaSamplingTest, ManyDrawsFromOneRow) {
  const std::int64_t vocabulary = 700;
  const Buffer row = Buffer::random(Element::f32, vocabulary, engine_, 4.0f);
  const reference::SamplingChoice choice{0.9f, 0.95f, 0.01f, 300};
  std::vector<cuda::SamplingRow> all;
  for (std::uint64_t i = 0; i < 20; ++i) all.push_back(options(choice, i));
  const std::vector<std::int64_t> tokens = draw(row, 0, vocabulary, all, cuda_on_host::Order::random);
  for (std::uint64_t i = 0; i < 20; ++i) {
    const auto right = reference::sample(static_cast<const float*>(row.data()), vocabulary, choice, number(i));
    if (right.margin > 1e-5) {
      EXPECT_EQ(tokens[i], right.token) << i;
    }
  }
}

TEST_F(CudaSamplingTest, GreedyAndRowsThatCannotBeDrawnFrom) {
  Buffer logits(Element::f32, 5 * 100, 0.5f);
  logits.set(60, 2.0f);
  logits.set(70, 2.0f);
  for (std::int64_t i = 0; i < 100; ++i) logits.set(100 + i, -kInfinity);
  logits.set(200 + 5, std::nanf(""));
  logits.set(300 + 5, kInfinity);
  for (std::int64_t i = 0; i < 100; ++i) logits.set(400 + i, i == 42 ? -3.0f : -kInfinity);
  std::vector<cuda::SamplingRow> all(5, options({1, 0.9f, 0, 3}, 9));
  all[0].temperature = 0;
  EXPECT_EQ(draw(logits, 100, 100, all, cuda_on_host::Order::random), (std::vector<std::int64_t>{60, -1, -1, -1, 42}));
  EXPECT_TRUE(draw(logits, 100, 100, {}, cuda_on_host::Order::random).empty());
}

}  // namespace
}  // namespace powerhouse::testing
