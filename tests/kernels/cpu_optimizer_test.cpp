// The optimizers' update and the sum of squares against the plain loops: every rule, mixture of types and odd size.
#include "kernels/reference/optimizer.h"

#include "kernels/cpu_kernels.h"

namespace powerhouse::testing {
namespace {

using OptimizerUpdateTest = CpuKernelTest;
using SumSquaresTest = CpuKernelTest;
POWERHOUSE_EVERY_INSTRUCTION_SET(OptimizerUpdateTest);
POWERHOUSE_EVERY_INSTRUCTION_SET(SumSquaresTest);

constexpr std::int64_t kUpdateSizes[] = {1, 7, 16, 100, 255, 256, 257, 1000};

struct Update {
  Buffer gradient, parameter, master, a, b;

  Update(Element type, Element state, std::int64_t size, std::mt19937& engine)
      : gradient(Buffer::random(type, size, engine)),
        parameter(Buffer::random(type, size, engine)),
        master(Buffer::random(Element::f32, size, engine)),
        a(Buffer::random(state, size, engine)),
        b(Buffer::random(state, size, engine)) {
    for (std::int64_t i = 0; i < size; ++i) b.set(i, std::abs(b.at(i)) + 0.01f);
  }
  cpu::UpdateParams params(cpu::UpdateRule rule, bool with_master) {
    const bool squares = rule == cpu::UpdateRule::adagrad || rule == cpu::UpdateRule::rmsprop;
    cpu::UpdateParams p{.rule = rule, .type = gradient.type(), .gradient = gradient.data()};
    p.parameter = parameter.data();
    if (with_master) p.master = master.floats();
    p.a = {.data = squares ? b.data() : a.data(), .type = a.type()};
    if (rule == cpu::UpdateRule::adamw) p.b = {.data = b.data(), .type = b.type()};
    p.grad_scale = 0.7f, p.l2 = 0.01f, p.decay = 0.98f, p.lr = 0.05f, p.beta1 = 0.9f, p.one_minus_beta1 = 0.1f;
    p.beta2 = 0.95f, p.one_minus_beta2 = 0.05f, p.correction = 0.8f, p.eps = 1e-3f;
    return p;
  }
};

void compare(const cpu::CpuKernels& kernels, const Update& start, cpu::UpdateRule rule, bool with_master) {
  Update found = start;
  Update expected = start;
  const std::int64_t size = start.gradient.size();
  const cpu::UpdateParams params = found.params(rule, with_master);
  // In two calls, as two threads would.
  const std::int64_t middle = size / 512 * 256;
  kernels.optimizer_update(params, 0, middle);
  kernels.optimizer_update(params, middle, size);
  reference::optimizer_update(expected.params(rule, with_master), 0, size);
  const auto what = ::testing::Message() << "rule " << static_cast<int>(rule) << " size " << size << " type "
                                         << static_cast<int>(start.gradient.type()) << " state "
                                         << static_cast<int>(start.a.type()) << " master " << with_master;
  const auto check = [&](const Buffer& x, const Buffer& y) {
    const double unit = x.type() == Element::f32 ? 1e-6 : spacing(x.type());
    expect_close(x, y, unit, 2e-7, what);
  };
  check(found.parameter, expected.parameter);
  check(found.master, expected.master);
  check(found.a, expected.a);
  check(found.b, expected.b);
}

TEST_P(OptimizerUpdateTest, AgreesWithThePlainLoop) {
  for (const Element type : kElements) {
    for (const Element state : {Element::f32, type}) {
      for (const std::int64_t size : kUpdateSizes) {
        const Update start(type, state, size, engine_);
        for (const auto rule : {cpu::UpdateRule::sgd, cpu::UpdateRule::adamw, cpu::UpdateRule::lion,
                                cpu::UpdateRule::adagrad, cpu::UpdateRule::rmsprop}) {
          compare(kernels(), start, rule, false);
          compare(kernels(), start, rule, true);
        }
      }
    }
  }
}

TEST_P(OptimizerUpdateTest, LeavesAStateThatIsNotThereAlone) {
  Update start(Element::f32, Element::f32, 300, engine_);
  for (const auto rule : {cpu::UpdateRule::sgd, cpu::UpdateRule::rmsprop}) {
    Update found = start;
    Update expected = start;
    cpu::UpdateParams params = found.params(rule, false);
    cpu::UpdateParams plain = expected.params(rule, false);
    if (rule == cpu::UpdateRule::sgd) {
      params.a.data = plain.a.data = nullptr;
    } else {
      params.b = {.data = found.a.data(), .type = Element::f32};
      plain.b = {.data = expected.a.data(), .type = Element::f32};
    }
    kernels().optimizer_update(params, 0, 300);
    reference::optimizer_update(plain, 0, 300);
    expect_close(found.parameter, expected.parameter, 1e-6, 2e-7, ::testing::Message() << "parameter");
    expect_close(found.a, expected.a, 1e-6, 2e-7, ::testing::Message() << "momentum");
    EXPECT_FALSE(found.parameter == start.parameter);
  }
}

TEST_P(SumSquaresTest, AgreesWithThePlainLoop) {
  for (const Element type : kElements) {
    for (const std::int64_t size : {1, 3, 16, 255, 1024, 5000, 100003}) {
      const Buffer x = Buffer::random(type, size, engine_);
      const double expected = reference::sum_squares(x.data(), type, 1, size);
      EXPECT_NEAR(kernels().sum_squares(x.data(), type, 1, size), expected, 1e-6 * expected) << size;
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
