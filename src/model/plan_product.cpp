// Products of a pass: what they read, and how workers share them.
//
// Few rows of a sequence are multiplied as they come, by codes of 15 bits where weights are packed: reading the weights
// is what it costs. Many are multiplied by weights that are made numbers of the rows' type in passing.
#include <algorithm>

#include "model/plan_pass.h"
#include "ops/dequantize.h"

namespace powerhouse {
namespace {

cpu::ActivationKind kind_of(Activation activation) {
  switch (activation) {
    case Activation::silu: return cpu::ActivationKind::silu;
    case Activation::gelu: return cpu::ActivationKind::gelu;
    case Activation::gelu_tanh: return cpu::ActivationKind::gelu_tanh;
    case Activation::quick_gelu: return cpu::ActivationKind::quick_gelu;
    case Activation::relu: return cpu::ActivationKind::relu;
    case Activation::relu2: return cpu::ActivationKind::relu2;
  }
  return cpu::ActivationKind::silu;
}

template <typename T>
const T* data_or_null(const std::vector<T>& values) {
  return values.empty() ? nullptr : values.data();
}

}  // namespace

// NOLINTNEXTLINE(readability-non-const-parameter): the kernels write to y
void norm_row(const cpu::CpuKernels& kernels, const PlanNorm& norm, const float* x, float* y, std::int64_t size,
              std::int64_t weight_offset) {
  const auto describe = [&](auto params) {
    params.weight = norm.weight.empty() ? nullptr : norm.weight.data() + weight_offset;
    params.y = y;
    params.size = size;
    params.epsilon = norm.choice.epsilon;
    return params;
  };
  if (norm.choice.kind == NormKind::layer_norm) {
    auto params = describe(cpu::LayerNormParams{});
    params.x = x;
    params.bias = norm.bias.empty() ? nullptr : norm.bias.data() + weight_offset;
    kernels.layer_norm(params, 0, 1);
    return;
  }
  auto params = describe(cpu::RmsNormParams{});
  params.x = const_cast<float*>(x);  // read only: there is no residual
  params.unit_offset = norm.choice.unit_offset;
  params.round_once = norm.choice.round_once;
  kernels.rms_norm(params, 0, 1);
}

void PlanPass::prepare_row(PlanInput& input, const PlanProduct& product, std::int64_t row, const Source& source) {
  input.many[static_cast<std::size_t>(row)] = source.many ? 1 : 0;
  float* const floats = input.floats.data() + row * input.stride;
  const float* from = source.rows + row * source.width;
  if (source.norm != nullptr && *source.norm) {
    norm_row(kernels_, **source.norm, from, floats, input.width);
  } else if (source.activation != nullptr) {
    const bool gated = source.activation->gated;
    kernels_.activation_mul({.kind = kind_of(source.activation->activation),
                             .gate = from,
                             .up = gated ? from + input.width : nullptr,
                             .y = floats,
                             .columns = input.width},
                            0, input.width);
  } else {
    std::copy(from, from + input.width, floats);
  }
  const ColumnOrder order = product.order();
  float* const ordered = order ? input.ordered.data() + row * input.stride : floats;
  if (order) {
    const std::int32_t* const places = order->data();
    for (std::int64_t i = 0; i < input.width; ++i) ordered[i] = floats[places[i]];
  }
  if (!source.many) {
    if (!product.reads_codes()) return;
    const float* const rows = order ? input.ordered.data() : input.floats.data();
    kernels_.quantize({.x = rows, .size = input.width, .x_stride = input.stride, .out = input.quantized()}, row,
                      row + 1);
    return;
  }
  const auto finish = [&](float* values, std::vector<std::uint16_t>& bf16) {
    std::fill(values + input.width, values + input.stride, 0.0f);
    if (!product.reads_bf16()) return;
    kernels_.convert(
        {.destination_type = Element::bf16, .source = values, .destination = bf16.data() + row * input.stride}, 0,
        input.stride);
  };
  finish(floats, input.bf16);
  if (order) finish(ordered, input.ordered_bf16);
}

PlanInput& PlanPass::prepare(const Worker& worker, const PlanProduct& product, const std::vector<char>& many,
                             std::int64_t rows, Source source) {
  const std::int64_t width = product.matrices.front().inputs;
  const bool own = rows <= kOwnRows;
  PlanInput& input = own ? worker.own.input : buffers_.input;
  if (own || worker.index == 0) input.begin(width);
  if (!own) worker.wait();
  const Range range = own ? Range{0, rows} : worker.share_of(rows);
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    source.many = many[static_cast<std::size_t>(row)] != 0;
    prepare_row(input, product, row, source);
  }
  if (!own) worker.wait();
  return input;
}

