#include "model/gguf_saver.h"

#include <cmath>
#include <filesystem>

#include "formats/checkpoint.h"
#include "formats/gguf_writer.h"
#include "model/gguf_config.h"
#include "model/hf_config.h"
#include "model/llama3_factors.h"
#include "model/loader.h"
#include "model/saver.h"
#include "model/tokenizer_files.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "text/gguf_tokenizer_writer.h"

namespace powerhouse {
namespace {

constexpr std::uint32_t kQuantizationVersion = 2;

// llama.cpp's llama_ftype: what most tensors are.
std::uint32_t file_type(at::ScalarType type) {
  switch (to_dtype(type)) {
    case Dtype::f16: return 1;
    case Dtype::bf16: return 32;
    default: return 0;
  }
}

bool stays_float32(const ParameterSpec& spec, const Assembly& assembly) {
  if (spec.is_bias) return true;
  switch (spec.role) {
    case Role::router:
    case Role::shared_expert_gate:
    case Role::position_embeddings:
    case Role::q_norm:
    case Role::k_norm: return true;
    default: return assembly.shape.size() == 1;
  }
}

std::vector<TensorSource> tensor_sources(const Model& model) {
  std::vector<TensorSource> sources;
  for (const ParameterSpec& spec : model.weights.specs()) {
    if (spec.gguf.empty()) GgufConfig::refuse_unless(false, spec.name);
    const Assembly& assembly = spec.gguf.front();
    const at::ScalarType type = stays_float32(spec, assembly) ? at::kFloat : model.type;
    const std::vector<std::int64_t>& shape = assembly.shape;
    std::size_t bytes = c10::elementSize(type);
    for (const std::int64_t size : shape) bytes *= static_cast<std::size_t>(size);
    for (std::size_t part = 0; part < assembly.names.size(); ++part) {
      sources.push_back(
          {.name = assembly.names[part],
           .format = to_block_format(type),
           .shape = shape,
           .bytes = bytes,
           .write = [matrix = model.weights.weight(spec).matrix().detach(), &assembly, part, type](const auto& sink) {
             at::Tensor tensor = stored_part(matrix, assembly, static_cast<std::int64_t>(part)).to(type);
             if (assembly.offset != 0.0f) tensor = tensor.add(assembly.offset);
             sink(tensor.const_data_ptr(), tensor.nbytes());
           }});
    }
  }
  return sources;
}

void check_graph(const GraphDemands& graph, const ModelConfig& config) {
  const auto demand = [](Demand wanted, bool found, std::string_view field) {
    GgufConfig::refuse_unless(wanted == Demand::any || found == (wanted == Demand::yes), field);
  };
  demand(graph.tied_head, config.tie_word_embeddings, "tie_word_embeddings");
  for (const Block& block : config.layers) {
    const Attention& attention = block.attention;
    demand(graph.qkv_bias, attention.qkv_bias, "qkv_bias");
    demand(graph.output_bias, attention.output_bias, "output_bias");
    demand(graph.mlp_bias, block.mlp.bias, "mlp_bias");
    const bool fills = attention.num_heads * attention.head_dim == config.hidden_size;
    GgufConfig::refuse_unless(fills || !graph.heads_fill_hidden, "head_dim");
  }
}

std::vector<GgufEntry> other_tokenizer(const Model& model) {
  if (model.origin.empty() || std::filesystem::is_directory(model.origin))
    return {{"tokenizer.ggml.model", std::string("none")}};
  return copy_entries(*open_checkpoint(model.origin).gguf, "tokenizer.");
}

// A config as GGUF can say it: the same meaning in other words.
ModelConfig as_gguf_says(ModelConfig config, const Architecture& architecture) {
  config.architecture = architecture.gguf_names.front();
  config.bos_token_id.reset();
  config.eos_token_ids.clear();
  // Through decimals: GCC 12 leaves out the narrowing of two doubles side by side, from -O2 on.
  const auto rounded = [](double value) { return shortest(static_cast<float>(value)); };
  for (Block& block : config.layers) {
    Rope& rope = block.rope;
    if (block.position != PositionKind::rope) rope = {};
    if (rope.scaling == RopeScaling::llama3) {
      rope = {.layout = rope.layout,
              .theta = rope.theta,
              .rotary_dim = rope.rotary_dim,
              .frequency_factors = llama3_divisors(rope)};
    }
    rope.theta = rounded(rope.theta);
    rope.factor = rope.scaling == RopeScaling::longrope ? 1.0 : rounded(rope.factor);
    rope.attention_factor = static_cast<double>(std::round(rope.attention_factor * 1e5) / 1e5);
    if (block.position != PositionKind::alibi) block.alibi = {};
    const auto usual = 1.0f / std::sqrt(static_cast<float>(block.attention.head_dim));
    if (block.attention.scale && std::abs(*block.attention.scale - usual) < 1e-6f * usual)
      block.attention.scale.reset();
    // How a checkpoint lays rows out is its own affair.
    block.attention.qkv = QkvLayout::separate;
    if (block.mlp.moe) block.mlp.intermediate_size = 0;
  }
  return config;
}

void check_written(const Model& model, const GgufFile& file) {
  const Architecture& architecture = find_architecture(file);
  const ModelConfig wanted = as_gguf_says(model.config, *model.architecture);
  const ModelConfig written = as_gguf_says(read_gguf_config(architecture, file), architecture);
  if (written == wanted) return;
  throw Error(ErrorKind::unsupported, "llama.cpp's file of this family can't say what the model does",
              {.field = std::string(model.architecture->name), .expected = first_difference(wanted, written)});
}

}  // namespace

void save_gguf(const Model& model, const std::string& path) {
  const Architecture& architecture = *model.architecture;
  if (architecture.gguf == nullptr) {
    throw Error(ErrorKind::unsupported,
                architecture.gguf_names.empty() ? "llama.cpp has no graph for this family, so there is no GGUF of it"
                                                : "GGUF files of this family are not built",
                {.field = "architecture", .found = std::string(architecture.name)});
  }
  if (model.config.sequence_head) {
    throw Error(ErrorKind::unsupported, "GGUF files of heads over sequences are not built",
                {.file = path, .field = "score.weight", .expected = "a folder"});
  }
  const std::string name(architecture.gguf_names.front());
  check_graph(architecture.graph, model.config);
  ModelConfig config = model.config;
  GgufConfig io(name);
  architecture.gguf(io, config);
  std::vector<GgufEntry> metadata = {{"general.architecture", name},
                                     {"general.type", std::string("model")},
                                     {"general.name", std::filesystem::path(path).stem().string()},
                                     {"general.file_type", file_type(model.type)},
                                     {"general.quantization_version", kQuantizationVersion}};
  metadata.insert(metadata.end(), io.entries().begin(), io.entries().end());
  std::optional<GgufTokenizer> of_folder;
  if (has_folder_tokenizer(model.origin)) of_folder.emplace(model.origin, model.config.vocab_size);
  const std::vector<GgufEntry> tokenizer = of_folder ? of_folder->entries() : other_tokenizer(model);
  metadata.insert(metadata.end(), tokenizer.begin(), tokenizer.end());

  std::vector<TensorSource> tensors;
  for (const auto& [tensor, values] : io.tensors()) {
    tensors.push_back(
        {.name = tensor,
         .format = BlockFormat::f32,
         .shape = {static_cast<std::int64_t>(values.size())},
         .bytes = values.size() * sizeof(float),
         .write = [values = values](const auto& sink) { sink(values.data(), values.size() * sizeof(float)); }});
  }
  const std::vector<TensorSource> weights = tensor_sources(model);
  tensors.insert(tensors.end(), weights.begin(), weights.end());
  write_gguf(path, metadata, tensors, [&](const std::string& written) {
    const auto file = GgufFile::open(written);
    if (of_folder) of_folder->check(*file);
    check_written(model, *file);
  });
}

}  // namespace powerhouse
