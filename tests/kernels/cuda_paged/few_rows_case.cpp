#include "kernels/cuda_paged/few_rows_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "kernels/cuda_rows/device_blocks.h"
#include "kernels/reference/dequantize.h"
#include "kernels/reference/rope.h"

namespace powerhouse::testing {

using cuda_on_host::Contents;
using cuda_on_host::DeviceArray;
using cuda_on_host::GlobalMemory;

namespace {

constexpr float kEpsilon = 1e-5f;

double activated(cpu::ActivationKind kind, double x) {
  return kind == cpu::ActivationKind::silu   ? x / (1 + std::exp(-x))
         : kind == cpu::ActivationKind::relu ? std::max(x, 0.0)
                                             : 0.5 * x * std::erfc(-x * std::sqrt(0.5));
}

/// What two elements leave of a number that is none: a level of NF4, a scaled point of a grid.
double rest_of_two(BlockFormat format, Element type) {
  if (format != BlockFormat::nf4 && format != BlockFormat::iq2_xs) return 0;
  return type == Element::bf16 ? 0x1p-17 : 0x1p-23;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const FewRowsCase& one) {
  out << "type " << static_cast<int>(one.type) << " rows " << one.rows << ' ' << one.inputs << " to";
  for (const int outputs : one.outputs) out << ' ' << outputs;
  return out << (one.bias ? " bias" : "") << (one.normed ? " normed" : "") << (one.norm_weight ? "" : " without weight")
             << (one.unit_offset ? " unit offset" : "") << (one.round_once ? " rounded once" : "")
             << (one.residual ? " residual" : "") << (one.gated ? " gated" : "") << (one.to_float ? " to float" : "")
             << " multiprocessors " << one.multiprocessors << " shared " << one.shared_bytes
             << (one.format ? " " + std::string(block_info(*one.format).name) : "");
}

std::vector<FewRowsCase> few_rows_edge_cases() {
  return {
      {.rows = 0},
      {.inputs = 8, .outputs = {1}},
      {.rows = 3, .inputs = 264, .outputs = {33, 16, 7}, .bias = true, .normed = true, .multiprocessors = 1},
      {.rows = 8, .inputs = 2056, .outputs = {40}, .residual = true, .multiprocessors = 1},
      {.rows = 9, .inputs = 512, .outputs = {48}, .bias = true, .residual = true},
      {.rows = 16, .inputs = 576, .outputs = {24, 24}, .normed = true, .gated = true, .multiprocessors = 1},
      {.rows = 2,
       .inputs = 320,
       .outputs = {50, 50},
       .bias = true,
       .normed = true,
       .unit_offset = true,
       .gated = true,
       .kind = cpu::ActivationKind::gelu},
      {.rows = 1, .inputs = 136, .outputs = {100}, .normed = true, .norm_weight = false, .to_float = true},
      {.type = Element::f16, .rows = 11, .inputs = 800, .outputs = {20, 5}, .normed = true, .round_once = true},
      {.type = Element::f16, .rows = 5, .inputs = 96, .outputs = {70, 70}, .normed = true, .gated = true},
  };
}

std::vector<FewRowsCase> few_block_rows_edge_cases() {
  using F = BlockFormat;
  return {
      {.rows = 0, .format = F::q4_0},
      {.inputs = 32, .outputs = {1}, .format = F::q4_0},
      {.rows = 3,
       .inputs = 288,
       .outputs = {33, 16, 7},
       .bias = true,
       .normed = true,
       .multiprocessors = 1,
       .format = F::q8_0},
      {.rows = 8, .inputs = 2080, .outputs = {40}, .residual = true, .multiprocessors = 1, .format = F::q4_0},
      {.rows = 9, .inputs = 512, .outputs = {48}, .bias = true, .residual = true, .format = F::q4_k},
      {.rows = 16,
       .inputs = 768,
       .outputs = {24, 24},
       .normed = true,
       .gated = true,
       .multiprocessors = 1,
       .format = F::q6_k},
      {.rows = 2,
       .inputs = 320,
       .outputs = {50, 50},
       .bias = true,
       .normed = true,
       .unit_offset = true,
       .gated = true,
       .kind = cpu::ActivationKind::gelu,
       .format = F::nf4},
      {.inputs = 256, .outputs = {100}, .normed = true, .norm_weight = false, .to_float = true, .format = F::iq2_xs},
      {.type = Element::f16,
       .rows = 11,
       .inputs = 800,
       .outputs = {20, 5},
       .normed = true,
       .round_once = true,
       .format = F::q4_0},
      // Sixteen warps; eight and x where it is, since shared memory is small.
      {.rows = 2, .inputs = 4352, .outputs = {40}, .residual = true, .multiprocessors = 1, .format = F::q4_k},
      {.rows = 8, .inputs = 4352, .outputs = {40}, .multiprocessors = 1, .format = F::q4_0, .shared_bytes = 99 << 10},
      {.rows = 1, .inputs = 2304, .outputs = {70}, .normed = true, .format = F::nf4, .shared_bytes = 110 << 10},
  };
}

void FewRowsProblem::add_blocks(int outputs) {
  const BlockInfo info = block_info(*case_.format);
  const std::vector<std::uint8_t> blocks =
      plain_blocks(*case_.format, static_cast<std::int64_t>(outputs) * case_.inputs / info.block_elements, engine_);
  weights_.push_back(std::make_unique<Bytes>((blocks.size() + 31) / 32 * 32));
  std::memcpy(weights_.back()->data(), blocks.data(), blocks.size());
  numbers_.emplace_back(static_cast<std::size_t>(outputs) * static_cast<std::size_t>(case_.inputs));
  dequantize_row(*case_.format, blocks.data(), numbers_.back().data(),
                 static_cast<std::int64_t>(numbers_.back().size()));
}

double FewRowsProblem::weight(std::size_t part, std::int64_t place) const {
  return case_.format ? static_cast<double>(numbers_[part][static_cast<std::size_t>(place)])
                      : at(*weights_[part], place);
}

FewRowsProblem::FewRowsProblem(const FewRowsCase& one) : case_(one), x_stride_(one.inputs + 8) {
  const auto array = [&](std::int64_t rows, std::int64_t stride, std::uint64_t what, float scale, int first = 0) {
    auto bytes = std::make_unique<Bytes>(static_cast<std::size_t>((rows * stride + 1) * element_bytes(one.type)));
    for (std::int64_t i = 0; i < rows * stride; ++i) {
      const int row = static_cast<int>(i / stride) + first, column = static_cast<int>(i % stride);
      write_element(bytes->data(), one.type, i, scale * number_at(what, 0, row, 0, column));
    }
    return bytes;
  };
  x_ = array(one.rows, x_stride_, 21, 1.5f, one.first_row);
  norm_weight_ = array(1, one.inputs, 22, 1.0f);
  const float scale = 2.0f / std::sqrt(static_cast<float>(one.inputs));
  for (std::size_t part = 0; part < one.outputs.size(); ++part) {
    if (one.format) {
      add_blocks(one.outputs[part]);
    } else {
      weights_.push_back(array(one.outputs[part], one.inputs, 23 + 3 * part, scale));
    }
    biases_.push_back(array(1, one.outputs[part], 24 + 3 * part, 0.5f));
    if (part < results()) {
      y_.push_back(
          std::make_unique<Bytes>(static_cast<std::size_t>((one.rows * y_stride(part) + 1) * element_bytes(y_type()))));
    }
  }
  residual_ = array(one.rows, one.outputs[0] + 1, 40, 1.0f, one.first_row);
}

std::unique_ptr<CountingLauncher> FewRowsProblem::run(cuda_on_host::Order order) {
  GlobalMemory memory;
  cuda::FewRowsParams params{.type = case_.type,
                             .blocks = case_.format.has_value(),
                             .format = case_.format.value_or(BlockFormat::q4_0),
                             .to_float = case_.to_float,
                             .x = x_->data(),
                             .x_stride = x_stride_,
                             .rows = case_.rows,
                             .inputs = case_.inputs,
                             .count = static_cast<int>(case_.outputs.size()),
                             .normed = case_.normed,
                             .norm_weight = case_.norm_weight ? norm_weight_->data() : nullptr,
                             .epsilon = kEpsilon,
                             .unit_offset = case_.unit_offset,
                             .round_once = case_.round_once,
                             .residual = case_.residual ? residual_->data() : nullptr,
                             .residual_stride = case_.outputs[0] + 1,
                             .gated = case_.gated,
                             .kind = case_.kind,
                             .early = true,
                             .multiprocessors = case_.multiprocessors,
                             .shared_bytes = case_.shared_bytes};
  memory.add(x_->data(), x_->bytes(), "x", Contents::input);
  memory.add(norm_weight_->data(), norm_weight_->bytes(), "norm's weight", Contents::input);
  memory.add(residual_->data(), residual_->bytes(), "residual", Contents::input);
  for (std::size_t part = 0; part < weights_.size(); ++part) {
    const std::string number = std::to_string(part);
    memory.add(weights_[part]->data(), weights_[part]->bytes(), "weight " + number, Contents::input);
    memory.add(biases_[part]->data(), biases_[part]->bytes(), "bias " + number, Contents::input);
    params.parts[part] = {.weight = weights_[part]->data(),
                          .bias = case_.bias ? biases_[part]->data() : nullptr,
                          .outputs = case_.outputs[part],
                          .y_stride = part < results() ? y_stride(part) : 0};
    if (part >= results()) continue;
    std::memset(y_[part]->data(), 0xFF, y_[part]->bytes());
    memory.add(y_[part]->data(), y_[part]->bytes(), "y " + number, Contents::output);
    params.parts[part].y = y_[part]->data();
  }
  auto launcher = std::make_unique<CountingLauncher>(memory, order, 1, std::vector<std::string>());
  return few_rows_product_on_host(params, *launcher) ? std::move(launcher) : nullptr;
}

double FewRowsProblem::at(const Bytes& bytes, std::int64_t place) const {
  return static_cast<double>(read_element(bytes.data(), case_.type, place));
}

double FewRowsProblem::rounded(double value) const {
  std::uint8_t bytes[4];
  write_element(bytes, case_.type, 0, static_cast<float>(value));
  return static_cast<double>(read_element(bytes, case_.type, 0));
}

std::vector<double> FewRowsProblem::read_row(int row) const {
  std::vector<double> x(static_cast<std::size_t>(case_.inputs));
  double squares = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = at(*x_, static_cast<std::int64_t>(row) * x_stride_ + static_cast<std::int64_t>(i));
    squares += x[i] * x[i];
  }
  if (!case_.normed) return x;
  const double inverse = 1 / std::sqrt(squares / case_.inputs + static_cast<double>(kEpsilon));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] *= inverse;
    if (case_.norm_weight) {
      if (!case_.round_once && !case_.unit_offset) x[i] = rounded(x[i]);
      x[i] *= at(*norm_weight_, static_cast<std::int64_t>(i)) + (case_.unit_offset ? 1 : 0);
    }
    x[i] = rounded(x[i]);
  }
  return x;
}

