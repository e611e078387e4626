// Mixtures of experts in a plan: the router's choice in float32, and the chosen experts' gated MLPs. Slots, a row at
// one of its experts each, are sorted by expert, so that the rows of an expert stand together and its weights are read
// once for all of them. Workers share the panels of all chosen experts at once; what a row's experts give is added in
// the order of experts, whatever else stands in the batch.
#include <algorithm>
#include <numeric>

#include "model/plan_compile.h"
#include "model/plan_pass.h"
#include "ops/moe.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

// Reading a panel costs about as much as multiplying this many rows by it.
constexpr std::int64_t kPanelCost = 4;

// The router decides: its numbers stay float32 whatever the others are computed in.
PlanMatrix in_float32(PanelPacker& packer, const PlanProduct& product, const Weight& weight, const Weight& bias,
                      std::int64_t outputs) {
  const std::vector<float> values = weight.floats();
  at::Tensor dense = empty_tensor({outputs, static_cast<std::int64_t>(values.size()) / outputs}, at::kFloat);
  std::copy(values.begin(), values.end(), dense.data_ptr<float>());
  return matrix_of(packer, product, Weight::dense(weight.name(), std::move(dense)), bias, outputs);
}

// Rows of one expert within all experts', its own beginning at a panel.
PlanMatrix part_of(const PlanMatrix& all, std::int64_t first, std::int64_t count) {
  PlanMatrix part{.type = all.type, .order = all.order, .inputs = all.inputs, .outputs = count};
  if (all.packed) part.packed = all.packed->part(first, count);
  if (all.bf16) part.bf16 = all.bf16->part(first, count);
  if (all.blocks) {
    part.blocks = all.blocks;
    part.blocks->first += first;
  }
  if (all.dense.defined()) part.dense = all.dense.narrow(0, first, count);
  if (!all.bias.empty()) part.bias.assign(all.bias.begin() + first, all.bias.begin() + first + count);
  return part;
}

// All experts' matrices of `rows` outputs each, row i being row order(i) of its expert.
void add_experts(PanelPacker& packer, const Weight& weight, const Weight& bias, std::int64_t experts, std::int64_t rows,
                 const RowOrder& order, PlanProduct& all, std::vector<PlanMatrix>& parts) {
  const std::int64_t padded = panel_count(rows) * kPanelRows;
  // The padding repeats an expert's last row; nobody reads what comes of it.
  PlanMatrix whole = matrix_of(packer, all, weight, bias, experts * padded, [=](std::int64_t row) {
    return row / padded * rows + order(std::min(row % padded, rows - 1));
  });
  for (std::int64_t expert = 0; expert < experts; ++expert) parts.push_back(part_of(whole, expert * padded, rows));
  whole.bias.clear();
  all.matrices.push_back(std::move(whole));
}

std::int64_t width_of_up(const Moe& moe) { return 2 * moe.intermediate_size; }

// What an expert does to gate and up before they meet, to the columns [begin, end) of [gate, up].
void limit(const Moe& moe, Range columns, float* row) {
  const std::int64_t inner = moe.intermediate_size;
  if (moe.clamp) {
    for (std::int64_t i = columns.begin; i < columns.end; ++i) {
      const float lowest = i < inner ? row[i] : std::max(row[i], -*moe.clamp);
      row[i] = std::min(lowest, *moe.clamp);
    }
  }
  for (std::int64_t i = std::max(columns.begin, inner); i < columns.end; ++i) row[i] += moe.up_offset;
}

// Calls body(expert, slots, panels) with the worker's part of the panels of every expert that has slots.
template <typename Worker, typename Body>
void for_experts(const PlanRoutes& routes, std::int64_t panels, const Worker& worker, Body body) {
  const std::size_t experts = routes.first.size() - 1;
  const auto cost_of = [&](std::size_t expert) {  // of each of its panels
    const Range slots = routes.slots_of(expert);
    return slots.begin < slots.end ? slots.end - slots.begin + kPanelCost : 0;
  };
  std::int64_t total = 0;
  for (std::size_t expert = 0; expert < experts; ++expert) total += panels * cost_of(expert);
  const Range mine = worker.share_of(total);
  std::int64_t at = 0;
  for (std::size_t expert = 0; expert < experts; ++expert) {
    const std::int64_t cost = cost_of(expert);
    if (cost == 0) continue;
    const auto panel_at = [&](std::int64_t place) {
      return std::clamp<std::int64_t>((place - at + cost - 1) / cost, 0, panels);
    };
    const Range part{panel_at(std::max(mine.begin, at)), panel_at(std::max(mine.end, at))};
    if (part.begin < part.end) body(expert, routes.slots_of(expert), part);
    at += panels * cost;
  }
}

