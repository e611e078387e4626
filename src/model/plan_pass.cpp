// Products of a pass: what they read, how workers share them, and what stands around the layers.
#include "model/plan_pass.h"

#include <algorithm>

#include "ops/rope.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

// Codes of more rows than fit here would leave the second-level cache from panel to panel.
constexpr std::int64_t kBlockBytes = std::int64_t{1} << 19;

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
void grow(std::vector<T>& values, std::int64_t size) {
  if (static_cast<std::int64_t>(values.size()) < size) values.resize(static_cast<std::size_t>(size));
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

void PlanInput::reserve(std::int64_t count, std::int64_t row_width, const PlanProduct& product) {
  width = row_width;
  grow(floats, count * width);
  if (product.reads_codes()) {
    grow(codes, count * width);
    grow(rests, count * width);
    grow(scales, count * width / 32);
    grow(sums, count * width / 16);
  }
  if (product.reads(Element::bf16)) grow(bf16, count * width);
  if (product.reads(Element::f16)) grow(f16, count * width);
}

PlanPass::PlanPass(const Plan& plan, const PackedBatch& batch, KvCache& cache, PlanBuffers& buffers, float* logits)
    : plan_(plan),
      batch_(batch),
      cache_(cache),
      buffers_(buffers),
      logits_(logits),
      kernels_(cpu::kernels()),
      rows_(static_cast<std::int64_t>(batch.ids.size())) {
  const std::int64_t hidden = plan.config_.hidden_size;
  std::int64_t qkv = 0, context = 0, up = 0, scratch = 0;
  for (const PlanLayer& layer : plan.layers_) {
    const Attention& attention = layer.block->attention;
    const std::int64_t group = attention.num_heads / attention.num_key_value_heads;
    qkv = std::max(qkv, layer.qkv.width());
    context = std::max(context, layer.query_width());
    up = std::max(up, layer.up.width());
    scratch = std::max({scratch, cpu::attention_scratch_floats(group, attention.head_dim),
                        cpu::prefill_scratch_floats(group, attention.head_dim)});
  }
  grow(buffers.x, rows_ * hidden);
  grow(buffers.branch, rows_ * hidden);
  grow(buffers.qkv, rows_ * qkv);
  grow(buffers.context, rows_ * context);
  grow(buffers.up, rows_ * up);
  buffers.own.resize(static_cast<std::size_t>(team_threads()));
  for (PlanBuffers::Own& own : buffers.own) grow(own.scratch, scratch);
  grow(buffers.embedded, rows_ * plan.config_.embedding_size);
  for (const PlanLayer& layer : plan.layers_) {
    if (layer.moe) reserve_experts(*layer.block->mlp.moe, layer.moe->router.width());
  }

  const std::size_t sequences = batch.cu_seqlens.size() - 1;
  buffers.pages.resize(sequences);
  buffers.sequence_of.clear();
  for (std::size_t i = 0; i < sequences; ++i) {
    const std::int64_t count = batch.cu_seqlens[i + 1] - batch.cu_seqlens[i];
    alone_ = alone_ && count == 1;
    buffers.sequence_of.insert(buffers.sequence_of.end(), static_cast<std::size_t>(count),
                               static_cast<std::int64_t>(i));
  }
  buffers.cos.resize(plan.ropes_.size());
  buffers.sin.resize(plan.ropes_.size());
  for (std::size_t i = 0; i < plan.ropes_.size(); ++i) {
    const auto& [rope, frequencies] = plan.ropes_[i];
    const std::int64_t pairs = rope->rotary_dim / 2;
    grow(buffers.cos[i], rows_ * pairs);
    grow(buffers.sin[i], rows_ * pairs);
    std::vector<float> own;
    for (std::int64_t row = 0; row < rows_; ++row) {
      const auto at = static_cast<std::size_t>(row);
      const auto sequence = static_cast<std::size_t>(buffers.sequence_of[at]);
      const bool first = row == batch.cu_seqlens[sequence];
      if (frequencies.empty() && first) own = ops::rope_frequencies(*rope, batch.rope_lengths[sequence]);
      ops::rope_angles(*rope, frequencies.empty() ? own : frequencies, batch.position_ids[at],
                       buffers.cos[i].data() + row * pairs, buffers.sin[i].data() + row * pairs);
    }
  }
}

void PlanPass::run(int index, int workers, Barrier& barrier) {
  const Worker worker{index, workers, barrier, buffers_.own[static_cast<std::size_t>(index)]};
  embed(worker);
  worker.wait();
  for (std::size_t i = 0; i < plan_.layers_.size(); ++i) {
    const PlanLayer& layer = plan_.layers_[i];
    norm_x(worker, layer.first_norm);
    attention(worker, i);
    worker.wait();
    norm_x(worker, layer.middle_norm);
    mlp(worker, layer);
    worker.wait();
    norm_x(worker, layer.last_norm);
  }
  if (logits_ != nullptr) head(worker);
}

void PlanPass::embed(const Worker& worker) {
  const ModelConfig& config = plan_.config_;
  const LayerWeights& weights = plan_.weights_.outside();
  const Range range = worker.share_of(rows_);
  const bool projected = config.embedding_size > 0;
  float* const embedded = projected ? buffers_.embedded.data() : buffers_.x.data();
  const std::int64_t width = projected ? config.embedding_size : config.hidden_size;
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    float* const x = embedded + row * width;
    weights.weight(Role::embed_tokens).read_row(batch_.ids[static_cast<std::size_t>(row)], x);
    for (std::int64_t i = 0; config.embedding_scale != 1.0f && i < width; ++i) x[i] *= config.embedding_scale;
  }
  if (projected) {
    worker.wait();
    PlanInput& input = prepare(worker, plan_.project_in_, rows_, {embedded, width});
    multiply(worker, plan_.project_in_, input, rows_, buffers_.x.data());
    worker.wait();
  }
  std::vector<float> position(config.learned_positions > 0 ? static_cast<std::size_t>(config.hidden_size) : 0);
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    float* const x = buffers_.x.data() + row * config.hidden_size;
    if (config.learned_positions > 0) {
      const std::int64_t at = batch_.position_ids[static_cast<std::size_t>(row)] + config.position_offset;
      weights.weight(Role::position_embeddings).read_row(at, position.data());
      for (std::int64_t i = 0; i < config.hidden_size; ++i) x[i] += position[static_cast<std::size_t>(i)];
    }
    if (plan_.embedding_norm_) norm_row(kernels_, *plan_.embedding_norm_, x, x, config.hidden_size);
  }
}

