#include "calibration/measured_divergence.h"

#include <algorithm>

#include "calibration/calibration_data.h"
#include "calibration/divergence_sums.h"
#include "calibration/layerwise.h"
#include "formats/checkpoint.h"
#include "model/loader.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kSequences = 16;
constexpr std::int64_t kLength = 512;

PackedBatch batch_of(const std::vector<std::int64_t>& sequence) {
  PackedBatch batch;
  batch.add(sequence, 0);
  for (std::size_t row = 0; row < sequence.size(); ++row) batch.logits_rows.push_back(static_cast<std::int64_t>(row));
  return batch;
}

CalibrationData chunks_of(const ModelConfig& config, const Tokenizer& tokenizer, const std::string& text) {
  const std::int64_t length = std::min(kLength, longest_sequence(config));
  const std::vector<std::int64_t> ids = tokenizer.encode(text);
  const std::int64_t count = std::min(kSequences, static_cast<std::int64_t>(ids.size()) / length);
  if (count < 1) {
    throw Error(ErrorKind::range, "the text is too short to measure a divergence on",
                {.field = "divergence_text",
                 .expected = "at least " + std::to_string(length) + " tokens",
                 .found = std::to_string(ids.size())});
  }
  CalibrationData data;
  for (std::int64_t i = 0; i < count; ++i) {
    data.sequences.emplace_back(ids.begin() + i * length, ids.begin() + (i + 1) * length);
  }
  for (const auto& sequence : data.sequences) check_ids(config, sequence);
  return data;
}

// What the head reads, of all sequences.
at::Tensor last_states(Model& model, const CalibrationData& data, std::size_t memory, const std::stop_token& cancel) {
  LayerwiseRun run(model, data, memory, 0);
  run.embed();
  for (std::int64_t layer = 0; layer < static_cast<std::int64_t>(model.config.layers.size()); ++layer) {
    if (cancel.stop_requested()) throw Error(ErrorKind::cancelled, "measuring the divergence was cancelled");
    const DenseLayer dense(model.weights, layer);
    run.advance(layer);
  }
  return run.states();
}

}  // namespace

void check_divergence_text(const std::string& source, const std::string& text, const std::string& calibration_text) {
  const Tokenizer tokenizer = Tokenizer::from_pretrained(source);
  chunks_of(load_config(open_checkpoint(source)).config, tokenizer, text);
  if (!calibration_text.empty()) check_apart(tokenizer, tokenizer.encode(calibration_text), text, "divergence_text");
}

LogitDivergence measured_divergence(const std::string& source, const std::string& quantized, const std::string& text,
                                    std::size_t memory, const std::stop_token& cancel) {
  const std::unique_ptr<Model> reference = open_layerwise(source);
  const std::unique_ptr<Model> other = open_layerwise(quantized);
  if (reference->config.vocab_size != other->config.vocab_size) {
    throw Error(ErrorKind::usage, "vocabularies of different sizes",
                {.field = "vocab_size",
                 .expected = std::to_string(reference->config.vocab_size),
                 .found = std::to_string(other->config.vocab_size)});
  }
  const CalibrationData data = chunks_of(reference->config, Tokenizer::from_pretrained(source), text);
  const at::Tensor ours = last_states(*reference, data, memory, cancel);
  const at::Tensor theirs = last_states(*other, data, memory, cancel);
  const DenseLayer head(reference->weights, -1);
  const DenseLayer other_head(other->weights, -1);
  DivergenceSums sums;
  for (std::size_t i = 0; i < data.sequences.size(); ++i) {
    const std::int64_t first = static_cast<std::int64_t>(i) * data.length();
    LayerwisePass pass(reference->decoder, batch_of(data.sequences[i]));
    LayerwisePass other_pass(other->decoder, batch_of(data.sequences[i]));
    sums.add(pass.logits(ours.narrow(0, first, data.length())),
             other_pass.logits(theirs.narrow(0, first, data.length())));
  }
  return {.tokens = sums.tokens,
          .mean = std::max(0.0, sums.mean()),
          .same_top = static_cast<double>(sums.same) / static_cast<double>(sums.tokens)};
}

}  // namespace powerhouse
