// CUDA's AdamW with states of eight-bit codes, run on the CPU: against the plain loop in float64.
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

}  // namespace
}  // namespace powerhouse::testing
