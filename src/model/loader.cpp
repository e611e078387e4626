#include "model/loader.h"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "formats/bitsandbytes.h"
#include "formats/quantized_folder.h"
#include "powerhouse/error.h"
#include "powerhouse/log.h"
#include "support/shape_text.h"

namespace powerhouse {
namespace {

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

// bitsandbytes and packings have rows of outputs where the family has [in, out].
bool has_rows_of_outputs(const TensorView& view) { return view.rows != nullptr || is_bitsandbytes(view.format); }

// [1, n] and [n] are the same vector.
std::vector<std::int64_t> without_leading_ones(std::vector<std::int64_t> shape) {
  while (shape.size() > 1 && shape.front() == 1) shape.erase(shape.begin());
  return shape;
}

class Finder {
 public:
  explicit Finder(const Checkpoint& checkpoint) : gguf_(checkpoint.kind == CheckpointKind::gguf) {
    for (const TensorView& view : checkpoint.tensors) by_name_.emplace(view.name, &view);
  }

  /// The first spelling that the file has, or nothing; what it has of a part-wise one is in use all the same. A tensor
  /// of the wrong shape is Error{format} naming it.
  FoundWeight find(const ParameterSpec& spec) {
    for (const Assembly& assembly : gguf_ ? spec.gguf : spec.hf) {
      FoundWeight found{&assembly, {}};
      for (const std::string& name : assembly.names) {
        const TensorView* view = look_up(name);
        if (view == nullptr) continue;
        check_shape(*view, assembly);
        used_.insert(view->name);
        found.views.push_back(view);
      }
      // A file that has some of the parts means this spelling: what is missing is told by its name.
      if (found.views.empty()) continue;
      if (found.views.size() < assembly.names.size()) return {};
      return found;
    }
    return {};
  }

  /// The names to miss: of the spelling that the file seems to have.
  std::vector<std::string> missing_names(const ParameterSpec& spec) const {
    const std::vector<Assembly>& assemblies = gguf_ ? spec.gguf : spec.hf;
    for (const Assembly& assembly : assemblies) {
      std::vector<std::string> missing;
      for (const std::string& name : assembly.names) {
        if (look_up(name) == nullptr) missing.push_back(name);
      }
      if (missing.size() < assembly.names.size()) return missing;
    }
    return assemblies.empty() ? std::vector{spec.name} : assemblies.front().names;
  }

  bool used(const std::string& name) const { return used_.contains(name); }

 private:
  // Checkpoints of the bare decoder leave out the first part of the name ("transformer.h.0..." as "h.0...").
  const TensorView* look_up(std::string_view name) const {
    auto found = by_name_.find(name);
    if (found == by_name_.end() && !gguf_) found = by_name_.find(name.substr(name.find('.') + 1));
    return found == by_name_.end() ? nullptr : found->second;
  }

  static void check_shape(const TensorView& view, const Assembly& assembly) {
    std::vector<std::int64_t> shape = assembly.shape;
    if (assembly.transposed && has_rows_of_outputs(view)) std::swap(shape[shape.size() - 2], shape.back());
    if (without_leading_ones(view.shape) == without_leading_ones(shape)) return;
    throw Error(ErrorKind::format, "wrong shape",
                {.file = view.file->path(),
                 .field = view.name,
                 .expected = shape_text(shape),
                 .found = shape_text(view.shape)});
  }