/// Roundings to the type that fall on another side than in float32 are allowed for: of the normed row (each input by
/// itself), of the product, of gate and up.
std::string FewRowsProblem::wrong() const {
  const double unit = case_.type == Element::bf16 ? 0x1p-8 : 0x1p-11;
  std::ostringstream text;
  for (int row = 0; row < case_.rows; ++row) {
    const std::vector<double> x = read_row(row);
    for (std::size_t part = 0; part < results(); ++part) {
      for (int output = 0; output < case_.outputs[part]; ++output) {
        double wanted[2] = {}, spread[2] = {};
        for (std::size_t w = 0; w < (case_.gated ? 2u : 1u); ++w) {
          const std::size_t of = part + w;
          double squares = 0, sizes = 0;
          for (std::size_t i = 0; i < x.size(); ++i) {
            const double term =
                x[i] * weight(of, static_cast<std::int64_t>(output) * case_.inputs + static_cast<std::int64_t>(i));
            wanted[w] += term;
            squares += term * term;
            sizes += std::abs(term);
          }
          spread[w] = std::sqrt(squares) * (case_.normed ? unit : 0);
          spread[w] += case_.format ? (1e-6 + rest_of_two(*case_.format, case_.type)) * sizes
                                    : 1e-6 * static_cast<double>(x.size());
          if (case_.bias) wanted[w] += at(*biases_[of], output);
        }
        double found, allowed = spread[0];
        const std::int64_t place = row * y_stride(part) + output;
        if (case_.to_float) {
          found = static_cast<double>(read_element(y_[part]->data(), Element::f32, place));
        } else {
          found = at(*y_[part], place);
          allowed += unit * std::abs(wanted[0]);
        }
        double expected = wanted[0];
        if (case_.gated) {
          expected = activated(case_.kind, wanted[0]) * wanted[1];
          allowed = 1.2 * (spread[0] + unit * std::abs(wanted[0])) * std::abs(wanted[1]) +
                    (spread[1] + unit * std::abs(wanted[1])) * std::abs(wanted[0]) + unit * std::abs(expected);
        }
        if (case_.residual) {
          expected += at(*residual_, row * (case_.outputs[0] + 1) + output);
          allowed += unit * std::abs(expected);
        }
        if (std::abs(found - expected) <= allowed) continue;
        if (!case_.to_float && std::isinf(found) && found == rounded(expected)) continue;  // more than the type holds
        text << "y of row " << row << ", part " << part << " at " << output << ": " << found << ", expected "
             << expected << " within " << allowed;
        return text.str();
      }
    }
  }
  return "";
}

