// Memory to run and to train, counted from the config; the formulas stand in powerhouse/inspect.h.
#include <algorithm>

#include "model/parameters.h"
#include "ops/linear_cross_entropy.h"
#include "powerhouse/inspect.h"
#include "powerhouse/token_scores.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kLoraRank = 16;
constexpr std::int64_t kPassRows = 512;
constexpr double kNf4Bits = 4.0 + 8.0 / 64.0 + 32.0 / (64.0 * 256.0);  // codes, 8-bit scales, scales of those

// Parameters that training tells apart.
struct Counts {
  double all = 0;
  double linear = 0;    // of matrices inside the blocks
  double largest = 0;   // of one of these
  double adapters = 0;  // of rank-16 adapters on those
  double low_rank = 0;  // numbers of one token between the two matrices of all its adapters
};

Counts count(const ModelConfig& config) {
  Counts counts;
  for (const ParameterSpec& spec : parameter_specs(find_architecture(std::string_view(config.architecture)), config)) {
    double size = 1;
    for (const std::int64_t dimension : spec.shape) size *= static_cast<double>(dimension);
    counts.all += size;
    if (spec.layer < 0 || spec.is_bias || spec.shape.size() < 2) continue;
    const auto in = static_cast<double>(spec.shape.back());
    const auto out = static_cast<double>(spec.shape[spec.shape.size() - 2]);
    const double matrices = size / (in * out);
    const auto& moe = config.layers[static_cast<std::size_t>(spec.layer)].mlp.moe;
    const double used = moe ? std::min(matrices, static_cast<double>(moe->num_experts_per_tok)) : matrices;
    counts.linear += size;
    counts.largest = std::max(counts.largest, size);
    counts.adapters += matrices * static_cast<double>(kLoraRank) * (in + out);
    counts.low_rank += used * static_cast<double>(kLoraRank);
  }
  return counts;
}

// Elements of one token in one layer. Numbers with a point: a config may hold sizes whose products no integer holds.
struct Widths {
  double queries = 0, key_value = 0, mlp = 0;
  double experts = 1;  // MLPs of this width that see the token
};

Widths widths_of(const Block& block) {
  const Attention& attention = block.attention;
  const auto head_dim = static_cast<double>(attention.head_dim);
  Widths out{.queries = static_cast<double>(attention.num_heads) * head_dim,
             .key_value = static_cast<double>(attention.num_key_value_heads) * head_dim,
             .mlp = static_cast<double>(block.mlp.intermediate_size)};
  if (block.mlp.moe) {
    const Moe& moe = *block.mlp.moe;
    out.mlp = static_cast<double>(std::max(moe.intermediate_size, moe.shared_intermediate_size));
    out.experts = static_cast<double>(moe.num_experts_per_tok) + (moe.shared_intermediate_size > 0 ? 1 : 0);
  }
  return out;
}

std::size_t bytes(double value) { return static_cast<std::size_t>(std::clamp(value, 0.0, 4e18)); }

// Where a training pass in bf16 holds most: what the backward pass needs, and a chunk of the head's logits.
double of_training(const ModelConfig& config, std::int64_t tokens) {
  const double logits = 4.0 * static_cast<double>(tokens) * static_cast<double>(config.vocab_size);
  return static_cast<double>(activation_bytes(config, tokens, Dtype::bf16)) +
         std::min(logits, static_cast<double>(ops::head_chunk(at::kCPU)));
}

double of_one_pass(const ModelConfig& config, std::int64_t rows, double width) {
  double widest = 0;
  for (const Block& block : config.layers) {
    const Widths widths = widths_of(block);
    widest = std::max({widest, widths.queries + 2 * widths.key_value, 3 * widths.mlp * widths.experts});
  }
  return static_cast<double>(rows) * width * (3 * static_cast<double>(config.hidden_size) + widest) +
         4.0 * static_cast<double>(config.vocab_size);
}

}  // namespace

MemoryReport estimate_memory(const ModelReport& report, std::int64_t tokens) {
  const ModelConfig& config = report.config;
  MemoryReport out;
  out.tokens = tokens > 0 ? tokens : std::min<std::int64_t>(4096, longest_sequence(config));
  const Counts counts = count(config);
  const double kept = of_training(config, out.tokens);
  const double with_adapters = kept + 2 * static_cast<double>(out.tokens) * counts.low_rank;
  const auto width = static_cast<double>(report.compute_bytes);
  out.run = {.weights = report.run_weight_bytes,
             .kv_cache = bytes(width / 2 * static_cast<double>(report.kv_cache_bytes_per_token) *
                               static_cast<double>(out.tokens)),
             .activations = bytes(of_one_pass(config, std::min(out.tokens, kPassRows), width))};
  out.train_full = {.weights = bytes(2 * counts.all),
                    .activations = bytes(kept),
                    .gradients = bytes(2 * counts.all),
                    .optimizer = bytes(4 * counts.all)};
  out.train_lora = {.weights = bytes(2 * counts.all + 4 * counts.adapters),
                    .activations = bytes(with_adapters),
                    .gradients = bytes(4 * counts.adapters),
                    .optimizer = bytes(8 * counts.adapters)};
  out.train_qlora = out.train_lora;
  out.train_qlora.activations = bytes(with_adapters + 2 * counts.largest);
  out.train_qlora.weights =
      bytes(2 * (counts.all - counts.linear) + kNf4Bits / 8 * counts.linear + 4 * counts.adapters);
  return out;
}

}  // namespace powerhouse