void PlanPass::prepare_row(PlanInput& input, const PlanProduct& product, std::int64_t row, const Source& source) {
  float* const floats = input.floats.data() + row * input.width;
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
  if (product.reads_codes()) {
    kernels_.quantize(
        {.x = input.floats.data(), .size = input.width, .x_stride = input.width, .out = input.quantized()}, row,
        row + 1);
  }
  const auto convert = [&](Element type, std::vector<std::uint16_t>& to) {
    if (!product.reads(type)) return;
    kernels_.convert({.destination_type = type, .source = floats, .destination = to.data() + row * input.width}, 0,
                     input.width);
  };
  convert(Element::bf16, input.bf16);
  convert(Element::f16, input.f16);
}

PlanInput& PlanPass::prepare(const Worker& worker, const PlanProduct& product, std::int64_t rows,
                             const Source& source) {
  const std::int64_t width = product.matrices.front().inputs;
  if (rows <= kOwnRows) {
    PlanInput& input = worker.own.input;
    input.reserve(rows, width, product);
    for (std::int64_t row = 0; row < rows; ++row) prepare_row(input, product, row, source);
    return input;
  }
  if (worker.index == 0) buffers_.input.reserve(rows, width, product);
  worker.wait();
  const Range range = worker.share_of(rows);
  for (std::int64_t row = range.begin; row < range.end; ++row) prepare_row(buffers_.input, product, row, source);
  worker.wait();
  return buffers_.input;
}