std::vector<std::uint8_t> FewRowsProblem::row_bits(int row) const {
  std::vector<std::uint8_t> bits;
  for (std::size_t part = 0; part < results(); ++part) {
    const auto bytes = element_bytes(y_type());
    const std::uint8_t* const first = y_[part]->data() + row * y_stride(part) * bytes;
    bits.insert(bits.end(), first, first + case_.outputs[part] * bytes);
  }
  return bits;
}

std::string wrong_turn(const TurnedCase& turned, cuda_on_host::Order order) {
  const CacheCase& one = turned.cache;
  const Element type = turned.type;
  const int rows = one.all_rows(), kv_heads = one.kv_heads, dim = one.head_dim, half = turned.rotary_dim / 2;
  const auto bytes = element_bytes(type);
  const auto numbers = [&](int count, std::uint64_t what) {
    auto all = std::make_unique<DeviceArray<std::uint8_t>>(static_cast<std::size_t>((rows * count + 8) * bytes));
    for (int i = 0; i < rows * count; ++i) {
      write_element(all->data(), type, i, number_at(what, 0, i / count, 0, i % count));
    }
    return all;
  };
  DeviceArray<float> cos(static_cast<std::size_t>(rows * half + 4)), sin(cos.size());
  for (std::size_t i = 0; i < cos.size(); ++i) {
    cos[i] = number_at(8, 0, static_cast<int>(i), 0, 0);
    sin[i] = number_at(9, 0, static_cast<int>(i), 0, 0);
  }
  const auto queries = numbers(turned.heads * dim, 5), keys = numbers(kv_heads * dim, 6),
             values = numbers(kv_heads * dim, 7);
  const auto rope = [&](std::uint8_t* data, int count) {
    return cpu::RopeParams{.type = type,
                           .data = data,
                           .cos = cos.data(),
                           .sin = sin.data(),
                           .heads = count,
                           .rotary_dim = turned.rotary_dim,
                           .token_stride = count * dim,
                           .head_stride = dim,
                           .table_stride = half,
                           .interleaved = turned.interleaved};
  };
  const auto write = [&](CacheOnHost& cache, DeviceArray<std::uint8_t>& from) {
    return cuda::PagedWriteParams{.cache = cache.params(),
                                  .type = type,
                                  .keys = from.data(),
                                  .values = values->data(),
                                  .key_row_stride = kv_heads * dim,
                                  .key_head_stride = dim,
                                  .value_row_stride = kv_heads * dim,
                                  .value_head_stride = dim};
  };
  const auto add_to = [&](GlobalMemory& memory, CacheOnHost& cache) {
    cache.add_to(memory, Contents::in_out);
    memory.add(keys->data(), keys->bytes(), "new keys", Contents::input);
    memory.add(values->data(), values->bytes(), "new values", Contents::input);
    memory.add(queries->data(), queries->bytes(), "queries", Contents::in_out);
    memory.add(cos.data(), cos.bytes(), "cos", Contents::input);
    memory.add(sin.data(), sin.bytes(), "sin", Contents::input);
  };
  CacheOnHost found(one, false, true), expected(one, false, true);
  GlobalMemory memory, other;
  add_to(memory, found);
  const std::vector<std::uint8_t> before(queries->data(), queries->data() + queries->bytes());
  const CountingLauncher launcher(memory, order, 1, {});
  if (!rope_write_on_host({.queries = rope(queries->data(), turned.heads), .write = write(found, *keys)}, launcher)) {
    return "refused";
  }
  if (launcher.text() != "clean") return launcher.text();
  std::vector<std::uint8_t> turned_queries = before;
  reference::rope(rope(turned_queries.data(), turned.heads), 0, static_cast<std::int64_t>(rows) * turned.heads);
  if (!std::equal(turned_queries.begin(), turned_queries.end(), queries->data())) return "queries";
  reference::rope(rope(keys->data(), kv_heads), 0, static_cast<std::int64_t>(rows) * kv_heads);
  add_to(other, expected);
  paged_write_on_host(write(expected, *keys), CountingLauncher(other, cuda_on_host::Order::forward, 1, {}));
  return found.bytes() == expected.bytes() ? "" : "bytes of the cache";
}

}  // namespace powerhouse::testing
