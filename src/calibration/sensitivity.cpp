#include "calibration/sensitivity.h"

#include <algorithm>
#include <optional>

#include "calibration/divergence_sums.h"
#include "calibration/layerwise.h"
#include "kernels/cpu/kernels.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "quantization/mixes.h"
#include "quantization/rows.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

// Coarse enough for an effect far above rounding, fine enough to be quadratic; its blocks divide all that quantizes.
constexpr BlockFormat kProbe = BlockFormat::q4_0;

bool probes(const ParameterSpec& spec) {
  if (spec.is_bias || spec.gguf.empty()) return false;
  const Assembly& assembly = spec.gguf.front();
  const std::int64_t columns = assembly.shape.back();
  return columns % block_info(kProbe).block_elements == 0 &&
         is_quantizable({.name = assembly.names.front(), .shape = assembly.shape});
}

// A weight's coarse copy in its place, as long as this lives.
class Coarse {
 public:
  Coarse(DecoderWeights& weights, const ParameterSpec& spec, const ImportanceMatrix& importance)
      : place_(weights.weight(spec)), kept_(place_) {
    const at::Tensor matrix = kept_.matrix().contiguous();
    const ImportanceEntry* const entry = importance.find(spec.gguf.front().names.front());
    const std::vector<float> weigh = entry != nullptr ? entry->importance() : std::vector<float>();
    at::Tensor coarse = empty_tensor(matrix.sizes(), at::kFloat);
    const std::int64_t columns = matrix.size(-1);
    const std::int64_t experts = matrix.dim() > 2 ? matrix.size(0) : 1;
    const std::int64_t rows = matrix.numel() / columns / experts;
    std::vector<std::byte> blocks(quantized_bytes(kProbe, rows, columns));
    for (std::int64_t expert = 0; expert < experts; ++expert) {
      const std::int64_t first = expert * rows * columns;
      RowsToQuantize part{
          .tensor = spec.name, .data = matrix.const_data_ptr<float>() + first, .rows = rows, .columns = columns};
      if (weigh.size() == static_cast<std::size_t>(experts * columns)) {
        part.importance =
            std::span(weigh).subspan(static_cast<std::size_t>(expert * columns), static_cast<std::size_t>(columns));
      }
      error_ += quantize_rows(kProbe, part, blocks);
      float* const to = coarse.mutable_data_ptr<float>() + first;
      parallel_for(rows * columns / block_info(kProbe).block_elements, 256, [&](std::int64_t begin, std::int64_t end) {
        cpu::kernels().dequantize({.format = kProbe, .source = blocks.data(), .destination = to}, begin, end);
      });
    }
    const bool transposed = kept_.handed_out_transposed();
    place_ = Weight::dense(spec.name, transposed ? coarse.transpose(-2, -1) : coarse, transposed);
  }
  Coarse(const Coarse&) = delete;
  Coarse& operator=(const Coarse&) = delete;
  ~Coarse() { place_ = std::move(kept_); }

  double weighted_error() const { return error_.weighted_error; }

 private:
  Weight& place_;
  Weight kept_;
  ErrorSums error_{};
};

PackedBatch batch_of(const TokenSequences& sequences) {
  PackedBatch batch;
  for (const auto& sequence : sequences) batch.add(sequence, 0);
  for (std::size_t row = 0; row < batch.ids.size(); ++row) batch.logits_rows.push_back(static_cast<std::int64_t>(row));
  return batch;
}

class Measurement {
 public:
  Measurement(Model& model, const TokenSequences& sequences, const ImportanceMatrix& importance,
              const std::function<void(double)>& on_progress, const std::stop_token& cancel)
      : model_(model),
        weights_(model.weights),
        importance_(importance),
        on_progress_(on_progress),
        cancel_(cancel),
        layers_(static_cast<std::int64_t>(model.config.layers.size())),
        pass_(model.decoder, batch_of(sequences)),
        outside_(weights_, -1) {}

