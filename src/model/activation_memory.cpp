// The bytes that a training pass keeps for its backward pass, counted from the config, and how many layers to
// checkpoint so that they fit.
//
// Kept of a token: what norms and activations read (their outputs are made again: ops/remake.h), queries, keys, values
// and what attention makes of them.
#include <algorithm>
#include <string>
#include <vector>

#include "model/causal_lm_impl.h"
#include "powerhouse/error.h"
#include "powerhouse/token_scores.h"

namespace powerhouse {
namespace {

constexpr double kFloat = 4;

double number_bytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32: return 4;
    case Dtype::bf16:
    case Dtype::f16: return 2;
    case Dtype::automatic: break;
  }
  throw Error(ErrorKind::usage, "the dtype must be settled before its bytes are counted", {.field = "dtype"});
}

// Hidden states that one layer keeps.
double kept_states(const Block& block) {
  const double read = block.residual == Residual::sequential ? 2 : 1;
  const bool behind_branch = block.norm_place == NormPlace::around || block.norm_place == NormPlace::after_branch;
  return read + (behind_branch ? 2 : 0);
}

// Numbers of the MLP. Experts' rows are gathered, and their products keep what they read.
double kept_of_mlp(const Mlp& mlp, double hidden) {
  const double inputs = mlp.gated ? 2 : 1;
  if (!mlp.moe) return inputs * static_cast<double>(mlp.intermediate_size);
  const Moe& moe = *mlp.moe;
  const auto chosen = static_cast<double>(moe.num_experts_per_tok);
  // Clamped, the activation is a composition that keeps its steps.
  const double steps = inputs + (moe.clamp ? 5 : 1);
  double numbers = chosen * (2 * hidden + steps * static_cast<double>(moe.intermediate_size));
  if (moe.shared_intermediate_size > 0) {
    numbers += inputs * static_cast<double>(moe.shared_intermediate_size) + hidden;
  }
  return numbers;
}

// Bytes a token of one layer.
double kept_of_layer(const Block& block, double hidden, double width) {
  const Attention& attention = block.attention;
  const auto head_dim = static_cast<double>(attention.head_dim);
  const double queries = static_cast<double>(attention.num_heads) * head_dim;
  const double keys = static_cast<double>(attention.num_key_value_heads) * head_dim;
  double numbers = kept_states(block) * hidden + 2 * queries + 2 * keys + kept_of_mlp(block.mlp, hidden);
  if (attention.qk_norm) numbers += queries + keys;
  if (attention.qk_norm && attention.qkv != QkvLayout::separate) numbers += keys;  // values stay in what the norms keep
  if (attention.clip_qkv) numbers += queries + 2 * keys;
  return width * numbers + kFloat * static_cast<double>(attention.num_heads);
}

// Outside layers: what the final norm reads, the gradient of what the head reads, and what stands behind the embedding.
double kept_outside(const ModelConfig& config, double width) {
  const auto hidden = static_cast<double>(config.hidden_size);
  double numbers = 2 * hidden + static_cast<double>(config.embedding_size);
  if (config.embedding_norm) numbers += hidden;
  const bool no_norm_before = !config.layers.empty() && config.layers.front().norm_place == NormPlace::after_add;
  if (no_norm_before) numbers += hidden;  // the first layer reads no norm's output
  return width * numbers;
}

struct Kept {
  std::vector<double> layers{};  // bytes a token
  double state = 0, outside = 0;

  Kept(const ModelConfig& config, Dtype dtype) {
    const double width = number_bytes(dtype);
    const auto hidden = static_cast<double>(config.hidden_size);
    for (const Block& block : config.layers) layers.push_back(kept_of_layer(block, hidden, width));
    state = hidden * width;
    outside = kept_outside(config, width);
  }

  // Where the backward pass begins, or where it has run the largest checkpointed layer again.
  double with_checkpointed(std::size_t count) const {
    double first = static_cast<double>(count) * state;
    double largest = 0;
    for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, layers[i]);
    double rest = outside;
    for (std::size_t i = count; i < layers.size(); ++i) rest += layers[i];
    return first + std::max(rest, largest);
  }
};

void check_rows(std::int64_t rows) {
  if (rows > 0) return;
  throw Error(ErrorKind::range, "must be above 0", {.field = "rows", .found = std::to_string(rows)});
}

}  // namespace

std::size_t activation_bytes(const ModelConfig& config, std::int64_t rows, Dtype dtype,
                             std::int64_t checkpointed_layers) {
  check_rows(rows);
  const auto count = static_cast<std::size_t>(checkpointed_count(config, checkpointed_layers));
  const double bytes = static_cast<double>(rows) * Kept(config, dtype).with_checkpointed(count);
  return static_cast<std::size_t>(std::clamp(bytes, 0.0, 4e18));
}

std::int64_t checkpointed_layers_for(const ModelConfig& config, std::int64_t rows, Dtype dtype,
                                     std::size_t budget_bytes) {
  check_rows(rows);
  const Kept kept(config, dtype);
  const double budget = static_cast<double>(budget_bytes) / static_cast<double>(rows);
  std::size_t count = 0;
  while (count < kept.layers.size() && kept.with_checkpointed(count) > budget) ++count;
  return static_cast<std::int64_t>(count);
}

}  // namespace powerhouse