void BlockRows::read(const cpu::CpuKernels& kernels, std::int64_t begin, std::int64_t count, std::int64_t inputs,
                     Element type, void* out) const noexcept {
  const std::int64_t elements = block_info(format).block_elements;
  const std::int64_t blocks = inputs / elements;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto row = static_cast<std::size_t>(first + begin + i);
    std::byte* const to = static_cast<std::byte*>(out) + i * inputs * element_bytes(type);
    const std::int32_t* const order = orders.empty() || !orders[row] ? nullptr : orders[row]->data();
    cpu::DequantizeParams params{.format = format, .type = type, .source = (*rows)[row], .destination = to};
    if (order == nullptr) {
      kernels.dequantize(params, 0, blocks);
      continue;
    }
    for (std::int64_t block = 0; block < blocks; ++block) {
      alignas(64) float values[256];  // the largest block
      const auto* const source = static_cast<const std::byte*>((*rows)[row]);
      params.source = source + block * block_info(format).block_bytes;
      params.destination = values;
      kernels.dequantize(params, 0, 1);
      put_in_order(values, order + block * elements, elements, type, to);
    }
  }
}

namespace {

void add_bias(const PlanMatrix& matrix, std::int64_t begin, std::int64_t end, std::int64_t rows, float* y,
              std::int64_t y_stride) {
  if (matrix.bias.empty()) return;
  for (std::int64_t m = 0; m < rows; ++m) {
    for (std::int64_t n = begin; n < end; ++n) y[m * y_stride + n] += matrix.bias[static_cast<std::size_t>(n)];
  }
}

// Panel by panel: sixteen rows become float32 in the cache.
// NOLINTNEXTLINE(readability-non-const-parameter): the kernels write to y
void multiply_blocks(const cpu::CpuKernels& kernels, const PlanMatrix& matrix, const FewRows& input, Range panels,
                     float* y, std::int64_t y_stride) {
  for (std::int64_t begin = panels.begin * kPanelRows; begin < std::min(panels.end * kPanelRows, matrix.outputs);
       begin += kPanelRows) {
    const std::int64_t count = std::min<std::int64_t>(kPanelRows, matrix.outputs - begin);
    matrix.blocks->read(kernels, begin, count, matrix.inputs, Element::f32, input.tile);
    kernels.linear({.wide_x = true,
                    .x = input.x,
                    .weight = input.tile,
                    .y = y + begin,
                    .rows = input.rows,
                    .inputs = matrix.inputs,
                    .x_stride = input.x_stride,
                    .weight_stride = matrix.inputs,
                    .y_stride = y_stride},
                   0, count);
    add_bias(matrix, begin, begin + count, input.rows, y, y_stride);
  }
}

}  // namespace

// NOLINTNEXTLINE(readability-non-const-parameter): the kernels write to y
void multiply_few(const cpu::CpuKernels& kernels, const PlanMatrix& matrix, const FewRows& input, Range panels,
                  float* y, std::int64_t y_stride) {
  if (matrix.packed) {
    kernels.packed_linear({.layout = &matrix.packed->layout(),
                           .x = input.codes,
                           .panels = matrix.packed->panels(),
                           .bias = data_or_null(matrix.bias),
                           .y = y,
                           .rows = input.rows,
                           .inputs = matrix.inputs,
                           .outputs = matrix.outputs,
                           .y_stride = y_stride},
                          panels.begin, panels.end);
    return;
  }
  if (matrix.bf16) {
    kernels.bf16_linear({.x = input.x,
                         .weight = matrix.bf16->panels(),
                         .bias = data_or_null(matrix.bias),
                         .y = y,
                         .rows = input.rows,
                         .inputs = matrix.inputs,
                         .outputs = matrix.outputs,
                         .x_stride = input.x_stride,
                         .y_stride = y_stride},
                        panels.begin, panels.end);
    return;
  }
  if (matrix.blocks) return multiply_blocks(kernels, matrix, input, panels, y, y_stride);
  const std::int64_t begin = panels.begin * kPanelRows;
  const std::int64_t end = std::min(panels.end * kPanelRows, matrix.outputs);
  kernels.linear({.type = matrix.type,
                  .wide_x = true,
                  .x = input.x,
                  .weight = matrix.dense.const_data_ptr(),
                  .y = y,
                  .rows = input.rows,
                  .inputs = matrix.inputs,
                  .x_stride = input.x_stride,
                  .weight_stride = matrix.dense.stride(0),
                  .y_stride = y_stride},
                 begin, end);
  add_bias(matrix, begin, end, input.rows, y, y_stride);
}

