// A pass from embeddings to logits: what it needs, and the order of its steps.
#include "model/plan_pass.h"

#include <algorithm>

#include "ops/rope.h"
#include "ops/tensors.h"

namespace powerhouse {

PlanPass::PlanPass(const Plan& plan, const PackedBatch& batch, KvCache& cache, PlanBuffers& buffers,
                   const PlanAdapters* adapters, int workers, float* logits)
    : plan_(plan),
      batch_(batch),
      cache_(cache),
      buffers_(buffers),
      adapters_(adapters),
      logits_(logits),
      kernels_(cpu::kernels()),
      rows_(static_cast<std::int64_t>(batch.ids.size())) {
  mark_many();
  find_sequences();
  make_room(workers);
  make_attention_room();
  turn_positions();
}

void PlanPass::mark_many() {
  buffers_.many.assign(static_cast<std::size_t>(rows_), 0);
  buffers_.many_logits.assign(static_cast<std::size_t>(batch_.logits_count()), 0);
  if (plan_.numerics_ == Numerics::exact || batch_.singly) return;
  std::size_t logits = 0;
  for (std::size_t i = 0; i + 1 < batch_.cu_seqlens.size(); ++i) {
    const Range rows{batch_.cu_seqlens[i], batch_.cu_seqlens[i + 1]};
    const std::size_t first = logits;
    while (logits < batch_.logits_rows.size() && batch_.logits_rows[logits] < rows.end) ++logits;
    if (rows.end - rows.begin > kManyRows) {
      std::fill(buffers_.many.begin() + rows.begin, buffers_.many.begin() + rows.end, 1);
    }
    if (logits - first > static_cast<std::size_t>(kManyRows)) {
      std::fill(buffers_.many_logits.begin() + static_cast<std::ptrdiff_t>(first),
                buffers_.many_logits.begin() + static_cast<std::ptrdiff_t>(logits), 1);
    }
  }
}

void PlanPass::find_sequences() {
  const std::size_t sequences = batch_.cu_seqlens.size() - 1;
  buffers_.sequences.resize(sequences);
  buffers_.sequence_of.clear();
  for (std::size_t i = 0; i < sequences; ++i) {
    const std::int64_t count = batch_.cu_seqlens[i + 1] - batch_.cu_seqlens[i];
    alone_ = alone_ && count == 1;
    buffers_.sequence_of.insert(buffers_.sequence_of.end(), static_cast<std::size_t>(count),
                                static_cast<std::int64_t>(i));
    buffers_.sequences[i].before = cache_.length(batch_.sequences[i]);
    cache_.pages(batch_.sequences[i], buffers_.sequences[i].pages);
  }
}

// Angles of RoPE at the rows' positions.
void PlanPass::turn_positions() {
  buffers_.cos.resize(plan_.ropes_.size());
  buffers_.sin.resize(plan_.ropes_.size());
  for (std::size_t i = 0; i < plan_.ropes_.size(); ++i) {
    const auto& [rope, frequencies] = plan_.ropes_[i];
    const std::int64_t pairs = rope->rotary_dim / 2;
    grow(buffers_.cos[i], rows_ * pairs);
    grow(buffers_.sin[i], rows_ * pairs);
    std::vector<float> own;
    for (std::int64_t row = 0; row < rows_; ++row) {
      const auto at = static_cast<std::size_t>(row);
      const auto sequence = static_cast<std::size_t>(buffers_.sequence_of[at]);
      const bool first = row == batch_.cu_seqlens[sequence];
      if (frequencies.empty() && first) own = ops::rope_frequencies(*rope, batch_.rope_lengths[sequence]);
      ops::rope_angles(*rope, frequencies.empty() ? own : frequencies, batch_.position_ids[at],
                       buffers_.cos[i].data() + row * pairs, buffers_.sin[i].data() + row * pairs);
    }
  }
}

void PlanPass::run(int index, int workers, Barrier& barrier) noexcept {
  const Worker worker{index, workers, barrier, buffers_.own[static_cast<std::size_t>(index)]};
  const std::int64_t hidden = plan_.config_.hidden_size;
  embed(worker);
  worker.wait();
  look(HookPoint::embeddings, -1, buffers_.x.data(), hidden);
  const std::span layers(plan_.layers_.data(), static_cast<std::size_t>(batch_.layers_of(plan_.config_)));
  for (const PlanLayer& layer : layers) {
    if (watch_ != nullptr && watch_->found()) return;
    keep_early(worker, index_of(layer));
    norm_x(worker, layer.first_norm);
    attention(worker, layer);
    worker.wait();
    look(HookPoint::attention_output, index_of(layer), buffers_.branch.data(), hidden);
    look(HookPoint::attention_residual, index_of(layer), buffers_.x.data(), hidden);
    norm_x(worker, layer.middle_norm);
    mlp(worker, layer);
    worker.wait();
    look(HookPoint::mlp_output, index_of(layer), buffers_.branch.data(), hidden);
    norm_x(worker, layer.last_norm);
    look(HookPoint::layer_output, index_of(layer), buffers_.x.data(), hidden);
  }
  if (logits_ == nullptr) return;
  if (batch_.early.empty()) {
    head(worker);
  } else {
    early_head(worker);
  }
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
    PlanInput& input = prepare(worker, plan_.project_in_, {embedded, width});
    multiply(worker, plan_.project_in_, input, rows_, buffers_.x.data());
    worker.wait();
  }
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    float* const x = buffers_.x.data() + row * config.hidden_size;
    if (config.learned_positions > 0) {
      const std::int64_t at = batch_.position_ids[static_cast<std::size_t>(row)] + config.position_offset;
      float* const position = buffers_.branch.data() + row * config.hidden_size;
      weights.weight(Role::position_embeddings).read_row(at, position);
      for (std::int64_t i = 0; i < config.hidden_size; ++i) x[i] += position[i];
    }
    if (plan_.embedding_norm_) norm_row(kernels_, *plan_.embedding_norm_, x, x, config.hidden_size);
  }
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
  PlanInput& input = prepare(worker, layer.up, {buffers_.x.data(), plan_.config_.hidden_size, &norm});
  look(HookPoint::mlp_norm, index_of(layer), input);
  multiply(worker, layer.up, input, rows_, buffers_.up.data());
}