  bool gguf_;
  std::unordered_map<std::string_view, const TensorView*> by_name_;
  std::unordered_set<std::string_view> used_;
};

// Tensors of a GGUF file that are configuration.
bool is_factor_tensor(std::string_view name) {
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" || name == "rope_factors_short.weight";
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

bool is_head(const Architecture& architecture, std::string_view name) {
  for (const WeightName& row : architecture.weights) {
    if (row.role == Role::lm_head && name == std::string(row.hf_name) + ".weight") return true;
  }
  return false;
}

// The vocabulary's head says nothing to a classifier, nor does its bias.
bool is_left_behind(const LoadedConfig& loaded, std::string_view name, bool gguf) {
  if (!loaded.config.sequence_head) return false;
  if (gguf) return name == "output.weight" || name == "output.bias";
  for (const WeightName& row : loaded.architecture->weights) {
    if (row.role == Role::lm_head && (name.substr(0, name.rfind('.')) == row.hf_name)) return true;
  }
  return false;
}

bool is_fresh(const LoadedConfig& loaded, const ParameterSpec& spec) {
  return spec.role == Role::score && loaded.fresh_head.defined();
}

// Whether the folder holds a head that is not the embedding matrix over again.
bool has_own_head(const Checkpoint& checkpoint, const Architecture& architecture) {
  const TensorView* head = find_matrix(checkpoint, architecture, Role::lm_head);
  const TensorView* embedding = find_matrix(checkpoint, architecture, Role::embed_tokens);
  if (head == nullptr || embedding == nullptr) return false;
  if (head->rows || embedding->rows) return true;
  const bool same = head->format == embedding->format && head->bytes == embedding->bytes &&
                    std::equal(head->data, head->data + head->bytes, embedding->data);
  head->release();
  return !same;
}

}  // namespace

LoadedConfig load_config(const Checkpoint& checkpoint) {
  const std::string file = checkpoint.kind == CheckpointKind::gguf ? checkpoint.path : checkpoint.path + "/config.json";
  try {
    LoadedConfig loaded{};
    if (checkpoint.kind == CheckpointKind::gguf) {
      loaded.architecture = &find_architecture(*checkpoint.gguf);
      loaded.config = read_gguf_config(*loaded.architecture, *checkpoint.gguf);
    } else {
      loaded.architecture = &find_architecture(checkpoint.config);
      loaded.config = read_hf_config(*loaded.architecture, checkpoint.config);
      // As transformers 5 does: a head that differs is used, whatever the config says.
      if (loaded.config.tie_word_embeddings && has_own_head(checkpoint, *loaded.architecture)) {
        log(LogLevel::warning, checkpoint.path + ": the head is not tied: it differs from the embeddings");
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

TensorMatch match_tensors(const Checkpoint& checkpoint, const LoadedConfig& loaded,
                          const std::vector<ParameterSpec>& specs) {
  const bool gguf = checkpoint.kind == CheckpointKind::gguf;
  Finder finder(checkpoint);
  TensorMatch match;
  for (const ParameterSpec& spec : specs) {
    match.found.push_back(finder.find(spec));
    if (match.found.back().assembly != nullptr || is_fresh(loaded, spec)) continue;
    for (std::string& name : finder.missing_names(spec)) match.missing.push_back(std::move(name));
  }
  for (const TensorView& view : checkpoint.tensors) {
    const bool known = finder.used(view.name) ||
                       (loaded.config.tie_word_embeddings && is_head(*loaded.architecture, view.name)) ||
                       is_left_behind(loaded, view.name, gguf) ||
                       (gguf ? is_factor_tensor(view.name) : is_ignored(*loaded.architecture, view.name));
    if (!known) match.unused.push_back(view.name);
  }
  return match;
}

namespace {

// A file of torch.save may hold two names in one storage. Weights that lie there together get memory of their own, so
// that what is written to one does not reach the other.
void part(DecoderWeights& weights, const TensorMatch& match) {
  std::vector<std::pair<const TensorView*, Weight*>> mapped;
  for (std::size_t i = 0; i < weights.specs().size(); ++i) {
    Weight& weight = weights.weight(weights.specs()[i]);
    if (weight.is_mapped()) mapped.emplace_back(match.found[i].views.front(), &weight);
  }
  std::sort(mapped.begin(), mapped.end(),
            [](const auto& a, const auto& b) { return std::less<>()(a.first->data, b.first->data); });
  const std::byte* end = nullptr;
  for (const auto& [view, weight] : mapped) {
    if (std::less<>()(view->data, end)) weight->own();
    end = std::max(end, view->data + view->bytes, std::less<>());
  }
}

}  // namespace

TensorMatch match_all(const Checkpoint& checkpoint, const LoadedConfig& loaded,
                      const std::vector<ParameterSpec>& specs) {
  // Codes (FP8, INT8 ...) whose scales stand beside them under names of their own: as plain numbers they are noise.
  const Json quantization =
      checkpoint.kind == CheckpointKind::gguf ? Json() : quantization_of(checkpoint.config, checkpoint.path);
  const std::string method = quantization.string_or("quant_method", "");
  if (quantization.is_object() && checkpoint.quantization.is_null() && method != "bitsandbytes") {
    throw Error(ErrorKind::unsupported, "folders of this quantization are not read",
                {.file = checkpoint.path + "/config.json",
                 .field = "quantization_config.quant_method",
                 .expected = "bitsandbytes, gptq, awq, compressed-tensors, exl2 or hqq",
                 .found = method});
  }
  TensorMatch match = match_tensors(checkpoint, loaded, specs);
  if (!match.missing.empty()) {
    throw Error(ErrorKind::format, "tensors are missing", {.file = checkpoint.path, .field = name_some(match.missing)});
  }
  // A checkpoint with biases may carry what the config switched off.
  if (!match.unused.empty()) log(LogLevel::warning, checkpoint.path + ": unused tensors: " + name_some(match.unused));
  return match;
}

StoredWeight stored_weight(const ParameterSpec& spec, const FoundWeight& found) {
  StoredWeight stored{.shape = spec.shape,
                      .place = found.assembly->place,
                      .transposed = found.assembly->transposed && !has_rows_of_outputs(*found.views.front()),
                      .offset = found.assembly->offset,
                      .by_element = found.assembly->by_element};
  if (spec.transposed) std::swap(stored.shape[stored.shape.size() - 2], stored.shape.back());
  for (const TensorView* view : found.views) stored.views.push_back(*view);
  return stored;
}

DecoderWeights load_weights(const Checkpoint& checkpoint, const LoadedConfig& loaded, at::ScalarType compute_type) {
  DecoderWeights weights(parameter_specs(*loaded.architecture, loaded.config), loaded.config);
  const TensorMatch match = match_all(checkpoint, loaded, weights.specs());
  for (std::size_t i = 0; i < weights.specs().size(); ++i) {
    const ParameterSpec& spec = weights.specs()[i];
    const FoundWeight& found = match.found[i];
    Weight& weight = weights.weight(spec);
    weight = found.assembly == nullptr
                 ? Weight::dense(spec.name, loaded.fresh_head.to(compute_type), false)
                 : Weight::from_file(spec.name, stored_weight(spec, found), spec.transposed, compute_type);
  }
  part(weights, match);
  return weights;
}

at::ScalarType automatic_type(const Checkpoint& checkpoint) {
  if (checkpoint.tensors.empty()) return at::kBFloat16;
  for (const TensorView& view : checkpoint.tensors) {
    // Norms are float32 in files of every kind: matrices tell. Integers are masks, not weights.
    const bool integer = view.format >= BlockFormat::i64 && view.format <= BlockFormat::boolean;
    if (view.shape.size() > 1 && view.format != BlockFormat::f32 && !integer) return at::kBFloat16;
  }
  return at::kFloat;
}

}  // namespace powerhouse
