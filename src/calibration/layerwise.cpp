#include "calibration/layerwise.h"

#include <algorithm>

#include "formats/checkpoint.h"
#include "model/loader.h"
#include "ops/dequantize.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// Floats that a row of a layer's pass holds at once, attention's and the MLP's together: what is freed early is little.
std::int64_t floats_of_row(const ModelConfig& config) {
  std::int64_t most = 0;
  for (const Block& block : config.layers) {
    const Attention& attention = block.attention;
    const std::int64_t heads = attention.num_heads + 2 * attention.num_key_value_heads;
    const Mlp& mlp = block.mlp;
    const std::int64_t inner =
        mlp.moe ? std::max(mlp.moe->intermediate_size, mlp.moe->shared_intermediate_size) : mlp.intermediate_size;
    most = std::max(most, 6 * config.hidden_size + 2 * heads * attention.head_dim + 4 * inner);
  }
  return most;
}

std::size_t largest_layer_bytes(const Model& model) {
  std::vector<std::size_t> bytes(model.config.layers.size());
  for (const ParameterSpec& spec : model.weights.specs()) {
    if (spec.layer < 0) continue;
    std::size_t own = sizeof(float);
    for (const std::int64_t size : spec.shape) own *= static_cast<std::size_t>(size);
    bytes[static_cast<std::size_t>(spec.layer)] += own;
  }
  return *std::max_element(bytes.begin(), bytes.end());
}

}  // namespace

std::unique_ptr<Model> open_layerwise(const std::string& path) {
  const Checkpoint checkpoint = open_checkpoint(path);
  LoadedConfig loaded = load_config(checkpoint);
  DecoderWeights weights = load_weights(checkpoint, loaded, at::kFloat);
  return std::make_unique<Model>(*loaded.architecture, std::move(loaded.config), std::move(weights),
                                 automatic_type(checkpoint), path, Numerics::fast);
}

DenseLayer::DenseLayer(DecoderWeights& weights, std::int64_t layer) {
  for (const ParameterSpec& spec : weights.specs()) {
    if (spec.layer != layer) continue;
    Weight& weight = weights.weight(spec);
    at::Tensor dense = dequantized(weight, at::kFloat);
    if (weight.is_mapped()) dense = dense.clone();
    kept_.emplace_back(&weight, weight);
    const bool transposed = weight.handed_out_transposed();
    weight = Weight::dense(spec.name, transposed ? dense.transpose(-2, -1) : dense, transposed);
  }
}

DenseLayer::~DenseLayer() {
  for (auto& [place, weight] : kept_) {
    weight.release_file();
    *place = std::move(weight);
  }
}

LayerwiseRun::LayerwiseRun(const Model& model, const CalibrationData& data, std::size_t memory, std::size_t beside)
    : decoder_(model.decoder), tokens_(data.tokens()), length_(data.length()), hidden_(model.config.hidden_size) {
  const auto row = static_cast<std::size_t>(floats_of_row(model.config)) * sizeof(float);
  const auto sequence = row * static_cast<std::size_t>(data.length());
  const auto states = static_cast<std::size_t>(tokens_ * hidden_) * sizeof(float);
  const std::size_t fixed = states + largest_layer_bytes(model) + beside;
  const std::size_t budget = memory == 0 ? std::max(kCalibrationMemory, fixed + sequence) : memory;
  if (fixed + sequence > budget) {
    throw Error(ErrorKind::memory, "the calibration needs more memory",
                {.field = "memory",
                 .expected = "at least " + std::to_string(fixed + sequence) + " bytes for " + std::to_string(tokens_) +
                             " tokens",
                 .found = std::to_string(budget)});
  }
  const auto count = static_cast<std::int64_t>(data.sequences.size());
  const std::int64_t fit = std::min(count, static_cast<std::int64_t>((budget - fixed) / sequence));
  const std::int64_t parts = (count + fit - 1) / fit;
  for (std::int64_t part = 0; part < parts; ++part) {
    PackedBatch batch;
    for (std::int64_t i = part * count / parts; i < (part + 1) * count / parts; ++i) {
      batch.add(data.sequences[static_cast<std::size_t>(i)], 0);
    }
    const auto rows = static_cast<std::int64_t>(batch.ids.size());
    passes_.emplace_back(LayerwisePass(model.decoder, std::move(batch)), rows);
  }
}

template <typename Body>
void LayerwiseRun::for_parts(Body&& body) {
  std::int64_t first = 0;
  for (auto& [pass, rows] : passes_) {
    body(pass, states_.narrow(0, first, rows));
    first += rows;
  }
}

void LayerwiseRun::embed() {
  states_ = empty_tensor({tokens_, hidden_}, at::kFloat);
  for_parts([](LayerwisePass& pass, const at::Tensor& x) { x.copy_(pass.embeddings()); });
}

std::pair<LayerwisePass, at::Tensor> LayerwiseRun::sample(std::int64_t tokens) const {
  const std::int64_t all = tokens_ / length_;
  const std::int64_t count = std::clamp<std::int64_t>(tokens / length_, 1, all);
  PackedBatch batch;
  std::vector<at::Tensor> states;
  for (std::int64_t i = 0; i < count; ++i) {
    batch.add(std::vector<std::int64_t>(static_cast<std::size_t>(length_)), 0);
    states.push_back(states_.narrow(0, i * all / count * length_, length_));
  }
  return {LayerwisePass(decoder_, std::move(batch)), concatenate(states, 0)};
}

void LayerwiseRun::see(std::int64_t layer, const LinearObserver& observer) {
  for_parts([&](LayerwisePass& pass, const at::Tensor& x) {
    try {
      pass.layer(layer, x, observer);
    } catch (const EndOfPart&) {
    }
  });
}

void LayerwiseRun::advance(std::int64_t layer, const LinearObserver& observer) {
  for_parts([&](LayerwisePass& pass, const at::Tensor& x) { x.copy_(pass.layer(layer, x, observer)); });
}

}  // namespace powerhouse
