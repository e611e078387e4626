// Compiling a plan: which matrices stand in which product, with rows in the order in which heads are read.
#include "model/plan.h"

#include <algorithm>
#include <cmath>

#include "model/plan_adapters.h"
#include "model/plan_buffers.h"
#include "model/plan_compile.h"
#include "model/projections.h"
#include "ops/attention.h"
#include "ops/rope.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

std::optional<PlanNorm> norm_of(const Norm& choice, const LayerWeights& weights, Role role) {
  PlanNorm norm{.choice = choice};
  const Weight& weight = weights.weight(role);
  if (weight.defined()) {
    norm.weight = weight.floats();
    const auto shape = weight.stored() != nullptr ? weight.stored()->shape : weight.tensor().sizes().vec();
    if (shape.size() == 2) norm.weight_head_stride = shape[1];
    if (choice.kind == NormKind::layer_norm && choice.unit_offset) {
      for (float& value : norm.weight) value += 1.0f;
    }
  }
  if (weights.bias_weight(role).defined()) norm.bias = weights.bias_weight(role).floats();
  return norm;
}

PlanProduct qkv_of(PanelPacker& packer, const Attention& attention, const LayerWeights& weights) {
  const std::int64_t sizes[] = {attention.num_heads * attention.head_dim,
                                attention.num_key_value_heads * attention.head_dim,
                                attention.num_key_value_heads * attention.head_dim};
  const Role roles[] = {Role::q_proj, Role::k_proj, Role::v_proj};
  PlanProduct product;
  for (int part = 0; part < 3; ++part) {
    const Role role = attention.qkv == QkvLayout::separate ? roles[part] : Role::qkv_proj;
    product.matrices.push_back(
        matrix_of(packer, product, weights.weight(role), weights.bias_weight(role), sizes[part],
                  [&attention, part](std::int64_t row) { return fused_row(attention, part, row); }));
  }
  return product;
}

PlanProduct one(PanelPacker& packer, const LayerWeights& weights, Role role, std::int64_t outputs) {
  PlanProduct product;
  product.matrices.push_back(matrix_of(packer, product, weights.weight(role), weights.bias_weight(role), outputs));
  return product;
}

PlanProduct up_of(PanelPacker& packer, const Mlp& mlp, const LayerWeights& weights) {
  if (mlp.fused_gate_up) return one(packer, weights, Role::gate_up_proj, 2 * mlp.intermediate_size);
  PlanProduct product;
  if (mlp.gated) product = one(packer, weights, Role::gate_proj, mlp.intermediate_size);
  product.matrices.push_back(matrix_of(packer, product, weights.weight(Role::up_proj),
                                       weights.bias_weight(Role::up_proj), mlp.intermediate_size));
  return product;
}

std::size_t file_bytes_of(const PlanProduct& product) {
  std::size_t bytes = 0;
  for (const PlanMatrix& matrix : product.matrices) bytes += matrix.file_bytes;
  return bytes;
}

std::size_t bytes_of(const std::optional<PlanNorm>& norm) {
  return norm ? (norm->weight.size() + norm->bias.size()) * sizeof(float) : 0;
}

}  // namespace

bool Plan::has_steps(const ModelConfig& config) {
  return std::all_of(config.layers.begin(), config.layers.end(), [](const Block& block) {
    return block.position != PositionKind::alibi || ops::kernels_take({.scale = 1.0f, .alibi = block.alibi});
  });
}

std::unique_ptr<const Plan> Plan::compile(const ModelConfig& config, const DecoderWeights& weights, Numerics numerics) {
  if (!has_steps(config)) return nullptr;
  std::unique_ptr<Plan> plan(new Plan(config, weights, numerics));
  plan->compile_layers();
  return plan;
}

Plan::Plan(const ModelConfig& config, const DecoderWeights& weights, Numerics numerics)
    : config_(config), weights_(weights), numerics_(numerics) {}