void PlanPass::mlp(const Worker& worker, const PlanLayer& layer) {
  if (layer.block->residual == Residual::sequential) {
    up_product(worker, layer, layer.mlp_norm);
    worker.wait();
  }
  if (layer.moe) return experts_down(worker, layer);
  PlanInput& input = prepare(worker, layer.down,
                             {.rows = buffers_.up.data(), .width = layer.up.width(), .activation = &layer.block->mlp});
  look(HookPoint::mlp_activation, index_of(layer), input);
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
    PlanInput& normed = prepare(worker, plan_.project_out_, buffers_.many_logits, count, source);
    multiply(worker, plan_.project_out_, normed, count, buffers_.embedded.data());
    worker.wait();
    source = {buffers_.embedded.data(), config.embedding_size};
  }
  PlanInput& input = prepare(worker, plan_.head_, buffers_.many_logits, count, source);
  if (watch_ != nullptr) {
    watch_->look({HookPoint::final_norm, -1}, input.floats.data(), count, input.width, input.stride);
  }
  scale_logits(multiply(worker, plan_.head_, input, count, logits_), logits_, count);
}

// Rows of logits as they enter a layer.
void PlanPass::keep_early(const Worker& worker, std::int64_t layer) {
  const std::int64_t hidden = plan_.config_.hidden_size;
  const auto count = static_cast<std::int64_t>(batch_.logits_rows.size());
  const Range range = worker.share_of(count);
  bool kept = false;
  for (std::size_t i = 0; i < batch_.early.size(); ++i) {
    if (batch_.early[i] != layer) continue;
    kept = true;
    for (std::int64_t row = range.begin; row < range.end; ++row) {
      const float* from = buffers_.x.data() + batch_.logits_rows[static_cast<std::size_t>(row)] * hidden;
      std::copy(from, from + hidden, buffers_.early.data() + (static_cast<std::int64_t>(i) * count + row) * hidden);
    }
  }
  if (kept) worker.wait();  // others may change those rows of x
}

// One product for all layers, so that the head is read once: the last layer's rows are normed, the others are not.
void PlanPass::early_head(const Worker& worker) {
  const ModelConfig& config = plan_.config_;
  const auto count = static_cast<std::int64_t>(batch_.logits_rows.size());
  const std::int64_t before = batch_.logits_count() - count;
  const Range range = worker.share_of(count);
  for (std::int64_t row = range.begin; row < range.end; ++row) {
    const float* from = buffers_.x.data() + batch_.logits_rows[static_cast<std::size_t>(row)] * config.hidden_size;
    float* const to = buffers_.early.data() + (before + row) * config.hidden_size;
    std::copy(from, from + config.hidden_size, to);
    if (plan_.final_norm_) norm_row(kernels_, *plan_.final_norm_, to, to, config.hidden_size);
  }
  worker.wait();
  PlanInput& input =
      prepare(worker, plan_.head_, buffers_.many_logits, before + count, {buffers_.early.data(), config.hidden_size});
  const Range columns = multiply(worker, plan_.head_, input, before + count, logits_);
  scale_logits(columns, logits_ + before * config.vocab_size, count);
}

void PlanPass::scale_logits(Range columns, float* first, std::int64_t rows) const {
  const ModelConfig& config = plan_.config_;
  if (config.logit_scale == 1.0f && !config.final_softcap) return;
  for (std::int64_t row = 0; row < rows; ++row) {
    float* const logits = first + row * config.vocab_size;
    const float cap = config.final_softcap.value_or(1.0f);
    for (std::int64_t i = columns.begin; i < columns.end; ++i) logits[i] = logits[i] * config.logit_scale / cap;
    if (!config.final_softcap) continue;
    kernels_.activation_mul(
        {.kind = cpu::ActivationKind::tanh, .gate = logits, .y = logits, .columns = config.vocab_size}, columns.begin,
        columns.end);
    for (std::int64_t i = columns.begin; i < columns.end; ++i) logits[i] *= cap;
  }
}

at::Tensor Plan::forward(const PackedBatch& batch, KvCache& cache, const PlanAdapters* adapters) const {
  const std::int64_t count = batch.logits_count();
  at::Tensor logits;
  if (count > 0) logits = empty_tensor({count, config_.vocab_size}, at::kFloat);
  std::unique_ptr<PlanBuffers> buffers = take_buffers();
  const int threads = team_threads();  // once: another thread may set it meanwhile
  PlanPass pass(*this, batch, cache, *buffers, adapters, threads,
                count > 0 ? logits.mutable_data_ptr<float>() : nullptr);
  run_team(threads, [&](int worker, int workers, Barrier& barrier) noexcept { pass.run(worker, workers, barrier); });
  give_back(std::move(buffers));
  return logits;
}

}  // namespace powerhouse
