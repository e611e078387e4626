#include "model/loader.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "powerhouse/error.h"
#include "powerhouse/log.h"

namespace powerhouse {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

// The first few names, so that an error stays one readable line.
std::string name_some(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 4;
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kShown; ++i) text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > kShown) text += " and " + std::to_string(names.size() - kShown) + " more";
  return text;
}

bool is_ignored(const Architecture& architecture, std::string_view name) {
  for (const std::string_view ending : architecture.ignored_hf) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

// Canonical row r = (head, half, i) stands in the file at (head, i, half).
RowMap row_map(const ParameterSpec& spec, bool gguf) {
  if (!gguf || spec.gguf_rows == GgufRows::same) return {};
  const std::int64_t head_dim = spec.shape[0] / spec.heads;
  return [head_dim](std::int64_t row) {
    const std::int64_t inside = row % head_dim;
    return row - inside + inside % (head_dim / 2) * 2 + inside / (head_dim / 2);
  };
}

// The matrix of a role in a Hugging Face folder; null where there is none.
const TensorView* find_matrix(const Checkpoint& checkpoint, const Architecture& architecture, Role role) {
  for (const WeightName& row : architecture.weights) {
    if (row.role != role) continue;
    const std::string name = std::string(row.hf_name) + ".weight";
    for (const TensorView& view : checkpoint.tensors) {
      if (view.name == name) return &view;
    }
  }
  return nullptr;
}

// Whether the folder holds a head that is not the embedding matrix over again.
bool has_own_head(const Checkpoint& checkpoint, const Architecture& architecture) {
  const TensorView* head = find_matrix(checkpoint, architecture, Role::lm_head);
  const TensorView* embedding = find_matrix(checkpoint, architecture, Role::embed_tokens);
  if (head == nullptr || embedding == nullptr) return false;
  const bool same = head->format == embedding->format && head->bytes == embedding->bytes &&
                    std::equal(head->data, head->data + head->bytes, embedding->data);
  head->file->release(head->data, head->bytes);
  return !same;
}

}  // namespace

LoadedConfig load_config(const Checkpoint& checkpoint) {
  const std::string file = checkpoint.kind == CheckpointKind::gguf ? checkpoint.path : checkpoint.path + "/config.json";
  try {
    LoadedConfig loaded{};
    if (checkpoint.kind == CheckpointKind::gguf) {
      loaded.architecture = &find_architecture(*checkpoint.gguf);
      loaded.config = loaded.architecture->from_gguf(*checkpoint.gguf);
    } else {
      loaded.architecture = &find_architecture(checkpoint.config);
      loaded.config = loaded.architecture->from_hf(checkpoint.config);
      // As transformers 5 does: a head that differs is used, whatever the config says.
      if (loaded.config.tie_word_embeddings && has_own_head(checkpoint, *loaded.architecture)) {
        log(LogLevel::warning, checkpoint.path + ": the head is not tied: lm_head.weight differs from the embeddings");
        loaded.config.tie_word_embeddings = false;
      }
      // generation_config.json overrules config.json on when to stop.
      if (const Json* ids = checkpoint.generation_config.get("eos_token_id")) {
        loaded.config.eos_token_ids.clear();
        if (ids->is_array()) {
          for (const Json& id : ids->as_array()) loaded.config.eos_token_ids.push_back(id.as_integer("eos_token_id"));
        } else {
          loaded.config.eos_token_ids.push_back(ids->as_integer("eos_token_id"));
        }
      }
    }
    check_config(loaded.config);
    return loaded;
  } catch (const Error& error) {
    throw error.in_file(file);
  }
}

TensorMatch match_tensors(const Checkpoint& checkpoint, const Architecture& architecture,
                          const std::vector<ParameterSpec>& specs) {
  const bool gguf = checkpoint.kind == CheckpointKind::gguf;
  std::unordered_map<std::string_view, const TensorView*> by_name;
  for (const TensorView& view : checkpoint.tensors) by_name.emplace(view.name, &view);
  std::unordered_set<std::string_view> used;
  TensorMatch match;
  for (const ParameterSpec& spec : specs) {
    const std::string& name = gguf ? spec.gguf_name : spec.hf_name;
    const auto found = by_name.find(name);
    if (found == by_name.end()) {
      match.found.push_back(nullptr);
      match.missing.push_back(name);
      continue;
    }
    const TensorView* view = found->second;
    if (view->shape != spec.shape) {
      throw Error(ErrorKind::format, "wrong shape",
                  {.file = view->file->path(),
                   .field = name,
                   .expected = shape_text(spec.shape),
                   .found = shape_text(view->shape)});
    }
    used.insert(found->first);
    match.found.push_back(view);
  }
  for (const TensorView& view : checkpoint.tensors) {
    const bool known =
        used.contains(view.name) || (gguf ? view.name == "rope_freqs.weight" : is_ignored(architecture, view.name));
    if (!known) match.unused.push_back(view.name);
  }
  return match;
}

DecoderWeights load_weights(const Checkpoint& checkpoint, const LoadedConfig& loaded, at::ScalarType compute_type) {
  const bool gguf = checkpoint.kind == CheckpointKind::gguf;
  // Codes (FP8, INT8 ...) whose scales stand beside them under names of their own: as plain numbers they are noise.
  if (const Json* quantization = checkpoint.config.get("quantization_config")) {
    throw Error(ErrorKind::unsupported, "quantized folders are not read",
                {.file = checkpoint.path + "/config.json",
                 .field = "quantization_config",
                 .found = quantization->string_or("quant_method", "")});
  }
  DecoderWeights weights(parameter_specs(*loaded.architecture, loaded.config), loaded.config.layers.size(),
                         loaded.config.tie_word_embeddings);
  const TensorMatch match = match_tensors(checkpoint, *loaded.architecture, weights.specs());
  if (!match.missing.empty()) {
    throw Error(ErrorKind::format, "tensors are missing", {.file = checkpoint.path, .field = name_some(match.missing)});
  }
  // A tied checkpoint may repeat its head; a biased one may carry what the config switched off. The first is harmless,
  // the second worth a word.
  std::vector<std::string> unused;
  for (const std::string& name : match.unused) {
    if (!(loaded.config.tie_word_embeddings && name == "lm_head.weight")) unused.push_back(name);
  }
  if (!unused.empty()) log(LogLevel::warning, checkpoint.path + ": unused tensors: " + name_some(unused));
  for (std::size_t i = 0; i < weights.specs().size(); ++i) {
    const ParameterSpec& spec = weights.specs()[i];
    Weight& weight = weights.weight(spec);
    weight = Weight::from_view(spec.hf_name, *match.found[i], row_map(spec, gguf), compute_type);
    weight.prepare(compute_type);
  }
  return weights;
}

at::ScalarType automatic_type(const Checkpoint& checkpoint) {
  for (const TensorView& view : checkpoint.tensors) {
    // Norms are float32 in files of every kind: matrices tell.
    if (view.shape.size() > 1 && view.format != BlockFormat::f32) return at::kBFloat16;
  }
  return at::kFloat;
}

}  // namespace powerhouse
