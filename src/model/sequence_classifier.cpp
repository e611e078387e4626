// A head over sequences: loaded or fresh, and the rows that it reads.
#include "powerhouse/sequence_classifier.h"

#include <cmath>

#include "formats/checkpoint.h"
#include "model/gguf_sequence_head.h"
#include "model/initialization.h"
#include "model/loader.h"
#include "model/numeric_check.h"
#include "model/rows_of_batch.h"
#include "model/sequence_head.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

std::optional<std::int64_t> padding_of(const Checkpoint& checkpoint) {
  if (checkpoint.gguf != nullptr) {
    return checkpoint.gguf->integer("tokenizer.ggml.padding_token_id");
  }
  const Json* id = checkpoint.config.get("pad_token_id");
  return id != nullptr && id->is_integer() ? std::optional(id->as_integer()) : std::nullopt;
}

// transformers looks for the first, then for OPT's.
double deviation_of(const Checkpoint& checkpoint) {
  return checkpoint.config.double_or("initializer_range", checkpoint.config.double_or("init_std", 0.02));
}

void add_fresh_head(const Checkpoint& checkpoint, LoadedConfig& loaded, const SequenceHeadOptions& options) {
  ModelConfig& config = loaded.config;
  if (config.sequence_head || (checkpoint.gguf != nullptr && read_gguf_sequence_head(*checkpoint.gguf))) {
    throw Error(ErrorKind::usage, "the checkpoint has a head over sequences",
                {.file = checkpoint.path, .field = "architectures", .expected = "SequenceClassifier::from_pretrained"});
  }
  SequenceHead head{.labels = options.labels, .problem_type = options.problem_type};
  if (head.labels.empty()) head.labels = unnamed_labels(options.num_labels);
  head.pad_token_id = options.pad_token_id;
  if (!head.pad_token_id) {
    const auto pad = padding_of(checkpoint);
    if (pad && *pad >= 0 && *pad < config.vocab_size) head.pad_token_id = pad;
  }
  config.sequence_head = std::move(head);
  const double deviation = options.initializer_range.value_or(deviation_of(checkpoint));
  if (!(deviation >= 0 && std::isfinite(deviation))) {
    throw Error(ErrorKind::range, "no deviation",
                {.field = "initializer_range", .expected = "0 or more", .found = std::to_string(deviation)});
  }
  check_config(config);
  const std::vector<ParameterSpec> specs = parameter_specs(*loaded.architecture, config);
  loaded.fresh_head =
      initial_parameter(config, specs.back(), static_cast<std::uint32_t>(specs.size() - 1), deviation, options.seed);
}

// The last row of a document whose token is no padding; -1 where there is none.
std::int64_t last_text_row(const TokenBatch& batch, std::size_t document, const SequenceHead& head) {
  for (std::int64_t row = batch.cu_seqlens[document + 1] - 1; row >= batch.cu_seqlens[document]; --row) {
    if (batch.input_ids[static_cast<std::size_t>(row)] != head.pad_token_id) return row;
  }
  return -1;
}

// transformers takes the rightmost id that is not the padding's, and the first token where there is none.
std::vector<std::int64_t> rows_read(const TokenBatch& batch, const SequenceHead& head) {
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i + 1 < batch.cu_seqlens.size(); ++i) {
    const std::int64_t prefix = batch.prefixes.empty() ? -1 : batch.prefixes[i];
    const auto first = prefix >= 0 ? static_cast<std::size_t>(prefix) : i;  // where the text begins
    std::int64_t row = last_text_row(batch, i, head);
    if (row < 0 && first != i) row = last_text_row(batch, first, head);
    rows.push_back(row >= 0 ? row : batch.cu_seqlens[first]);
  }
  return rows;
}

at::Tensor scores_of(const CausalLM& model, const TokenBatch& batch, std::vector<std::int64_t> rows,
                     const ScoreOptions& options) {
  const CausalLM::Impl& impl = model.impl();
  const at::Tensor scores =
      with_hidden(impl, batch, std::move(rows), options, [&](const at::Tensor& hidden, const Arithmetic& arithmetic) {
        return impl.model->decoder.scores(hidden, arithmetic).to(at::kCPU);
      });
  if (!scores.requires_grad() && !all_finite(scores)) {
    throw Error(ErrorKind::numeric, "the head's numbers are not finite",
                {.file = impl.model->origin, .field = "score"});
  }
  return scores;
}

}  // namespace

void check_vocabulary_head(const ModelConfig& config) {
  if (!config.sequence_head) return;
  throw Error(ErrorKind::usage, "the model's head is one over sequences, not over the vocabulary",
              {.field = "model", .expected = "SequenceClassifier"});
}

SequenceClassifier SequenceClassifier::from_pretrained(const std::string& path, const LoadOptions& options) {
  return SequenceClassifier(CausalLM(load_impl(path, options, [&](const Checkpoint& checkpoint, LoadedConfig& loaded) {
    if (checkpoint.gguf != nullptr) loaded.config.sequence_head = read_gguf_sequence_head(*checkpoint.gguf);
    if (loaded.config.sequence_head) return check_config(loaded.config);
    throw Error(ErrorKind::usage, "the model has no head over sequences",
                {.file = path,
                 .field = "architectures",
                 .expected = loaded.architecture->hf_classifier.empty()
                                 ? "a class ...ForSequenceClassification"
                                 : std::string(loaded.architecture->hf_classifier) +
                                       ", or SequenceClassifier::from_causal_lm for a fresh one"});
  })));
}

SequenceClassifier SequenceClassifier::from_causal_lm(const std::string& path, const SequenceHeadOptions& head,
                                                      const LoadOptions& options) {
  return SequenceClassifier(CausalLM(load_impl(path, options, [&](const Checkpoint& checkpoint, LoadedConfig& loaded) {
    add_fresh_head(checkpoint, loaded, head);
  })));
}

const SequenceHead& SequenceClassifier::head() const { return *model_.config().sequence_head; }

at::Tensor SequenceClassifier::logits(const TokenBatch& batch, const ScoreOptions& options) const {
  check_batch(model_.config(), batch);
  return scores_of(model_, batch, rows_read(batch, head()), options);
}

at::Tensor SequenceClassifier::token_logits(const TokenBatch& batch, const ScoreOptions& options) const {
  check_batch(model_.config(), batch);
  std::vector<std::int64_t> rows(batch.input_ids.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int64_t>(i);
  return scores_of(model_, batch, std::move(rows), options);
}

void SequenceClassifier::save_pretrained(const std::string& path, const SaveOptions& options) const {
  model_.save_pretrained(path, options);
}

}  // namespace powerhouse
