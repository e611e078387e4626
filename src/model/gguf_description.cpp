#include "model/gguf_description.h"

#include <cmath>
#include <filesystem>

#include "formats/checkpoint.h"
#include "model/gguf_config.h"
#include "model/hf_config.h"
#include "model/llama3_factors.h"
#include "model/loader.h"
#include "model/tokenizer_files.h"
#include "powerhouse/error.h"
#include "text/gguf_tokenizer_writer.h"

namespace powerhouse {
namespace {

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

std::vector<GgufEntry> other_tokenizer(const std::string& origin) {
  if (origin.empty() || std::filesystem::is_directory(origin)) return {{"tokenizer.ggml.model", std::string("none")}};
  return copy_entries(*open_checkpoint(origin).gguf, "tokenizer.");
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

void check_written(const Architecture& meant, const ModelConfig& config, const GgufFile& file) {
  const Architecture& architecture = find_architecture(file);
  const ModelConfig wanted = as_gguf_says(config, meant);
  const ModelConfig written = as_gguf_says(read_gguf_config(architecture, file), architecture);
  if (written == wanted) return;
  throw Error(ErrorKind::unsupported, "llama.cpp's file of this family can't say what the model does",
              {.field = std::string(meant.name), .expected = first_difference(wanted, written)});
}

}  // namespace

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

GgufDescription describe_as_gguf(const Architecture& architecture, const ModelConfig& config, const std::string& origin,
                                 const std::string& name) {
  if (architecture.gguf == nullptr) {
    throw Error(ErrorKind::unsupported,
                architecture.gguf_names.empty() ? "llama.cpp has no graph for this family, so there is no GGUF of it"
                                                : "GGUF files of this family are not built",
                {.field = "architecture", .found = std::string(architecture.name)});
  }
  if (config.sequence_head) {
    throw Error(ErrorKind::unsupported, "GGUF files of heads over sequences are not built",
                {.field = "score.weight", .expected = "a folder"});
  }
  const std::string family(architecture.gguf_names.front());
  check_graph(architecture.graph, config);
  ModelConfig described = config;
  GgufConfig io(family);
  architecture.gguf(io, described);
  GgufDescription out{
      .metadata = {{"general.architecture", family}, {"general.type", std::string("model")}, {"general.name", name}},
      .tensors = io.tensors()};
  out.metadata.insert(out.metadata.end(), io.entries().begin(), io.entries().end());
  std::shared_ptr<const GgufTokenizer> of_folder;
  if (has_folder_tokenizer(origin)) of_folder = std::make_shared<const GgufTokenizer>(origin, config.vocab_size);
  const std::vector<GgufEntry> tokenizer = of_folder ? of_folder->entries() : other_tokenizer(origin);
  out.metadata.insert(out.metadata.end(), tokenizer.begin(), tokenizer.end());
  out.check = [of_folder, &architecture, config](const std::string& written) {
    const auto file = GgufFile::open(written);
    if (of_folder) of_folder->check(*file);
    check_written(architecture, config, *file);
  };
  return out;
}

}  // namespace powerhouse
