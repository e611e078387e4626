// CUDA's cross entropy of rows of logits, run on the CPU: against the plain loop.
#include "kernels/reference/cross_entropy.h"

#include <limits>
#include <span>

#include "kernels/cuda_rows/device_buffers.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;
using cuda_on_host::Order;

struct Variant {
  bool gradient;
  float scale, softcap, smoothing, z_loss;
  bool entropy_gradient = false, statistics = false;
};
constexpr Variant kVariants[] = {{false, 1, 0, 0, 0}, {true, 1, 0, 0, 0},        {true, 0.7f, 0, 0.1f, 0},
                                 {true, 1, 20, 0, 0}, {true, 1.3f, 0, 0, 1e-3f}, {true, 0.5f, 15, 0.2f, 1e-2f}};
constexpr Variant kWithStatistics[] = {{false, 0.7f, 0, 0, 0, false, true}, {true, 0.7f, 9, 0, 0, true, true}};

struct Shape {
  std::int64_t rows, vocabulary, stride;
  std::string text() const {
    return "rows " + std::to_string(rows) + " vocabulary " + std::to_string(vocabulary) + " stride " +
           std::to_string(stride);
  }
};
// Whole vectors, a rest behind them, rows on any element; one warp, several, more than one round of a block.
constexpr Shape kShapes[] = {{0, 8, 8},       {1, 1, 1},       {3, 2, 2},       {2, 31, 32},
                             {2, 64, 64},     {2, 100, 100},   {2, 257, 264},   {1, 1000, 1001},
                             {2, 2048, 2048}, {1, 4099, 4104}, {1, 8192, 8192}, {1, 9001, 9001}};

class CudaCrossEntropyTest : public ::testing::Test {
 protected:
  struct Results {
    Buffer logits, loss, log_prob, entropy, mean_logit, log_sum_sq;
    std::vector<std::int64_t> arg_max;
  };

  cpu::CrossEntropyParams params(Element type, const Shape& shape, const Variant& variant) const {
    return {.type = type,
            .vocabulary = shape.vocabulary,
            .stride = shape.stride,
            .scale = variant.scale,
            .softcap = variant.softcap,
            .smoothing = variant.smoothing,
            .z_loss = variant.z_loss};
  }

  Results expected(const Buffer& logits, const Buffer& weights, const Shape& shape, const Variant& variant) {
    const auto rows = shape.rows;
    const Buffer room(Element::f32, rows);
    Results results{logits, room, room, room, room, room, {}};
    results.arg_max.resize(static_cast<std::size_t>(rows));
    auto all = params(logits.type(), shape, variant);
    all.logits = results.logits.data();
    all.targets = targets_.data();
    all.weights = variant.gradient ? static_cast<const float*>(weights.data()) : nullptr;
    all.loss = results.loss.floats();
    all.log_prob = results.log_prob.floats();
    all.entropy = results.entropy.floats();
    if (variant.entropy_gradient) all.entropy_weights = entropy_weights_.data();
    if (variant.statistics) {
      all.mean_logit = results.mean_logit.floats();
      all.log_sum_sq = results.log_sum_sq.floats();
    }
    all.arg_max = results.arg_max.data();
    reference::cross_entropy(all, 0, rows);
    return results;
  }

  Results found(const Buffer& logits, const Buffer& weights, const Shape& shape, const Variant& variant, Order order) {
    const auto rows = shape.rows;
    GlobalMemory memory;
    DeviceBuffer to_logits(memory, logits, "logits", variant.gradient ? Contents::in_out : Contents::input);
    DeviceBuffer to_weights(memory, weights, "weights", Contents::input);
    DeviceBuffer loss(memory, Buffer(Element::f32, rows), "loss", Contents::output);
    DeviceBuffer log_prob(memory, Buffer(Element::f32, rows), "log_prob", Contents::output);
    DeviceBuffer entropy(memory, Buffer(Element::f32, rows), "entropy", Contents::output);
    DeviceBuffer mean_logit(memory, Buffer(Element::f32, rows), "mean_logit", Contents::output);
    DeviceBuffer log_sum_sq(memory, Buffer(Element::f32, rows), "log_sum_sq", Contents::output);
    memory.add(entropy_weights_.data(), entropy_weights_.size() * 4, "entropy_weights", Contents::input);
    std::vector<std::int64_t> arg_max(static_cast<std::size_t>(rows));
    memory.add(arg_max.data(), arg_max.size() * 8, "arg_max", Contents::output);
    memory.add(targets_.data(), targets_.size() * 8, "targets", Contents::input);
    auto all = params(logits.type(), shape, variant);
    all.logits = to_logits.data();
    all.targets = targets_.data();
    all.weights = variant.gradient ? to_weights.floats() : nullptr;
    all.loss = loss.floats();
    all.log_prob = log_prob.floats();
    all.entropy = entropy.floats();
    if (variant.entropy_gradient) all.entropy_weights = entropy_weights_.data();
    if (variant.statistics) {
      all.mean_logit = mean_logit.floats();
      all.log_sum_sq = log_sum_sq.floats();
    }
    all.arg_max = arg_max.data();
    HostLauncher launcher(memory, order, 5);
    launcher.count_traffic(0);
    cross_entropy_on_host(all, rows, launcher);
    EXPECT_EQ(launcher.text(), "clean") << shape.text();
    if (shape.vocabulary == 8192) expect_ideal_accesses(launcher, shape.text());
    if (rows > 0) {  // once, and once more for the gradient; the target again
      const auto once = static_cast<std::uint64_t>(rows * shape.vocabulary * element_bytes(logits.type()));
      const auto target = static_cast<std::uint64_t>(rows * element_bytes(logits.type()));
      EXPECT_EQ(memory.named("logits").bytes_read, (variant.gradient ? 2 : 1) * once + target);
    }
    return {to_logits.host(),  loss.host(),       log_prob.host(), entropy.host(),
            mean_logit.host(), log_sum_sq.host(), arg_max};
  }

