// CUDA's steps of optimizers, run on the CPU: AdamW with states of eight-bit codes and all rules with states of numbers
// against the plain loop in float64.
#include "kernels/reference/optimizer.h"

#include "kernels/cuda_rows/device_buffers.h"
#include "training/state_codes.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Contents;
using cuda_on_host::DeviceArray;
using cuda_on_host::GlobalMemory;

/// Codes and scales of a state of so many elements.
struct CodedState {
  std::vector<std::uint8_t> codes;
  Buffer absmax;

  CodedState(std::int64_t elements, std::mt19937& engine, bool fresh)
      : codes(static_cast<std::size_t>(elements), fresh ? 127 : 0),
        absmax(fresh ? Buffer(Element::f32, (elements + 255) / 256)
                     : Buffer::random(Element::f32, (elements + 255) / 256, engine)) {
    if (fresh) return;
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(engine());
    for (std::int64_t i = 0; i < absmax.size(); ++i) absmax.set(i, std::abs(absmax.at(i)));
  }
};

struct Case {
  std::int64_t elements;
  bool master, parameter, fresh;
  float l2;
};

class CudaOptimizerTest : public ::testing::Test {
 protected:
  std::mt19937 engine_{23};
};

TEST_F(CudaOptimizerTest, AdamWithCodes) {
  constexpr Case kCases[] = {{0, true, true, true, 0},    {1, false, true, true, 0},
                             {8, true, true, false, 0},   {255, true, false, false, 0.1f},
                             {256, true, true, false, 0}, {257, false, true, false, 0},
                             {2048, true, true, true, 0}, {5000, false, true, false, 0.01f}};
  for (const Element type : kElements) {
    for (const Case& one : kCases) {
      const Buffer gradient = Buffer::random(type, one.elements, engine_);
      const Buffer parameter = Buffer::random(type, one.elements, engine_);
      Buffer master = Buffer::random(Element::f32, one.elements, engine_);
      CodedState a(one.elements, engine_, one.fresh), b(one.elements, engine_, one.fresh);
      if (one.fresh) std::fill(b.codes.begin(), b.codes.end(), 0);
      cpu::UpdateParams params{.type = type,
                               .grad_scale = 0.5f,
                               .l2 = one.l2,
                               .decay = 0.999f,
                               .lr = 1e-2f,
                               .beta1 = 0.9f,
                               .one_minus_beta1 = 0.1f,
                               .beta2 = 0.95f,
                               .one_minus_beta2 = 0.05f,
                               .correction = 0.7f,
                               .eps = 1e-6f};
      CodedState right_a = a, right_b = b;
      Buffer right_parameter = parameter, right_master = master;
      cpu::UpdateParams right = params;
      right.gradient = gradient.data();
      right.parameter = one.parameter ? right_parameter.data() : nullptr;
      right.master = one.master ? right_master.floats() : nullptr;
      right.a = {.data = right_a.codes.data(), .codes = &signed_state_codes(), .absmax = right_a.absmax.floats()};
      right.b = {.data = right_b.codes.data(), .codes = &unsigned_state_codes(), .absmax = right_b.absmax.floats()};
      reference::optimizer_update(right, 0, one.elements);

      for (const cuda_on_host::Order order : kSchedules) {
        GlobalMemory memory;
        DeviceBuffer g(memory, gradient, "gradient", Contents::input);
        DeviceBuffer w(memory, parameter, "parameter", Contents::in_out);
        DeviceBuffer m(memory, master, "master", Contents::in_out);
        DeviceBuffer absmax_a(memory, a.absmax, "absmax a", Contents::in_out);
        DeviceBuffer absmax_b(memory, b.absmax, "absmax b", Contents::in_out);
        DeviceArray<std::uint8_t> codes_a(a.codes.size()), codes_b(b.codes.size());
        std::copy(a.codes.begin(), a.codes.end(), codes_a.begin());
        std::copy(b.codes.begin(), b.codes.end(), codes_b.begin());
        memory.add(codes_a.data(), codes_a.bytes(), "codes a", Contents::in_out);
        memory.add(codes_b.data(), codes_b.bytes(), "codes b", Contents::in_out);
        for (const cpu::StateCodes* map : {&signed_state_codes(), &unsigned_state_codes()}) {
          memory.add(map->values, 1024, "values", Contents::input);
          memory.add(map->bounds, 1024, "bounds", Contents::input);
        }
        cpu::UpdateParams all = params;
        all.gradient = g.data();
        all.parameter = one.parameter ? w.data() : nullptr;
        all.master = one.master ? m.floats() : nullptr;
        all.a = {.data = codes_a.data(), .codes = &signed_state_codes(), .absmax = absmax_a.floats()};
        all.b = {.data = codes_b.data(), .codes = &unsigned_state_codes(), .absmax = absmax_b.floats()};
        HostLauncher launcher(memory, order, 5);
        launcher.count_traffic(0);
        adamw8_on_host(all, one.elements, launcher);
        const auto what = ::testing::Message() << one.elements << " elements";
        ASSERT_EQ(launcher.text(), "clean") << what.GetString();
        expect_close(m.host(), right_master, 1e-5, 1e-7, what);
        expect_close(w.host(), right_parameter, type == Element::f32 ? 1e-5 : 1.01 * spacing(type), 1e-7, what);
        expect_close(absmax_a.host(), right_a.absmax, 1e-5, 1e-12, what);
        expect_close(absmax_b.host(), right_b.absmax, 1e-5, 1e-12, what);
        std::int64_t moved = 0;  // a number on a bound may fall on either side of it
        for (std::size_t i = 0; i < codes_a.size(); ++i) {
          EXPECT_LE(std::abs(int{codes_a[i]} - int{right_a.codes[i]}), 1) << i;
          EXPECT_LE(std::abs(int{codes_b[i]} - int{right_b.codes[i]}), 1) << i;
          moved += (codes_a[i] != right_a.codes[i]) + (codes_b[i] != right_b.codes[i]);
        }
        EXPECT_LE(moved, 2 * one.elements / 500) << what.GetString();
        if (one.elements == 2048 && type != Element::f32 && !one.master) expect_ideal_accesses(launcher, "adamw");
      }
    }
  }
}

