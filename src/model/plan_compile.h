// How the parts of a plan are made of weights.
#pragma once

#include <functional>

#include "model/plan_parts.h"
#include "model/weights.h"

namespace powerhouse {

/// Row i of a matrix is row order(i) of the weight. Asked until the packer has run: captures are values, or references
/// to the model's configuration.
using RowOrder = std::function<std::int64_t(std::int64_t)>;

/// Some rows of a weight with their biases, in panels (which the packer's run fills) where it is of blocks or of bf16.
/// A tensor of experts' matrices counts as their rows one behind the other. `bias` may be undefined. `product` is what
/// it will stand in: packed matrices there all read x's columns in one order; others' blocks stay blocks.
PlanMatrix matrix_of(PanelPacker& packer, const PlanProduct& product, const Weight& weight, const Weight& bias,
                     std::int64_t outputs, const RowOrder& order = {});

PlanMoe moe_of(PanelPacker& packer, const ModelConfig& config, const Mlp& mlp, const LayerWeights& weights);

/// Bytes of what a plan holds itself: panels, biases, and what `moe_of` keeps in float32.
std::size_t bytes_of(const PlanProduct& product);
std::size_t bytes_of(const PlanMoe& moe);

}  // namespace powerhouse