void Plan::compile_layers() {
  PanelPacker packer;
  for (std::size_t i = 0; i < config_.layers.size(); ++i) {
    const Block& block = config_.layers[i];
    const Attention& attention = block.attention;
    const LayerWeights& weights = weights_.layer(static_cast<std::int64_t>(i));
    PlanLayer layer{.block = &block};
    if (block.norm_place != NormPlace::after_branch) {
      const bool behind = block.norm_place == NormPlace::after_add;
      const bool of_x = behind || block.residual_from_norm;
      (!of_x    ? layer.attention_norm
       : behind ? layer.middle_norm
                : layer.first_norm) = norm_of(block.norm, weights, Role::attention_norm);
      if (block.residual != Residual::parallel_shared_norm) {
        (!of_x    ? layer.mlp_norm
         : behind ? layer.last_norm
                  : layer.middle_norm) = norm_of(block.norm, weights, Role::mlp_norm);
      }
    }
    if (block.norm_place == NormPlace::around || block.norm_place == NormPlace::after_branch) {
      layer.attention_post_norm = norm_of(block.norm, weights, Role::attention_post_norm);
      layer.mlp_post_norm = norm_of(block.norm, weights, Role::mlp_post_norm);
    }
    if (attention.qk_norm) {
      layer.q_norm = norm_of(attention.qk_norm->norm, weights, Role::q_norm);
      layer.k_norm = norm_of(attention.qk_norm->norm, weights, Role::k_norm);
    }
    layer.qkv = qkv_of(packer, attention, weights);
    layer.output = one(packer, weights, Role::o_proj, config_.hidden_size);
    if (block.mlp.moe) {
      layer.moe = moe_of(packer, config_, block.mlp, weights);
    } else {
      layer.up = up_of(packer, block.mlp, weights);
      layer.down = one(packer, weights, Role::down_proj, config_.hidden_size);
    }
    layer.qkv.place = product_of(static_cast<std::int64_t>(i), Role::qkv_proj);
    layer.output.place = product_of(static_cast<std::int64_t>(i), Role::o_proj);
    layer.up.place = product_of(static_cast<std::int64_t>(i), Role::up_proj);
    layer.down.place = product_of(static_cast<std::int64_t>(i), Role::down_proj);
    layer.scale = attention.scale.value_or(1.0f / std::sqrt(static_cast<float>(attention.head_dim)));
    if (block.position == PositionKind::alibi) {
      layer.alibi_slopes = ops::alibi_slopes(block.alibi, attention.num_heads, layer.scale);
    }
    if (attention.sinks) layer.sinks = weights.weight(Role::sinks).floats();
    if (block.position == PositionKind::rope) {
      while (layer.rope < ropes_.size() && !(*ropes_[layer.rope].rope == block.rope)) ++layer.rope;
      if (layer.rope == ropes_.size()) {
        ropes_.push_back({&block.rope, {}});
        if (!ops::depends_on_length(block.rope)) ropes_.back().frequencies = ops::rope_frequencies(block.rope, 0);
      }
    }
    layers_.push_back(std::move(layer));
  }
  const LayerWeights& outside = weights_.outside();
  if (config_.embedding_norm) embedding_norm_ = norm_of(*config_.embedding_norm, outside, Role::embedding_norm);
  if (config_.final_norm) final_norm_ = norm_of(*config_.final_norm, outside, Role::final_norm);
  if (config_.embedding_size > 0) {
    project_in_ = one(packer, outside, Role::project_in, config_.hidden_size);
    project_out_ = one(packer, outside, Role::project_out, config_.embedding_size);
  }
  const Role head = config_.tie_word_embeddings ? Role::embed_tokens : Role::lm_head;
  head_.matrices.push_back(
      matrix_of(packer, head_, outside.weight(head), outside.bias_weight(Role::lm_head), config_.vocab_size));
  project_in_.place = product_of(-1, Role::project_in);
  project_out_.place = product_of(-1, Role::project_out);
  head_.place = product_of(-1, Role::lm_head);
  for (const PlanLayer& layer : layers_) sizes_.include(layer);
  for (const PlanProduct* product : {&project_in_, &project_out_, &head_}) sizes_.input.include(*product);
  for (const Role role : {Role::embed_tokens, Role::position_embeddings}) outside.weight(role).prepare_rows();
  packer.run();
}

Plan::~Plan() = default;