struct RuleCase {
  cpu::UpdateRule rule;
  int states;
  bool master, parameter, first, nesterov;
};

TEST_F(CudaOptimizerTest, RulesOverManyParameters) {
  using enum cpu::UpdateRule;
  constexpr RuleCase kRules[] = {{sgd, 0, false, true, false, false},    {sgd, 1, true, true, true, false},
                                 {sgd, 1, false, true, false, true},     {adamw, 2, false, true, false, false},
                                 {adamw, 2, true, false, false, false},  {lion, 1, false, true, false, false},
                                 {adagrad, 1, true, true, false, false}, {rmsprop, 1, false, true, false, false},
                                 {rmsprop, 2, false, true, false, false}};
  constexpr std::int64_t kSizes[] = {1, 7, 4096, 4097, 9000, 24};
  for (const Element type : kElements) {
    for (const bool wide_states : {true, false}) {
      for (const RuleCase& one : kRules) {
        for (const cuda_on_host::Order order : kSchedules) {
          GlobalMemory memory;
          std::vector<std::array<Buffer, 5>> expected;
          std::vector<std::array<std::unique_ptr<DeviceBuffer>, 5>> found;
          std::vector<cuda::UpdateItem> items;
          std::int64_t chunks = 0;
          for (const std::int64_t size : kSizes) {
            const Element state = wide_states ? Element::f32 : type;
            std::array<Buffer, 5> all{Buffer::random(type, size, engine_), Buffer::random(type, size, engine_),
                                      Buffer::random(Element::f32, size, engine_), Buffer::random(state, size, engine_),
                                      Buffer::random(state, size, engine_)};
            // Second moments, and sums of squares, are not below zero.
            for (std::int64_t i = 0; i < size; ++i) {
              if (one.rule == adagrad || one.rule == rmsprop) all[3].set(i, std::abs(all[3].at(i)));
              if (one.rule == adamw) all[4].set(i, std::abs(all[4].at(i)));
            }
            std::array<std::unique_ptr<DeviceBuffer>, 5> there;
            const std::int64_t offset = size == 4097 || size == 7 ? 1 : 0;
            for (std::size_t i = 0; i < 5; ++i) {
              there[i] = std::make_unique<DeviceBuffer>(memory, all[i], "array " + std::to_string(i),
                                                        i == 0 ? Contents::input : Contents::in_out, offset);
            }
            const auto params = [&](const std::array<void*, 5>& data) {
              return cpu::UpdateParams{.rule = one.rule,
                                       .type = type,
                                       .gradient = data[0],
                                       .parameter = one.parameter ? data[1] : nullptr,
                                       .master = one.master ? static_cast<float*>(data[2]) : nullptr,
                                       .a = {.data = one.states > 0 ? data[3] : nullptr, .type = state},
                                       .b = {.data = one.states > 1 ? data[4] : nullptr, .type = state},
                                       .grad_scale = 0.5f,
                                       .l2 = 0.01f,
                                       .decay = 0.999f,
                                       .lr = 1e-2f,
                                       .beta1 = 0.9f,
                                       .one_minus_beta1 = 0.1f,
                                       .beta2 = 0.95f,
                                       .one_minus_beta2 = 0.05f,
                                       .correction = 0.7f,
                                       .eps = 1e-6f,
                                       .nesterov = one.nesterov,
                                       .first = one.first};
            };
            items.push_back({.params = params({there[0]->data(), there[1]->data(), there[2]->data(), there[3]->data(),
                                               there[4]->data()}),
                             .elements = size,
                             .first_chunk = chunks});
            chunks += (size + cuda::kUpdateChunk - 1) / cuda::kUpdateChunk;
            reference::optimizer_update(
                params({all[0].data(), all[1].data(), all[2].data(), all[3].data(), all[4].data()}), 0, size);
            expected.push_back(std::move(all));
            found.push_back(std::move(there));
          }
          memory.add(items.data(), items.size() * sizeof(items[0]), "items", Contents::input);
          HostLauncher launcher(memory, order, 5);
          optimizer_update_on_host({items.data(), static_cast<int>(items.size()), chunks}, launcher);
          const auto what = ::testing::Message() << "rule " << static_cast<int>(one.rule) << " states " << one.states;
          ASSERT_EQ(launcher.text(), "clean") << what.GetString();
          for (std::size_t item = 0; item < items.size(); ++item) {
            for (std::size_t i = 1; i < 5; ++i) {
              const Element of = expected[item][i].type();
              expect_close(found[item][i]->host(), expected[item][i], of == Element::f32 ? 1e-5 : 1.01 * spacing(of),
                           1e-6, what);
            }
          }
        }
      }
    }
  }
}