  void expect_plain_loop(std::span<const Variant> variants) {
    for (const Element type : kElements) {
      for (const Shape& shape : kShapes) {
        for (const Variant& variant : variants) {
          const Buffer logits = Buffer::random(type, shape.rows * shape.stride, engine_, 12.0f);
          const Buffer weights = Buffer::random(Element::f32, shape.rows, engine_);
          targets_.clear();
          for (std::int64_t row = 0; row < shape.rows; ++row) {
            targets_.push_back(static_cast<std::int64_t>(engine_()) % shape.vocabulary);
          }
          entropy_weights_.assign(static_cast<std::size_t>(shape.rows), 0.8f);
          const Results right = expected(logits, weights, shape, variant);
          for (const Order order : kSchedules) {
            const Results got = found(logits, weights, shape, variant, order);
            const auto what = ::testing::Message() << shape.text() << " softcap " << variant.softcap;
            expect_close(got.loss, right.loss, 1e-5, 2e-5, what);
            expect_close(got.log_prob, right.log_prob, 1e-5, 1e-5, what);
            expect_close(got.entropy, right.entropy, 1e-4, 2e-5, what);
            if (variant.statistics) {
              expect_close(got.mean_logit, right.mean_logit, 1e-5, 2e-5, what);
              expect_close(got.log_sum_sq, right.log_sum_sq, 1e-5, 2e-5, what);
            }
            EXPECT_EQ(got.arg_max, right.arg_max) << shape.text();
            expect_close(got.logits, right.logits, type == Element::f32 ? 2e-5 : 1.01 * spacing(type),
                         type == Element::f16 ? 6e-8 : 1e-7, what);
          }
        }
      }
    }
  }

  std::vector<std::int64_t> targets_;
  std::vector<float> entropy_weights_;
  std::mt19937 engine_{17};
};

TEST_F(CudaCrossEntropyTest, AgreesWithThePlainLoop) { expect_plain_loop(kVariants); }

TEST_F(CudaCrossEntropyTest, KnowsTheEntropysGradientAndStatistics) { expect_plain_loop(kWithStatistics); }

TEST_F(CudaCrossEntropyTest, NumbersThatAreNone) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const Shape shape{7, 300, 300};
  Buffer logits = Buffer::random(Element::f32, shape.rows * shape.stride, engine_);
  for (std::int64_t i = 0; i < 300; ++i) logits.set(i, -kInfinity);        // nothing can be taken
  for (std::int64_t i = 0; i < 299; ++i) logits.set(300 + i, -kInfinity);  // one can, not the target
  for (std::int64_t i = 1; i < 300; ++i) logits.set(600 + i, -kInfinity);  // the target alone
  logits.set(900 + 17, std::nanf(""));
  logits.set(1200 + 18, kInfinity);
  for (std::int64_t i = 0; i < 300; i += 2) logits.set(1500 + i, -kInfinity);
  for (std::int64_t i = 0; i < 300; ++i) logits.set(1800 + i, 2.5f);  // the first of equals
  const Buffer weights(Element::f32, shape.rows, 1.0f);
  targets_ = {5, 5, 0, 5, 5, 5, 5};
  for (const Variant& variant : {kVariants[0], kVariants[1]}) {
    const Results right = expected(logits, weights, shape, variant);
    for (const Order order : kSchedules) {
      const Results got = found(logits, weights, shape, variant, order);
      expect_close(got.loss, right.loss, 1e-6, 1e-6, ::testing::Message() << "loss");
      expect_close(got.log_prob, right.log_prob, 1e-6, 1e-6, ::testing::Message() << "log_prob");
      expect_close(got.entropy, right.entropy, 1e-5, 1e-6, ::testing::Message() << "entropy");
      EXPECT_EQ(got.arg_max, right.arg_max);
      expect_close(got.logits, right.logits, 1e-5, 1e-7, ::testing::Message() << "gradient");
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
