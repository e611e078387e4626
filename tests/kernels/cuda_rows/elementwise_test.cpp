// CUDA's rotary positions and activations, run on the CPU: against the plain loops.
#include "kernels/cuda_rows/device_buffers.h"
#include "kernels/reference/activation_gradient.h"
#include "kernels/reference/dropout.h"
#include "kernels/reference/rope.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::Contents;
using cuda_on_host::GlobalMemory;
using cuda_on_host::Order;

class CudaElementwiseTest : public ::testing::Test {
 protected:
  std::mt19937 engine_{13};
};

struct RopeShape {
  std::int64_t tokens, heads, head_dim, rotary_dim, gap;
  bool interleaved, inverse, moves, positions;
  std::string text() const {
    return "tokens " + std::to_string(tokens) + " heads " + std::to_string(heads) + " of " + std::to_string(head_dim) +
           ", " + std::to_string(rotary_dim) + " turned, gap " + std::to_string(gap) +
           (interleaved ? ", interleaved" : "") + (moves ? ", from another" : "");
  }
};

std::vector<RopeShape> rope_shapes() {
  struct Sizes {
    std::int64_t tokens, heads, head_dim, rotary_dim, gap;
  };
  constexpr Sizes kSizes[] = {{0, 2, 64, 64, 0},    {1, 1, 2, 2, 0},   {1, 3, 6, 4, 1},   {4, 2, 64, 64, 0},
                              {3, 5, 128, 128, 8},  {2, 9, 80, 32, 0}, {2, 3, 96, 48, 0}, {3, 1, 20, 10, 0},
                              {1, 40, 128, 128, 0}, {2, 3, 64, 16, 4}, {1, 0, 64, 64, 0}};
  std::vector<RopeShape> all;
  for (const Sizes& s : kSizes) {
    for (int flags = 0; flags < 16; ++flags) {
      if ((flags & 3) == 3 && s.tokens != 3) continue;
      all.push_back({s.tokens, s.heads, s.head_dim, s.rotary_dim, s.gap, (flags & 1) != 0, (flags & 2) != 0,
                     (flags & 4) != 0, (flags & 8) != 0});
    }
  }
  return all;
}

TEST_F(CudaElementwiseTest, Rope) {
  constexpr std::int64_t kPositions = 9;
  for (const Element type : kElements) {
    for (const RopeShape& shape : rope_shapes()) {
      const std::int64_t head = shape.head_dim + shape.gap, row = shape.heads * head + shape.gap;
      const std::int64_t half = shape.rotary_dim / 2;
      const Buffer source = Buffer::random(type, shape.tokens * row, engine_);
      const Buffer data = Buffer::random(type, shape.tokens * row, engine_);
      const Buffer cos = Buffer::random(Element::f32, kPositions * half, engine_);
      const Buffer sin = Buffer::random(Element::f32, kPositions * half, engine_);
      std::vector<std::int64_t> positions;
      for (std::int64_t i = 0; i < shape.tokens; ++i) positions.push_back((i * 5 + 3) % kPositions);
      const auto params = [&](void* to_data, const void* to_source, const float* to_cos, const float* to_sin) {
        return cpu::RopeParams{.type = type,
                               .data = to_data,
                               .cos = to_cos,
                               .sin = to_sin,
                               .positions = shape.positions ? positions.data() : nullptr,
                               .heads = shape.heads,
                               .rotary_dim = shape.rotary_dim,
                               .token_stride = row,
                               .head_stride = head,
                               .table_stride = half,
                               .interleaved = shape.interleaved,
                               .inverse = shape.inverse,
                               .source = shape.moves ? to_source : nullptr,
                               .source_token_stride = row,
                               .source_head_stride = head,
                               .head_dim = shape.head_dim};
      };
      Buffer expected = data;
      Buffer cosines = cos, sines = sin;
      reference::rope(params(expected.data(), source.data(), cosines.floats(), sines.floats()), 0,
                      shape.tokens * shape.heads);
      for (const Order order : kSchedules) {
        GlobalMemory memory;
        DeviceBuffer to(memory, data, "data", Contents::in_out);
        DeviceBuffer from(memory, source, "source", Contents::input);
        DeviceBuffer to_cos(memory, cos, "cos", Contents::input);
        DeviceBuffer to_sin(memory, sin, "sin", Contents::input);
        memory.add(positions.data(), positions.size() * 8, "positions", Contents::input);
        const HostLauncher launcher(memory, order, 5);
        rope_on_host(params(to.data(), from.data(), to_cos.floats(), to_sin.floats()), shape.tokens, launcher);
        ASSERT_EQ(launcher.text(), "clean") << shape.text();
        EXPECT_TRUE(to.host() == expected || type == Element::f32) << shape.text();
        expect_close(to.host(), expected, 2 * spacing(type), 1e-7, ::testing::Message() << shape.text());
        if (shape.tokens > 0 && shape.heads > 0) {
          const auto least =
              static_cast<std::uint64_t>(shape.tokens * shape.heads * shape.rotary_dim * element_bytes(type));
          EXPECT_GE(memory.named(shape.moves ? "source" : "data").bytes_read, least) << shape.text();
        }
      }
    }
  }
}