TEST_F(CudaOptimizerTest, SumsOfSquares) {
  constexpr std::int64_t kSizes[] = {1, 7, 4096, 4097, 20000, 24};
  for (const Element type : kElements) {
    std::vector<double> first;
    for (const cuda_on_host::Order order : kSchedules) {
      std::mt19937 engine(5);
      GlobalMemory memory;
      std::vector<std::unique_ptr<DeviceBuffer>> gradients;
      std::vector<cuda::UpdateItem> items;
      std::vector<double> expected;
      std::int64_t chunks = 0;
      for (const std::int64_t size : kSizes) {
        const Buffer x = Buffer::random(type, size, engine);
        expected.push_back(reference::sum_squares(x.data(), type, 0, size));
        gradients.push_back(
            std::make_unique<DeviceBuffer>(memory, x, "gradient", Contents::input, size % 2 == 1 ? 1 : 0));
        items.push_back(
            {.params = {.type = type, .gradient = gradients.back()->data()}, .elements = size, .first_chunk = chunks});
        chunks += (size + cuda::kUpdateChunk - 1) / cuda::kUpdateChunk;
      }
      DeviceArray<double> parts(static_cast<std::size_t>(chunks)), sums(items.size());
      memory.add(items.data(), items.size() * sizeof(items[0]), "items", Contents::input);
      memory.add(parts.data(), parts.bytes(), "parts", Contents::output);
      memory.add(sums.data(), sums.bytes(), "sums", Contents::output);
      HostLauncher launcher(memory, order, 5);
      sum_squares_on_host({{items.data(), static_cast<int>(items.size()), chunks}, parts.data(), sums.data()},
                          launcher);
      ASSERT_EQ(launcher.text(), "clean");
      for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(sums.data()[i], expected[i], 1e-12 * expected[i]);
      const std::vector<double> here(sums.begin(), sums.end());
      if (first.empty()) first = here;
      EXPECT_EQ(here, first) << "a sum depends on time";
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
