// A quantized folder in the making. Each finished layer is a file in `<output>.partial`, beside the hidden states that
// the next one begins with; a run that ended early goes on behind the last layer that is whole. At the end the files
// become a folder, which then gets its name.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "formats/grouped_codes.h"
#include "formats/safetensors.h"
#include "model/causal_lm_impl.h"
#include "powerhouse/calibration.h"
#include "support/folder_lock.h"
#include "support/json.h"

namespace powerhouse {

/// `output` without slashes at its end. Error{usage} where it is empty, or there and not empty.
std::string free_output(std::string output);
/// Removes what an earlier run left beside `output`. Error{usage} where one is still at it, Error{io}.
void forget_unfinished(const std::string& output);
/// A finished folder gets its name. Error{io}.
void give_name(const std::string& folder, const std::string& output);

class QuantizedFolder {
 public:
  /// `run` says what is made: model, text and options. Error{usage} where `output` is there and not empty, the partial
  /// folder is of another run, or another process is at it.
  QuantizedFolder(std::string output, Json run);
  QuantizedFolder(const QuantizedFolder&) = delete;
  QuantizedFolder& operator=(const QuantizedFolder&) = delete;
  /// Leaves no partial folder with nothing in it.
  ~QuantizedFolder();

  std::int64_t layers_done() const { return layers_done_; }
  const std::vector<LinearReport>& reports() const { return reports_; }
  /// float32 [tokens, hidden], what the next layer reads; undefined before the first.
  at::Tensor states() const;

  /// Error{cancelled} that says how many of `total` layers are kept, where a stop was requested.
  void heed(const std::stop_token& stop, std::int64_t total) const;
  /// A layer is done: its tensors, what it reports, and what it made (undefined of methods that run no text).
  void add_layer(const std::vector<TensorSource>& tensors, const std::vector<LinearReport>& reports,
                 const at::Tensor& states);
  /// All layers are: writes weights, those outside layers among them, `config`, and tokenizer, and gives the folder its
  /// name.
  void finish(const Model& model, const Json& config);

 private:
  std::string layer_path(std::int64_t layer) const;
  std::string states_path(std::int64_t layers) const;

  std::string output_, partial_;
  Json run_;
  FolderLock lock_;
  std::int64_t layers_done_ = 0;
  std::vector<LinearReport> reports_;
};

/// What parameters of a layer (-1: outside) are in a folder's files, in `Model::type`, but for those of `quantized`
/// modules. Read when they are written.
std::vector<TensorSource> plain_sources(const Model& model, std::int64_t layer,
                                        const std::vector<const ParameterSpec*>& quantized);

/// A tensor that is packed already.
TensorSource source_of(PackedTensor tensor);

}  // namespace powerhouse