void sort_slots(PlanRoutes& routes, std::int64_t slots, std::int64_t experts) {
  std::vector<std::int64_t>& first = routes.first;
  first.assign(static_cast<std::size_t>(experts) + 1, 0);  // within what is reserved
  const auto expert_of = [&](std::int64_t place) {
    return static_cast<std::size_t>(routes.experts[static_cast<std::size_t>(place)]);
  };
  for (std::int64_t place = 0; place < slots; ++place) ++first[expert_of(place) + 1];
  std::partial_sum(first.begin(), first.end(), first.begin());
  for (std::int64_t place = 0; place < slots; ++place) {
    routes.places[static_cast<std::size_t>(first[expert_of(place)]++)] = place;
  }
  std::copy_backward(first.begin(), first.end() - 1, first.end());  // each stands where the next one began
  first.front() = 0;
}

}  // namespace

PlanMoe moe_of(PanelPacker& packer, const ModelConfig& config, const Mlp& mlp, const LayerWeights& weights) {
  const Moe& choice = *mlp.moe;
  const std::int64_t inner = choice.intermediate_size;
  PlanMoe moe;
  moe.router.matrices.push_back(in_float32(packer, moe.router, weights.weight(Role::router),
                                           weights.bias_weight(Role::router), choice.num_experts));
  const auto gate_up_row = [&choice, inner](std::int64_t row) {
    return choice.interleaved_gate_up ? row % inner * 2 + row / inner : row;
  };
  add_experts(packer, weights.weight(Role::experts_gate_up), weights.bias_weight(Role::experts_gate_up),
              choice.num_experts, width_of_up(choice), gate_up_row, moe.up, moe.ups);
  add_experts(
      packer, weights.weight(Role::experts_down), weights.bias_weight(Role::experts_down), choice.num_experts,
      config.hidden_size, [](std::int64_t row) { return row; }, moe.down, moe.downs);
  if (const std::int64_t shared = choice.shared_intermediate_size; shared > 0) {
    const auto add = [&](PlanProduct& product, Role role, std::int64_t outputs) {
      product.matrices.push_back(matrix_of(packer, product, weights.weight(role), {}, outputs));
    };
    moe.router.matrices.push_back(in_float32(packer, moe.router, weights.weight(Role::shared_expert_gate), {}, 1));
    add(moe.router, Role::shared_gate_proj, shared);
    add(moe.router, Role::shared_up_proj, shared);
    add(moe.shared_down, Role::shared_down_proj, config.hidden_size);
  }
  return moe;
}

std::size_t bytes_of(const PlanMoe& moe) {
  std::size_t bytes = bytes_of(moe.router) + bytes_of(moe.up) + bytes_of(moe.down) + bytes_of(moe.shared_down);
  for (const auto* parts : {&moe.ups, &moe.downs}) {
    for (const PlanMatrix& part : *parts) bytes += part.bias.size() * sizeof(float);
  }
  bytes += moe.router.matrices.front().dense.nbytes();
  if (moe.router.matrices.size() > 1) bytes += moe.router.matrices[1].dense.nbytes();
  return bytes;
}

void PlanPass::route_row(const PlanLayer& layer, PlanRoutes& routes, std::int64_t row,
                         std::vector<float>& probabilities) const {
  const Moe& moe = *layer.block->mlp.moe;
  const std::int64_t place = row * moe.num_experts_per_tok;
  ops::choose_experts(moe, buffers_.router.data() + row * layer.moe->router.width(), probabilities.data(),
                      routes.experts.data() + place, routes.weights.data() + place);
}

PlanRoutes& PlanPass::routes_of(const Worker& worker) const {
  return rows_ <= kOwnRows ? worker.own.routes : buffers_.routes;
}

const PlanRoutes& PlanPass::route(const Worker& worker, const PlanLayer& layer) {
  const Moe& moe = *layer.block->mlp.moe;
  const bool own = rows_ <= kOwnRows;
  PlanRoutes& routes = routes_of(worker);
  const Range rows = own ? Range{0, rows_} : worker.share_of(rows_);
  for (std::int64_t row = rows.begin; row < rows.end; ++row) route_row(layer, routes, row, worker.own.probabilities);
  if (!own) worker.wait();
  if (own || worker.index == 0) sort_slots(routes, rows_ * moe.num_experts_per_tok, moe.num_experts);
  if (!own) worker.wait();
  return routes;
}

template <typename SourceOf>
PlanInput& PlanPass::prepare_slots(const Worker& worker, const PlanProduct& product, std::int64_t count,
                                   SourceOf source_of) {
  const bool own = count <= kOwnSlots;
  PlanInput& input = own ? worker.own.routed : buffers_.routed;
  if (!own) worker.wait();  // others may still read it
  if (own || worker.index == 0) input.begin(product.matrices.front().inputs);
  if (!own) worker.wait();
  const Range range = own ? Range{0, count} : worker.share_of(count);
  for (std::int64_t slot = range.begin; slot < range.end; ++slot) prepare_row(input, product, slot, source_of(slot));
  if (!own) worker.wait();
  return input;
}

