// Checkpoint: a model's files as they lie on disk, GGUF or Hugging Face folder, opened but not interpreted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/gguf_reader.h"
#include "support/json.h"

namespace powerhouse {

enum class CheckpointKind { gguf, hugging_face };

struct Checkpoint {
  CheckpointKind kind = CheckpointKind::gguf;
  std::string path;
  std::shared_ptr<const GgufFile> gguf;  // kind gguf
  Json config;                           // kind hugging_face: config.json
  Json quantization;                     // of a folder with packed weights that are read; else null
  Json generation_config;                // generation_config.json, null where absent
  std::vector<TensorView> tensors;       // empty unless asked for
  std::vector<std::string> missing;      // files of weights that are not there, by their names
};

/// Opens a GGUF file, or a folder with config.json. `with_tensors` false leaves the weights alone, so that a tokenizer
/// loads from a folder without any. Throws Error{not_found} for a missing path and for a folder without config.json.
Checkpoint open_checkpoint(const std::string& path, bool with_tensors = true);

/// The same where files of weights may be missing: what is there, and the names of those that are not.
Checkpoint open_incomplete_checkpoint(const std::string& path);

/// Whether `path` is a folder, or else a GGUF file. Throws Error{not_found} or Error{io}.
CheckpointKind checkpoint_kind(const std::string& path);

}  // namespace powerhouse