void PlanPass::multiply_many(const Worker& worker, const PlanMatrix& matrix, const PlanInput& input, Range rows,
                             Range panels, float* y, std::int64_t y_stride) const {
  const bool in_bf16 = matrix.takes_bf16();
  const std::int64_t first_row = rows.begin * input.stride;
  const void* x = (matrix.order ? input.ordered : input.floats).data() + first_row;
  if (in_bf16) x = (matrix.order ? input.ordered_bf16 : input.bf16).data() + first_row;
  if (matrix.blocks) {  // as many panels as the kernel takes at once, made numbers of the rows' type
    const Element type = in_bf16 ? Element::bf16 : Element::f32;
    for (std::int64_t first = panels.begin; first < panels.end; first += cpu::kGemmMaxPanels) {
      const std::int64_t begin = first * kPanelRows;
      const std::int64_t end = std::min(std::min(first + cpu::kGemmMaxPanels, panels.end) * kPanelRows, matrix.outputs);
      matrix.blocks->read(kernels_, begin, end - begin, matrix.inputs, type, worker.own.tile.data());
      kernels_.gemm({.x_type = type,
                     .x = x,
                     .weight = worker.own.tile.data(),
                     .weight_type = type,
                     .bias = matrix.bias.empty() ? nullptr : matrix.bias.data() + begin,
                     .y = y + begin,
                     .rows = rows.end - rows.begin,
                     .inputs = matrix.inputs,
                     .outputs = end - begin,
                     .x_stride = input.stride,
                     .weight_stride = matrix.inputs,
                     .y_stride = y_stride},
                    0, panel_count(end - begin), worker.own.scratch.data());
    }
    return;
  }
  const Bf16Panels bf16 = matrix.bf16 ? matrix.bf16->panels() : Bf16Panels{};
  const void* dense = matrix.dense.defined() ? matrix.dense.const_data_ptr() : nullptr;
  kernels_.gemm({.x_type = in_bf16 ? Element::bf16 : Element::f32,
                 .x = x,
                 .layout = matrix.packed ? &matrix.packed->layout() : nullptr,
                 .weight = matrix.packed ? matrix.packed->panels() : dense,
                 .weight_type = matrix.type,
                 .bf16 = matrix.bf16 ? &bf16 : nullptr,
                 .bias = data_or_null(matrix.bias),
                 .y = y,
                 .rows = rows.end - rows.begin,
                 .inputs = matrix.inputs,
                 .outputs = matrix.outputs,
                 .x_stride = input.stride,
                 .weight_stride = dense != nullptr ? matrix.dense.stride(0) : 0,
                 .y_stride = y_stride},
                panels.begin, panels.end, worker.own.scratch.data());
}

void PlanPass::multiply(const Worker& worker, const PlanMatrix& matrix, PlanInput& input, Range rows, Range panels,
                        float* y, std::int64_t y_stride) const {
  for_runs(input, rows, [&](Range run, bool many) {
    float* const to = y + (run.begin - rows.begin) * y_stride;
    if (many) {
      multiply_many(worker, matrix, input, run, panels, to, y_stride);
    } else {
      const FewRows few{.x = input.floats.data() + run.begin * input.stride,
                        .x_stride = input.stride,
                        .codes = input.quantized().from(run.begin),
                        .rows = run.end - run.begin,
                        .tile = worker.own.tile.data()};
      multiply_few(kernels_, matrix, few, panels, to, y_stride);
    }
  });
}

Range PlanPass::multiply(const Worker& worker, const PlanProduct& product, PlanInput& input, std::int64_t rows,
                         float* y) {
  std::int64_t total = 0;
  for (const PlanMatrix& matrix : product.matrices) total += panel_count(matrix.outputs);
  const Range range = worker.share_of(total, rows > kManyRows ? cpu::kGemmMaxPanels : 1);
  const std::int64_t stride = product.width();
  const ProductTerms* const terms = adapters_ != nullptr ? adapters_->of(product.place) : nullptr;
  if (terms != nullptr) multiply_inner(worker, *terms, input, rows);
  Range columns{stride, 0};
  std::int64_t first = 0;
  std::int64_t column = 0;
  for (const PlanMatrix& matrix : product.matrices) {
    const std::int64_t panels = panel_count(matrix.outputs);
    const Range part{std::max<std::int64_t>(range.begin - first, 0), std::min(range.end - first, panels)};
    if (part.begin < part.end) {
      multiply(worker, matrix, input, {0, rows}, part, y + column, stride);
      columns.begin = std::min(columns.begin, column + part.begin * kPanelRows);
      columns.end = column + std::min(part.end * kPanelRows, matrix.outputs);
    }
    first += panels;
    column += matrix.outputs;
  }
  if (columns.begin > columns.end) columns.begin = columns.end;  // no share
  if (terms != nullptr) {
    worker.wait();
    add_terms(worker, *terms, input, rows, columns, y, stride);
  }
  return columns;
}

}  // namespace powerhouse
