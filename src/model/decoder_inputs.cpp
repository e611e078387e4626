// What a pass reads that the host makes: ids, positions, tables of RoPE, slopes of ALiBi, tables of a cache's pages. On
// a device all of it is one upload, which steps of decoding repeat in place under a CUDA graph.
#include <c10/core/GradMode.h>

#include "model/decode_graphs.h"
#include "model/decoder_pass.h"
#include "ops/tensors.h"

namespace powerhouse {

ops::RopeTable Decoder::rope_table(const DistinctRope& distinct, const PackedBatch& batch) const {
  const Rope& rope = *distinct.rope;
  ops::RopeTable table = ops::empty_rope_table(rope, static_cast<std::int64_t>(batch.ids.size()));
  if (!distinct.frequencies.empty()) {
    ops::fill_rope_table(table, 0, rope, distinct.frequencies, batch.position_ids);
    return table;
  }
  for (std::size_t i = 0; i + 1 < batch.cu_seqlens.size(); ++i) {
    const auto first = static_cast<std::size_t>(batch.cu_seqlens[i]);
    const auto rows = static_cast<std::size_t>(batch.cu_seqlens[i + 1]) - first;
    ops::fill_rope_table(table, batch.cu_seqlens[i], rope, ops::rope_frequencies(rope, batch.rope_lengths[i]),
                         std::span(batch.position_ids).subspan(first, rows));
  }
  return table;
}

// The parts of a pass in its bundle.
struct Decoder::Gathered {
  ops::DeviceBundle bundle{};
  std::size_t ids = 0, positions = 0, logits_rows = 0;
  std::vector<std::pair<std::size_t, std::size_t>> ropes{};  // cos and sin
  std::vector<std::size_t> slopes{};
  std::shared_ptr<DevicePages> pages{};
};

Decoder::Gathered Decoder::gather(const Pass& pass, std::int64_t least_pages) const {
  const PackedBatch& batch = pass.batch;
  Gathered all;
  const auto add = [&](const at::Tensor& table) {
    const auto count = static_cast<std::size_t>(table.numel());
    return all.bundle.add_floats({table.const_data_ptr<float>(), count}, table.sizes());
  };
  all.ids = all.bundle.add_indices(batch.ids);
  all.positions = all.bundle.add_indices(batch.position_ids);
  all.logits_rows = all.bundle.add_indices(batch.logits_rows);
  for (const DistinctRope& rope : ropes_) {
    const ops::RopeTable table = rope_table(rope, batch);
    const std::size_t cos = add(table.cos);
    all.ropes.emplace_back(cos, add(table.sin));
  }
  for (const std::vector<float>& slopes : slopes_) {
    all.slopes.push_back(all.bundle.add_floats(slopes, {std::ssize(slopes)}));
  }
  if (pass.cache != nullptr) {
    all.pages = std::make_shared<DevicePages>(*pass.cache, batch.sequences, batch.cu_seqlens, all.bundle, least_pages);
  }
  return all;
}

void Decoder::read(Pass& pass, const Gathered& all) {
  pass.ids = all.bundle[all.ids];
  pass.positions = all.bundle[all.positions];
  pass.logits_rows = all.bundle[all.logits_rows];
  for (const auto& [cos, sin] : all.ropes) pass.rope_tables.push_back({all.bundle[cos], all.bundle[sin]});
  for (const std::size_t slopes : all.slopes) pass.slopes.push_back(all.bundle[slopes]);
  if (all.pages != nullptr) all.pages->read(all.bundle);
  pass.pages = all.pages;
}

void Decoder::prepare(Pass& pass) const {
  if (!pass.device.is_cpu()) {
    Gathered all = gather(pass, 0);
    all.bundle.send(pass.device);
    read(pass, all);
    if (pass.cache == nullptr) {
      pass.documents = ops::device_documents(pass.batch.cu_seqlens, pass.batch.prefixes, pass.device);
    }
    return;
  }
  pass.ids = index_tensor(pass.batch.ids);
  if (config_.learned_positions > 0) pass.positions = index_tensor(pass.batch.position_ids);
  pass.logits_rows = index_tensor(pass.batch.logits_rows);
  for (const DistinctRope& rope : ropes_) pass.rope_tables.push_back(rope_table(rope, pass.batch));
}

// A step of decoding that only queues work, whatever the tokens are: one new row of each sequence, all of them wanted.
// A mixture of experts asks the device which ones its router chose.
bool Decoder::may_replay(const Pass& pass, DecodeGraphs& graphs) const {
  const PackedBatch& batch = pass.batch;
  const std::size_t rows = batch.ids.size();
  if (pass.device.is_cpu() || pass.cache == nullptr || !pass.hooks.empty() || c10::GradMode::is_enabled()) return false;
  if (batch.sequences.size() != rows || batch.logits_rows.size() != rows || !batch.prompt_rows.empty() ||
      batch.layers > 0 || !batch.early.empty()) {
    return false;
  }
  for (const Block& block : config_.layers) {
    if (block.mlp.moe) return false;
  }
  const at::ScalarType type = weights_.outside().weight(Role::embed_tokens).compute_type();
  return DevicePages::in_place(*pass.cache, type, 1) && graphs.takes(pass.arithmetic.adapters);
}

at::Tensor Decoder::replayed(Pass& pass, DecodeGraphs& graphs) const {
  const PackedBatch& batch = pass.batch;
  std::int64_t pages = 0;
  for (const std::int64_t sequence : batch.sequences) pages = std::max(pages, pass.cache->page_count(sequence));
  const DecodeGraphs::Shape shape{.sequences = std::ssize(batch.sequences),
                                  .pages = DecodeGraphs::room_for(pages),
                                  .addresses = addresses_of(weights_, pass.arithmetic.adapters.get()),
                                  .adapters = pass.arithmetic.adapters};
  Gathered all = gather(pass, shape.pages);
  return graphs.step(shape, all.bundle, [&] {
    read(pass, all);
    return computed(pass);
  });
}

}  // namespace powerhouse