  std::map<std::string, double> run() {
    states_.push_back(pass_.embeddings());
    for (std::int64_t layer = 0; layer < layers_; ++layer) {
      const DenseLayer dense(weights_, layer);
      states_.push_back(pass_.layer(layer, states_.back()));
    }
    reference_ = pass_.logits(states_.back());
    for (const ParameterSpec& spec : weights_.specs()) {
      if (spec.layer < 0 && probes(spec)) probe_outside(spec);
    }
    for (std::int64_t layer = 0; layer < layers_; ++layer) probe_layer(layer);
    return std::move(costs_);
  }

 private:
  void step(std::int64_t layers) {
    if (cancel_.stop_requested()) throw Error(ErrorKind::cancelled, "quantization was cancelled");
    done_ += layers;
    if (on_progress_) on_progress_(static_cast<double>(done_) / static_cast<double>(layers_ * (layers_ + 3) / 2));
  }

  void note(const ParameterSpec& spec, double error, const at::Tensor& logits) {
    double cost = 0;
    if (error > 0) {
      DivergenceSums sums;
      sums.add(reference_, logits);
      cost = sums.mean() / error;
    }
    for (const std::string& name : spec.gguf.front().names) costs_[name] = std::max(0.0, cost);
  }

  // States behind layer `from` on their way to the end; all of them pass a layer while its weights are here.
  void advance(std::vector<at::Tensor>& states, std::int64_t from) {
    for (std::int64_t layer = from; layer < layers_; ++layer) {
      const DenseLayer dense(weights_, layer);
      for (at::Tensor& x : states) x = pass_.layer(layer, x);
      step(1);
    }
  }

  void probe_outside(const ParameterSpec& spec) {
    const bool reads_ids = spec.role == Role::embed_tokens;
    if (!reads_ids && spec.role != Role::lm_head) return;
    std::optional<Coarse> coarse(std::in_place, weights_, spec, importance_);
    const double error = coarse->weighted_error();
    std::vector<at::Tensor> states = {reads_ids ? pass_.embeddings() : states_.back()};
    if (reads_ids) advance(states, 0);
    note(spec, error, pass_.logits(states.front()));
  }

  void probe_layer(std::int64_t layer) {
    std::vector<const ParameterSpec*> specs;
    std::vector<double> errors;
    std::vector<at::Tensor> states;
    {
      const DenseLayer dense(weights_, layer);
      for (const ParameterSpec& spec : weights_.specs()) {
        if (spec.layer != layer || !probes(spec)) continue;
        const Coarse coarse(weights_, spec, importance_);
        specs.push_back(&spec);
        errors.push_back(coarse.weighted_error());
        states.push_back(pass_.layer(layer, states_[static_cast<std::size_t>(layer)]));
      }
      step(1);
    }
    advance(states, layer + 1);
    for (std::size_t i = 0; i < specs.size(); ++i) note(*specs[i], errors[i], pass_.logits(states[i]));
  }

  Model& model_;
  DecoderWeights& weights_;
  const ImportanceMatrix& importance_;
  const std::function<void(double)>& on_progress_;
  const std::stop_token& cancel_;
  std::int64_t layers_;
  LayerwisePass pass_;
  DenseLayer outside_;
  std::vector<at::Tensor> states_{};  // what each layer reads, and the head
  at::Tensor reference_{};            // logits of the model as it is
  std::map<std::string, double> costs_{};
  std::int64_t done_ = 0;
};

}  // namespace

std::map<std::string, double> divergence_per_error(const std::string& path, const TokenSequences& sequences,
                                                   const ImportanceMatrix& importance,
                                                   const std::function<void(double share)>& on_progress,
                                                   const std::stop_token& cancel) {
  const std::unique_ptr<Model> model = open_layerwise(path);
  for (const auto& sequence : sequences) check_ids(model->config, sequence);
  return Measurement(*model, sequences, importance, on_progress, cancel).run();
}

}  // namespace powerhouse
