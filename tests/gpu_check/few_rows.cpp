// Products of few rows with what stands in front and behind, as a step of decoding makes them, with dense weights and
// blocks, against LibTorch's.
#include "ops/few_rows.h"
#include "gpu_check/checks.h"
#include "kernels/cuda_rows/device_blocks.h"
#include "kernels/reference/dequantize.h"

namespace powerhouse::gpu_check {

namespace {

struct Case {
  std::int64_t rows, inputs, outputs;
};
constexpr Case kCases[] = {{1, 2048, 1000}, {3, 576, 40}, {8, 4096, 2064}, {16, 1032, 130}, {2, 8, 16}};
// Beside sixteen warps' copies of Q8_0 there is no room for eight normed rows of 4096.
constexpr Case kBlockCases[] = {{1, 2048, 1000}, {3, 768, 40}, {8, 3072, 2064}, {16, 1024, 130}, {2, 256, 16}};

// A map here and on the device: of elements, or of blocks.
struct Map {
  at::Tensor weight, bias;
  ops::FewRowsMap there{};

  Map(const Machine& machine, const Case& c, at::ScalarType type, std::uint64_t seed, std::optional<BlockFormat> format)
      : bias(noise({c.outputs}, type, seed + 1)) {
    there.bias = gpu_check::there(machine, bias);
    there.format = format;
    if (!format) {
      weight = noise({c.outputs, c.inputs}, type, seed, 1 / std::sqrt(static_cast<double>(c.inputs)));
      there.weight = gpu_check::there(machine, weight);
      return;
    }
    const BlockInfo info = block_info(*format);
    std::mt19937 engine(static_cast<unsigned>(seed));
    const std::vector<std::uint8_t> bytes =
        testing::plain_blocks(*format, c.outputs * c.inputs / info.block_elements, engine);
    weight = at::empty({c.outputs, c.inputs});
    dequantize_row(*format, bytes.data(), weight.data_ptr<float>(), weight.numel());
    there.weight = bytes_there(machine, bytes.data(), bytes.size())
                       .slice(0, 0, static_cast<std::int64_t>(bytes.size()))
                       .view({c.outputs, -1});
  }

  at::Tensor of(const Machine& machine, const at::Tensor& x, at::ScalarType to) const {
    return at::linear(x, wide(machine, weight, to), wide(machine, bias, to));
  }
};

at::Tensor normed(const Machine& machine, const at::Tensor& x, const at::Tensor& weight, at::ScalarType to) {
  const at::Tensor in = wide(machine, x, to);
  return in.mul(in.square().mean(-1, true).add(1e-5).rsqrt()).mul(wide(machine, weight, to));
}

void check_maps(Checked& checked, const Machine& machine, std::optional<BlockFormat> format,
                std::span<const Case> cases) {
  const Norm norm{};
  for (const at::ScalarType type : kHalfTypes) {
    for (const Case& of : cases) {
      Case c = of;
      if (machine.small)
        c.inputs = std::min<std::int64_t>(c.inputs, format ? 768 : 520),
        c.outputs = std::min<std::int64_t>(c.outputs, 70);
      const std::string name = std::string(format ? block_info(*format).name : "") + " " + at::toString(type) + " [" +
                               std::to_string(c.rows) + ", " + std::to_string(c.inputs) + "] to " +
                               std::to_string(c.outputs);
      // Numbers of blocks are large: products of gate and up would pass float16's largest number.
      const at::Tensor x = noise({c.rows, c.inputs}, type, 1),
                       factors = noise({c.inputs}, type, 2, format ? 1.0 / 16 : 1.0),
                       residual = noise({c.rows, c.outputs}, type, 3);
      const Map first(machine, c, type, 4, format), second(machine, {c.rows, c.inputs, c.outputs + 8}, type, 6, format),
          up(machine, c, type, 8, format);
      const ops::FewRows plain{there(machine, x)}, with_norm{there(machine, x), &norm, there(machine, factors)};
      const ops::FewRowsMap maps[] = {first.there, second.there};
      checked.launched(name, ops::few_rows_take(with_norm, maps));
      const auto rows = [&](at::ScalarType to) { return normed(machine, x, factors, to); };
      const std::vector<at::Tensor> both = ops::few_rows_products(with_norm, maps, false);
      checked.launched(name, both.size() == 2);
      if (both.size() != 2) continue;
      checked.tensor(name + " first", both[0], allowed(type, 3),
                     [&](at::ScalarType to) { return first.of(machine, rows(to), to); });
      checked.tensor(name + " second", both[1], allowed(type, 3),
                     [&](at::ScalarType to) { return second.of(machine, rows(to), to); });
      checked.tensor(name + " gated", ops::few_rows_gated(with_norm, first.there, up.there, Activation::silu, false),
                     allowed(type, 6), [&](at::ScalarType to) {
                       return at::silu(first.of(machine, rows(to), to)).mul(up.of(machine, rows(to), to));
                     });
      checked.tensor(name + " added", ops::few_rows_added(plain, first.there, there(machine, residual), false),
                     allowed(type, 2), [&](at::ScalarType to) {
                       return first.of(machine, wide(machine, x, to), to).add(wide(machine, residual, to));
                     });
      checked.tensor(name + " in float32", ops::few_rows_f32(plain, first.there, false), 2e-5,
                     [&](at::ScalarType to) { return first.of(machine, wide(machine, x, to), to); });
    }
  }
}

}  // namespace

void check_few_rows(Report& report, const Machine& machine) {
  Checked dense(report, machine, "few_rows_product"), blocks(report, machine, "few_rows_product, blocks");
  check_maps(dense, machine, std::nullopt, kCases);
  for (const BlockFormat format : testing::kFormats) {
    if (machine.small && format > BlockFormat::q8_0) continue;
    check_maps(blocks, machine, format, kBlockCases);
  }
}

}  // namespace powerhouse::gpu_check