const PlanMatrix* Plan::matrix(std::int64_t index, Role role) const {
  const auto from = [](const PlanProduct& product, std::size_t i) {
    return i < product.matrices.size() ? &product.matrices[i] : nullptr;
  };
  if (index < 0) {
    return from(role == Role::project_in ? project_in_ : role == Role::project_out ? project_out_ : head_, 0);
  }
  const PlanLayer& layer = layers_[static_cast<std::size_t>(index)];
  switch (role) {
    case Role::q_proj: return from(layer.qkv, 0);
    case Role::k_proj: return from(layer.qkv, 1);
    case Role::v_proj: return from(layer.qkv, 2);
    case Role::o_proj: return from(layer.output, 0);
    case Role::gate_up_proj:
    case Role::gate_proj: return from(layer.up, 0);
    case Role::up_proj: return from(layer.up, layer.up.matrices.size() - 1);
    case Role::down_proj: return from(layer.down, 0);
    case Role::router: return from(layer.moe->router, 0);
    case Role::shared_expert_gate: return from(layer.moe->router, 1);
    case Role::shared_gate_proj: return from(layer.moe->router, 2);
    case Role::shared_up_proj: return from(layer.moe->router, 3);
    case Role::shared_down_proj: return from(layer.moe->shared_down, 0);
    default: return nullptr;
  }
}

std::size_t Plan::bytes() const {
  std::size_t bytes = bytes_of(head_) + bytes_of(project_in_) + bytes_of(project_out_) + bytes_of(embedding_norm_) +
                      bytes_of(final_norm_);
  for (const PlanLayer& layer : layers_) {
    for (const PlanProduct* product : {&layer.qkv, &layer.output, &layer.up, &layer.down}) bytes += bytes_of(*product);
    for (const auto* norm : {&layer.attention_norm, &layer.attention_post_norm, &layer.mlp_norm, &layer.mlp_post_norm,
                             &layer.first_norm, &layer.middle_norm, &layer.last_norm, &layer.q_norm, &layer.k_norm}) {
      bytes += bytes_of(*norm);
    }
    if (layer.moe) bytes += bytes_of(*layer.moe);
    bytes += layer.sinks.size() * sizeof(float);
  }
  return bytes;
}

std::size_t Plan::bytes_in_file() const {
  std::size_t bytes = file_bytes_of(head_) + file_bytes_of(project_in_) + file_bytes_of(project_out_);
  for (const PlanLayer& layer : layers_) {
    for (const PlanProduct* product : {&layer.qkv, &layer.output, &layer.up, &layer.down}) {
      bytes += file_bytes_of(*product);
    }
    if (!layer.moe) continue;
    for (const PlanProduct* product : {&layer.moe->router, &layer.moe->up, &layer.moe->down, &layer.moe->shared_down}) {
      bytes += file_bytes_of(*product);
    }
  }
  return bytes;
}

std::size_t Plan::bytes_per_token() const {
  std::size_t bytes = this->bytes() + bytes_in_file();
  for (const PlanLayer& layer : layers_) {
    if (!layer.moe) continue;
    const Moe& moe = *layer.block->mlp.moe;
    std::size_t experts = 0;
    for (const PlanProduct* product : {&layer.moe->up, &layer.moe->down}) {
      experts += bytes_of(*product) + file_bytes_of(*product);
    }
    bytes -= experts / static_cast<std::size_t>(moe.num_experts) *
             static_cast<std::size_t>(moe.num_experts - moe.num_experts_per_tok);
  }
  return bytes;
}

std::size_t Plan::mapped_bytes() const {
  std::size_t bytes = bytes_in_file();
  for (const Role role : {Role::embed_tokens, Role::position_embeddings}) {
    if (role == Role::embed_tokens && config_.tie_word_embeddings && head_.matrices.front().file_bytes > 0) continue;
    const Weight& table = weights_.outside().weight(role);
    if (table.is_mapped()) bytes += table.dense_bytes();
    if (table.stored() == nullptr) continue;
    for (const TensorView& view : table.stored()->views) bytes += view.bytes;
  }
  return bytes;
}

std::size_t Plan::waiting_bytes() const {
  const std::lock_guard lock(mutex_);
  std::size_t bytes = 0;
  for (const PlanBuffers* buffers = free_buffers_.get(); buffers != nullptr; buffers = buffers->next.get()) {
    bytes += buffers->bytes();
  }
  return bytes;
}

std::unique_ptr<PlanBuffers> Plan::take_buffers() const {
  const std::lock_guard lock(mutex_);
  if (!free_buffers_) return std::make_unique<PlanBuffers>();
  std::unique_ptr<PlanBuffers> buffers = std::move(free_buffers_);
  free_buffers_ = std::move(buffers->next);
  return buffers;
}

void Plan::give_back(std::unique_ptr<PlanBuffers> buffers) const noexcept {
  if (buffers->bytes() > kKeptBytes) return;
  const std::lock_guard lock(mutex_);
  buffers->next = std::move(free_buffers_);
  free_buffers_ = std::move(buffers);
}

}  // namespace powerhouse