struct ActivationShape {
  std::int64_t rows, columns, gap;
  std::string text() const {
    return "rows " + std::to_string(rows) + " columns " + std::to_string(columns) + " gap " + std::to_string(gap);
  }
};
constexpr ActivationShape kActivationShapes[] = {{0, 8, 0},  {1, 0, 0},   {1, 1, 0},   {3, 7, 0},
                                                 {2, 64, 8}, {2, 255, 1}, {2, 520, 0}, {1, 2056, 0}};
constexpr cpu::ActivationKind kKinds[] = {cpu::ActivationKind::silu,       cpu::ActivationKind::gelu_tanh,
                                          cpu::ActivationKind::gelu,       cpu::ActivationKind::relu,
                                          cpu::ActivationKind::quick_gelu, cpu::ActivationKind::relu2,
                                          cpu::ActivationKind::sigmoid,    cpu::ActivationKind::tanh};

double activation_tolerance(Element type) { return type == Element::f32 ? 1e-5 : 1.01 * spacing(type); }

TEST_F(CudaElementwiseTest, Activation) {
  for (const Element type : kElements) {
    for (const ActivationShape& shape : kActivationShapes) {
      for (const cpu::ActivationKind kind : kKinds) {
        for (const bool with_up : {false, true}) {
          const std::int64_t stride = shape.columns + shape.gap;
          const Buffer gate = Buffer::random(type, shape.rows * stride, engine_, 9.0f);
          const Buffer up = Buffer::random(type, shape.rows * stride, engine_);
          const auto params = [&](const void* to_gate, const void* to_up, void* y) {
            return cpu::ActivationParams{.type = type,
                                         .kind = kind,
                                         .gate = to_gate,
                                         .up = with_up ? to_up : nullptr,
                                         .y = y,
                                         .columns = shape.columns,
                                         .gate_stride = stride,
                                         .up_stride = stride,
                                         .y_stride = stride};
          };
          Buffer expected(type, shape.rows * stride, -77.0f);
          reference::activation_mul(params(gate.data(), up.data(), expected.data()), 0, shape.rows * shape.columns);
          for (const Order order : kSchedules) {
            GlobalMemory memory;
            DeviceBuffer to_gate(memory, gate, "gate", Contents::input);
            DeviceBuffer to_up(memory, up, "up", Contents::input);
            DeviceBuffer y(memory, Buffer(type, shape.rows * stride, -77.0f), "y", Contents::output);
            HostLauncher launcher(memory, order, 5);
            launcher.count_traffic(0);
            activation_on_host(params(to_gate.data(), to_up.data(), y.data()), shape.rows, launcher);
            ASSERT_EQ(launcher.text(), "clean") << shape.text();
            expect_close(y.host(), expected, activation_tolerance(type), 1e-7, ::testing::Message() << shape.text());
            if (shape.columns == 2056) expect_ideal_accesses(launcher, shape.text());
          }
        }
      }
    }
  }
}