void PlanPass::multiply(const PlanMatrix& matrix, PlanInput& input, Range rows, Range panels, float* y,
                        std::int64_t y_stride) const {
  if (matrix.packed) {
    const std::int64_t block = std::max<std::int64_t>(32, kBlockBytes / input.width / 8 * 8);
    for (std::int64_t m = rows.begin; m < rows.end; m += block) {
      cpu::QuantizedRows codes = input.quantized();
      codes.codes += m * codes.stride;
      if (codes.rests != nullptr) codes.rests += m * codes.stride;
      codes.scales += m * (codes.stride / 32);
      codes.sums += m * (codes.stride / 16);
      kernels_.packed_linear({.layout = &matrix.packed->layout(),
                              .x = codes,
                              .panels = matrix.packed->panels(),
                              .bias = data_or_null(matrix.bias),
                              .y = y + (m - rows.begin) * y_stride,
                              .rows = std::min(block, rows.end - m),
                              .inputs = matrix.inputs,
                              .outputs = matrix.outputs,
                              .y_stride = y_stride},
                             panels.begin, panels.end);
    }
    return;
  }
  const std::int64_t first = rows.begin * input.width;
  const void* x = input.floats.data() + first;
  if (matrix.type == Element::bf16) x = input.bf16.data() + first;
  if (matrix.type == Element::f16) x = input.f16.data() + first;
  const std::int64_t count = rows.end - rows.begin;
  const std::int64_t begin = panels.begin * kPanelRows;
  const std::int64_t end = std::min(panels.end * kPanelRows, matrix.outputs);
  kernels_.linear({.type = matrix.type,
                   .y_type = Element::f32,
                   .x = x,
                   .weight = matrix.dense.const_data_ptr(),
                   .y = y,
                   .rows = count,
                   .inputs = matrix.inputs,
                   .x_stride = input.width,
                   .weight_stride = matrix.dense.stride(0),
                   .y_stride = y_stride},
                  begin, end);
  if (matrix.bias.empty()) return;
  for (std::int64_t m = 0; m < count; ++m) {
    for (std::int64_t n = begin; n < end; ++n) y[m * y_stride + n] += matrix.bias[static_cast<std::size_t>(n)];
  }
}

Range PlanPass::multiply(const Worker& worker, const PlanProduct& product, PlanInput& input, std::int64_t rows,
                         float* y) {
  std::int64_t total = 0;
  for (const PlanMatrix& matrix : product.matrices) total += panel_count(matrix.outputs);
  const Range range = worker.share_of(total);
  const std::int64_t stride = product.width();
  std::int64_t first = 0;
  std::int64_t column = 0;
  for (const PlanMatrix& matrix : product.matrices) {
    const std::int64_t panels = panel_count(matrix.outputs);
    const Range part{std::max<std::int64_t>(range.begin - first, 0), std::min(range.end - first, panels)};
    if (part.begin < part.end) multiply(matrix, input, {0, rows}, part, y + column, stride);
    first += panels;
    column += matrix.outputs;
  }
  return {std::min(range.begin * kPanelRows, column), std::min(range.end * kPanelRows, column)};
}

void PlanPass::add_branch(const Worker& worker, const PlanProduct& product, PlanInput& input, const Block& block,
                          const std::optional<PlanNorm>& norm) {
  add_branch(worker, multiply(worker, product, input, rows_, buffers_.branch.data()), block, norm);
}

void PlanPass::add_branch(const Worker& worker, Range columns, const Block& block,
                          const std::optional<PlanNorm>& norm) {
  const std::int64_t hidden = plan_.config_.hidden_size;
  float* const branch = buffers_.branch.data();
  const auto add = [&](std::int64_t row, Range range) {
    float* const x = buffers_.x.data() + row * hidden;
    const float* const y = branch + row * hidden;
    for (std::int64_t i = range.begin; i < range.end; ++i) x[i] += block.residual_multiplier * y[i];
  };
  if (!norm) {
    for (std::int64_t row = 0; row < rows_; ++row) add(row, columns);
    return;
  }
  worker.wait();
  const Range rows = worker.share_of(rows_);
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    norm_row(kernels_, *norm, branch + row * hidden, branch + row * hidden, hidden);
    add(row, {0, hidden});
  }
}

