// A model run layer by layer over calibration sequences: the hidden states of all of them in memory, the weights of one
// layer, and the model's file mapped. What is written to a layer's weights while they are here counts for the layers
// behind it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "calibration/calibration_data.h"
#include "model/causal_lm_impl.h"
#include "model/layerwise_pass.h"

namespace powerhouse {

/// What CalibrationOptions::memory is where nothing is said.
inline constexpr std::size_t kCalibrationMemory = std::size_t{6} << 30;

/// Opens a checkpoint of any kind; weights stay in the file until a DenseLayer reads them, in float32. `Model::type` is
/// what CausalLM would compute in, for files that are written.
std::unique_ptr<Model> open_layerwise(const std::string& path);

/// The parameters of one layer (-1: outside layers) as float32 tensors of their own, as long as it lives; then the
/// file's take their places again, and their pages are given back.
class DenseLayer {
 public:
  DenseLayer(DecoderWeights& weights, std::int64_t layer);
  DenseLayer(const DenseLayer&) = delete;
  DenseLayer& operator=(const DenseLayer&) = delete;
  ~DenseLayer();

 private:
  std::vector<std::pair<Weight*, Weight>> kept_;
};

class LayerwiseRun {
 public:
  /// `memory` as in CalibrationOptions; `beside` says how many bytes of it the caller needs for itself. The model must
  /// outlive the run.
  LayerwiseRun(const Model& model, const CalibrationData& data, std::size_t memory, std::size_t beside);

  /// The states become what the first layer reads.
  void embed();
  /// Or what an earlier run had, float32 [tokens, hidden].
  void restore(at::Tensor states) { states_ = std::move(states); }
  const at::Tensor& states() const { return states_; }

  /// Parts that the sequences go through a layer in.
  std::int64_t parts() const { return static_cast<std::int64_t>(passes_.size()); }
  /// All sequences go through a layer, whose weights are in a DenseLayer. The states stay as they are; the observer may
  /// end a part's way through the layer by throwing EndOfPart.
  void see(std::int64_t layer, const LinearObserver& observer);
  /// And become what the layer makes of them.
  void advance(std::int64_t layer, const LinearObserver& observer = {});

  struct EndOfPart {};

  /// A pass over some of the sequences, at even distances, of about so many tokens and one sequence at least; and a
  /// copy of their states. It knows nothing of their embeddings.
  std::pair<LayerwisePass, at::Tensor> sample(std::int64_t tokens) const;

 private:
  // body(pass, states of its rows) for each part.
  template <typename Body>
  void for_parts(Body&& body);

  const Decoder& decoder_;
  std::int64_t tokens_, length_, hidden_;
  std::vector<std::pair<LayerwisePass, std::int64_t>> passes_;  // and their rows
  at::Tensor states_;
};

}  // namespace powerhouse