TEST_F(CudaElementwiseTest, ActivationGradient) {
  for (const Element type : kElements) {
    for (const ActivationShape& shape : kActivationShapes) {
      for (const cpu::ActivationKind kind : kKinds) {
        for (const bool with_up : {false, true}) {
          const std::int64_t stride = shape.columns + shape.gap;
          const Buffer gate = Buffer::random(type, shape.rows * stride, engine_, 9.0f);
          const Buffer up = Buffer::random(type, shape.rows * stride, engine_);
          const Buffer dy = Buffer::random(type, shape.rows * stride, engine_);
          const auto params = [&](const void* to_gate, const void* to_up, const void* to_dy, void* dgate, void* dup) {
            return cpu::ActivationGradientParams{.type = type,
                                                 .kind = kind,
                                                 .gate = to_gate,
                                                 .up = with_up ? to_up : nullptr,
                                                 .dy = to_dy,
                                                 .dgate = dgate,
                                                 .dup = with_up ? dup : nullptr,
                                                 .columns = shape.columns,
                                                 .gate_stride = stride,
                                                 .up_stride = stride,
                                                 .dy_stride = stride,
                                                 .dgate_stride = stride,
                                                 .dup_stride = stride};
          };
          Buffer dgate(type, shape.rows * stride, -77.0f), dup = dgate;
          reference::activation_gradient(params(gate.data(), up.data(), dy.data(), dgate.data(), dup.data()), 0,
                                         shape.rows * shape.columns);
          for (const Order order : kSchedules) {
            GlobalMemory memory;
            DeviceBuffer to_gate(memory, gate, "gate", Contents::input);
            DeviceBuffer to_up(memory, up, "up", Contents::input);
            DeviceBuffer to_dy(memory, dy, "dy", Contents::input);
            DeviceBuffer to_dgate(memory, Buffer(type, shape.rows * stride, -77.0f), "dgate", Contents::output);
            DeviceBuffer to_dup(memory, Buffer(type, shape.rows * stride, -77.0f), "dup", Contents::output);
            HostLauncher launcher(memory, order, 5);
            launcher.count_traffic(0);
            activation_gradient_on_host(
                params(to_gate.data(), to_up.data(), to_dy.data(), to_dgate.data(), to_dup.data()), shape.rows,
                launcher);
            ASSERT_EQ(launcher.text(), "clean") << shape.text();
            const auto what = ::testing::Message() << shape.text() << " kind " << static_cast<int>(kind);
            expect_close(to_dgate.host(), dgate, activation_tolerance(type), 2e-6, what);
            expect_close(to_dup.host(), dup, activation_tolerance(type), 1e-7, what);
            if (shape.columns == 2056) expect_ideal_accesses(launcher, shape.text());
          }
        }
      }
    }
  }
}

TEST_F(CudaElementwiseTest, GradientInPlace) {
  const Buffer gate = Buffer::random(Element::bf16, 2 * 40, engine_);
  const Buffer dy = Buffer::random(Element::bf16, 2 * 40, engine_);
  cpu::ActivationGradientParams params{.type = Element::bf16,
                                       .gate = gate.data(),
                                       .dy = dy.data(),
                                       .columns = 40,
                                       .gate_stride = 40,
                                       .dy_stride = 40,
                                       .dgate_stride = 40};
  Buffer expected(Element::bf16, 2 * 40);
  params.dgate = expected.data();
  reference::activation_gradient(params, 0, 80);
  GlobalMemory memory;
  DeviceBuffer to_gate(memory, gate, "gate", Contents::input);
  DeviceBuffer to_dy(memory, dy, "dy", Contents::in_out);
  params.gate = to_gate.data();
  params.dy = params.dgate = to_dy.data();
  const HostLauncher launcher(memory, Order::random, 5);
  activation_gradient_on_host(params, 2, launcher);
  ASSERT_EQ(launcher.text(), "clean");
  expect_close(to_dy.host(), expected, activation_tolerance(Element::bf16), 1e-7, ::testing::Message());
}

TEST_F(CudaElementwiseTest, Dropout) {
  for (const Element type : kElements) {
    for (const std::int64_t columns :
         {1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65, 96, 100, 127, 2056, 4100}) {
      for (const std::int64_t gap : {0, 8, 3}) {
        const std::int64_t rows = columns == 64 ? 300 : 3, stride = columns + gap;
        const Buffer x = Buffer::random(type, rows * stride, engine_);
        cpu::DropoutParams params{.type = type,
                                  .columns = columns,
                                  .x_stride = stride,
                                  .y_stride = stride,
                                  .threshold = 20000,
                                  .kept = 1.4f,
                                  .key = {7, 11},
                                  .counter = (std::uint64_t{1} << 32) - 2,  // carries into its upper half
                                  .lane = 5,
                                  .stream = 2};
        Buffer expected(type, rows * stride, -77.0f), plain = x;
        params.x = plain.data();
        params.y = expected.data();
        reference::dropout(params, 0, rows);
        for (const Order order : kSchedules) {
          GlobalMemory memory;
          DeviceBuffer from(memory, x, "x", Contents::input);
          DeviceBuffer to(memory, Buffer(type, rows * stride, -77.0f), "y", Contents::output);
          params.x = from.data();
          params.y = to.data();
          HostLauncher launcher(memory, order, 5);
          launcher.count_traffic(0);
          dropout_on_host(params, rows, launcher);
          ASSERT_EQ(launcher.text(), "clean") << columns << " gap " << gap;
          EXPECT_TRUE(to.host() == expected) << columns << " gap " << gap;
          if (columns == 2056 && gap != 3) expect_ideal_accesses(launcher, "dropout");
        }
      }
    }
  }
}

}  // namespace
}  // namespace powerhouse::testing