void PlanPass::experts_up(const Worker& worker, const PlanLayer& layer, const std::optional<PlanNorm>& norm) {
  const PlanMoe& moe = *layer.moe;
  const Moe& choice = *layer.block->mlp.moe;
  PlanInput& x = prepare(worker, moe.router, {buffers_.x.data(), plan_.config_.hidden_size, &norm});
  look(HookPoint::mlp_norm, index_of(layer), x);
  multiply(worker, moe.router, x, rows_, buffers_.router.data());
  if (watch_ != nullptr) {  // what stands beside the logits belongs to the MLP's output
    watch_->look({HookPoint::router_logits, index_of(layer)}, buffers_.router.data(), rows_,
                 moe.router.matrices.front().outputs, moe.router.width());
  }
  worker.wait();
  const PlanRoutes& routes = route(worker, layer);
  const bool alone = rows_ == 1;  // then all slots read the same
  const std::int64_t chosen = choice.num_experts_per_tok;
  PlanInput& input = prepare_slots(worker, moe.up, alone ? 1 : rows_ * chosen, [&](std::int64_t slot) {
    const std::int64_t row = alone ? 0 : routes.places[static_cast<std::size_t>(slot)] / chosen;
    return Source{.rows = x.floats.data() + row * x.stride, .width = 0, .many = is_many(row)};
  });
  const std::int64_t width = width_of_up(choice);
  for_experts(routes, panel_count(width), worker, [&](std::size_t expert, Range slots, Range panels) {
    float* const y = buffers_.up.data() + slots.begin * width;
    multiply(worker, moe.ups[expert], input, alone ? Range{0, 1} : slots, panels, y, width);
    const Range columns{panels.begin * kPanelRows, std::min(panels.end * kPanelRows, width)};
    for (std::int64_t slot = 0; slot < slots.end - slots.begin; ++slot) limit(choice, columns, y + slot * width);
  });
}

// The branch begins as what the MLP gives that sees every token, or as zero; the worker's panels of it.
void PlanPass::shared_down(const Worker& worker, const PlanLayer& layer, Range panels) {
  const PlanMoe& moe = *layer.moe;
  const std::int64_t hidden = plan_.config_.hidden_size;
  const Range columns{panels.begin * kPanelRows, std::min(panels.end * kPanelRows, hidden)};
  float* const branch = buffers_.branch.data();
  if (moe.shared_down.matrices.empty()) {
    for (std::int64_t row = 0; row < rows_; ++row) {
      std::fill(branch + row * hidden + columns.begin, branch + row * hidden + columns.end, 0.0f);
    }
    return;
  }
  const std::int64_t gate = moe.router.matrices.front().outputs;
  const std::int64_t width = moe.router.width();
  PlanInput& input = prepare_slots(worker, moe.shared_down, rows_, [&](std::int64_t row) {
    return Source{.rows = buffers_.router.data() + gate + 1,
                  .width = width,
                  .activation = &layer.block->mlp,
                  .many = is_many(row)};
  });
  multiply(worker, moe.shared_down.matrices.front(), input, {0, rows_}, panels, branch, hidden);
  for (std::int64_t row = 0; row < rows_; ++row) {
    const float share = ops::shared_share(buffers_.router[static_cast<std::size_t>(row * width + gate)]);
    for (std::int64_t i = columns.begin; i < columns.end; ++i) branch[row * hidden + i] *= share;
  }
}

void PlanPass::experts_down(const Worker& worker, const PlanLayer& layer) {
  const PlanMoe& moe = *layer.moe;
  const Moe& choice = *layer.block->mlp.moe;
  const std::int64_t hidden = plan_.config_.hidden_size;
  const std::int64_t chosen = choice.num_experts_per_tok;
  // The same panels of every expert: their columns are added up without waiting for anyone.
  const Range panels = worker.share_of(panel_count(hidden));
  const Range columns{panels.begin * kPanelRows, std::min(panels.end * kPanelRows, hidden)};
  shared_down(worker, layer, panels);
  const PlanRoutes& routes = routes_of(worker);
  PlanInput& input = prepare_slots(worker, moe.down, rows_ * chosen, [&](std::int64_t slot) {
    return Source{.rows = buffers_.up.data(),
                  .width = width_of_up(choice),
                  .activation = &layer.block->mlp,
                  .many = is_many(routes.places[static_cast<std::size_t>(slot)] / chosen)};
  });
  for (std::size_t expert = 0; expert < moe.downs.size(); ++expert) {
    const Range slots = routes.slots_of(expert);
    if (slots.begin == slots.end) continue;
    multiply(worker, moe.downs[expert], input, slots, panels, buffers_.expert.data(), hidden);
    for (std::int64_t slot = slots.begin; slot < slots.end; ++slot) {
      const std::int64_t place = routes.places[static_cast<std::size_t>(slot)];
      const float weight = routes.weights[static_cast<std::size_t>(place)];
      const float* const y = buffers_.expert.data() + (slot - slots.begin) * hidden;
      float* const branch = buffers_.branch.data() + place / chosen * hidden;
      for (std::int64_t i = columns.begin; i < columns.end; ++i) branch[i] += weight * y[i];
    }
  }
  add_branch(worker, columns, *layer.block, layer.mlp_post_norm);
}

}  // namespace powerhouse