void PlanPass::norm_x(const Worker& worker, const std::optional<PlanNorm>& norm) {
  if (!norm) return;
  const std::int64_t hidden = plan_.config_.hidden_size;
  const Range rows = worker.share_of(rows_);
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    float* const x = buffers_.x.data() + row * hidden;
    norm_row(kernels_, *norm, x, x, hidden);
  }
  worker.wait();
}

void PlanPass::up_product(const Worker& worker, const PlanLayer& layer, const std::optional<PlanNorm>& norm) {
  if (layer.moe) return experts_up(worker, layer, norm);
  PlanInput& input = prepare(worker, layer.up, rows_, {buffers_.x.data(), plan_.config_.hidden_size, &norm});
  multiply(worker, layer.up, input, rows_, buffers_.up.data());
}

void PlanPass::mlp(const Worker& worker, const PlanLayer& layer) {
  if (layer.block->residual == Residual::sequential) {
    up_product(worker, layer, layer.mlp_norm);
    worker.wait();
  }
  if (layer.moe) return experts_down(worker, layer);
  PlanInput& input = prepare(worker, layer.down, rows_,
                             {.rows = buffers_.up.data(), .width = layer.up.width(), .activation = &layer.block->mlp});
  add_branch(worker, layer.down, input, *layer.block, layer.mlp_post_norm);
}

void PlanPass::head(const Worker& worker) {
  const ModelConfig& config = plan_.config_;
  const auto count = static_cast<std::int64_t>(batch_.logits_rows.size());
  const Range range = worker.share_of(count);
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    const float* from = buffers_.x.data() + batch_.logits_rows[static_cast<std::size_t>(i)] * config.hidden_size;
    std::copy(from, from + config.hidden_size, buffers_.branch.data() + i * config.hidden_size);
  }
  worker.wait();
  Source source{buffers_.branch.data(), config.hidden_size, &plan_.final_norm_};
  if (config.embedding_size > 0) {
    PlanInput& normed = prepare(worker, plan_.project_out_, count, source);
    multiply(worker, plan_.project_out_, normed, count, buffers_.embedded.data());
    worker.wait();
    source = {buffers_.embedded.data(), config.embedding_size};
  }
  PlanInput& input = prepare(worker, plan_.head_, count, source);
  const Range columns = multiply(worker, plan_.head_, input, count, logits_);
  if (config.logit_scale == 1.0f && !config.final_softcap) return;
  for (std::int64_t row = 0; row < count; ++row) {
    float* const logits = logits_ + row * config.vocab_size;
    const float cap = config.final_softcap.value_or(1.0f);
    for (std::int64_t i = columns.begin; i < columns.end; ++i) logits[i] = logits[i] * config.logit_scale / cap;
    if (!config.final_softcap) continue;
    kernels_.activation_mul(
        {.kind = cpu::ActivationKind::tanh, .gate = logits, .y = logits, .columns = config.vocab_size}, columns.begin,
        columns.end);
    for (std::int64_t i = columns.begin; i < columns.end; ++i) logits[i] *= cap;
  }
}

at::Tensor Plan::forward(const PackedBatch& batch, KvCache& cache) const {
  const auto count = static_cast<std::int64_t>(batch.logits_rows.size());
  at::Tensor logits;
  if (count > 0) logits = empty_tensor({count, config_.vocab_size}, at::kFloat);
  std::unique_ptr<PlanBuffers> buffers = take_buffers();
  PlanPass pass(*this, batch, cache, *buffers, count > 0 ? logits.mutable_data_ptr<float>() : nullptr);
  run_team([&](int worker, int workers, Barrier& barrier) { pass.run(worker, workers, barrier); });
  give_back(std::move(buffers));
  return logits;
}

}  // namespace powerhouse
