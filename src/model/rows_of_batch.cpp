#include "model/rows_of_batch.h"

#include "ops/documents.h"
#include "ops/rope.h"
#include "powerhouse/error.h"

namespace powerhouse {

void check_batch(const ModelConfig& config, const TokenBatch& batch) {
  const std::size_t rows = batch.input_ids.size();
  if (batch.position_ids.size() != rows || batch.targets.size() != rows || batch.cu_seqlens.empty() ||
      batch.cu_seqlens.front() != 0 || batch.cu_seqlens.back() != batch.rows()) {
    throw Error(ErrorKind::usage, "a batch whose parts differ in size", {.field = "batch"});
  }
  if (rows == 0) throw Error(ErrorKind::usage, "an empty batch", {.field = "batch"});
  check_ids(config, batch.input_ids);
  for (std::size_t i = 0; i + 1 < batch.cu_seqlens.size(); ++i) {
    if (batch.cu_seqlens[i + 1] > batch.cu_seqlens[i]) continue;
    throw Error(ErrorKind::usage, "an empty document", {.field = "cu_seqlens"});
  }
  ops::check_prefixes(batch.cu_seqlens, batch.prefixes);
}

PackedBatch packed(const TokenBatch& batch, std::vector<std::int64_t> rows) {
  PackedBatch out;
  out.ids = batch.input_ids;
  out.position_ids = batch.position_ids;
  out.cu_seqlens = batch.cu_seqlens;
  out.logits_rows = std::move(rows);
  out.prefixes = batch.prefixes;
  for (std::size_t i = 0; i + 1 < batch.cu_seqlens.size(); ++i) {
    const std::int64_t before = ops::prefix_rows(batch.cu_seqlens, batch.prefixes, i).count;
    out.rope_lengths.push_back(before + batch.cu_seqlens[i + 1] - batch.cu_seqlens[i]);
    // A prefix is turned as what continues it is.
    if (before > 0) out.rope_lengths[static_cast<std::size_t>(batch.prefixes[i])] = out.rope_lengths.back();
  }
  return out;
}

void check_rope_of_prefixes(const ModelConfig& config, const PackedBatch& batch) {
  for (const Block& block : config.layers) {
    if (block.position != PositionKind::rope || !ops::depends_on_length(block.rope)) continue;
    for (std::size_t i = 0; i < batch.prefixes.size(); ++i) {
      if (batch.prefixes[i] < 0) continue;
      const std::int64_t own = batch.rope_lengths[i];
      const std::int64_t prefix = batch.rope_lengths[static_cast<std::size_t>(batch.prefixes[i])];
      if (ops::rope_frequencies(block.rope, own) == ops::rope_frequencies(block.rope, prefix)) continue;
      throw Error(ErrorKind::unsupported, "RoPE that turns a prompt otherwise for one continuation than for another",
                  {.field = "prefixes", .expected = "separate documents"});
    }
  }
}

TrainingPass training_pass(const std::shared_ptr<Model>& model, const ScoreOptions& options) {
  return {.type = model->type,
          .checkpointed_layers = checkpointed_count(model->config, options.checkpointed_layers),
          .owner = model};
}

std::int64_t checkpointed_count(const ModelConfig& config, std::int64_t checkpointed_layers) {
  const auto layers = static_cast<std::int64_t>(config.layers.size());
  if (checkpointed_layers < -1 || checkpointed_layers > layers) {
    throw Error(ErrorKind::range, "no so many layers",
                {.field = "checkpointed_layers",
                 .expected = "-1 to " + std::to_string(layers),
                 .found = std::to_string(checkpointed_layers)});
  }
  return checkpointed_layers < 0 ? layers : checkpointed_layers;
}

}  // namespace powerhouse
