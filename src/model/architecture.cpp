// The registry, and what holds for the configs of all families.
#include "model/architecture.h"

#include <algorithm>
#include <array>

#include "model/architectures/families.h"
#include "model/gguf_config.h"
#include "model/hf_config.h"
#include "model/sequence_head.h"
#include "powerhouse/error.h"
#include "support/checked.h"

namespace powerhouse {
namespace {

// Where two families share a name in GGUF, `claims` tells them apart; the plain one stands last.
constexpr std::array kArchitectures = {
    &kBloom,    &kCohere,  &kCohere2,      &kDeci,    &kErnie45,   &kExaone4,    &kFalcon,     &kGemma,
    &kGemma2,   &kGemma3,  &kGlm,          &kGlm4,    &kGpt2,      &kGptBigCode, &kGptNeoX,    &kGptJ,
    &kGptOss,   &kGranite, &kHunYuanDense, &kMixtral, &kMistral,   &kLlama,      &kMpt,        &kNemotron,
    &kOlmo,     &kOlmo3,   &kOlmo2,        &kOpt,     &kPersimmon, &kPhi,        &kPhi3,       &kQwen2,
    &kQwen2Moe, &kQwen3,   &kQwen3Moe,     &kSeedOss, &kSmolLm3,   &kStableLm,   &kStarCoder2,
};

std::string known_names(bool gguf) {
  std::string names;
  for (const Architecture* architecture : kArchitectures) {
    if (gguf && architecture->gguf == nullptr) continue;
    for (const std::string_view name : gguf ? architecture->gguf_names : architecture->hf_names) {
      if (!names.empty()) names += ", ";
      names += name;
    }
  }
  return names;
}

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

[[noreturn]] void unknown_architecture(std::string_view field, std::string_view found, bool gguf) {
  throw Error(ErrorKind::unsupported, "unknown architecture",
              {.field = std::string(field), .expected = "one of " + known_names(gguf), .found = std::string(found)});
}

void require(bool holds, std::string_view field, std::string_view expected, std::int64_t found) {
  if (holds) return;
  throw Error(ErrorKind::format, "impossible model configuration",
              {.field = std::string(field), .expected = std::string(expected), .found = std::to_string(found)});
}

void check_rope(const Rope& rope, std::int64_t head_dim) {
  require(rope.rotary_dim > 0 && rope.rotary_dim % 2 == 0 && rope.rotary_dim <= head_dim, "rotary_dim",
          "even and at most head_dim", rope.rotary_dim);
  const std::pair<const std::vector<float>&, const char*> lists[] = {
      {rope.frequency_factors, "rope_freqs"}, {rope.short_factor, "short_factor"}, {rope.long_factor, "long_factor"}};
  for (const auto& [list, name] : lists) {
    const auto size = static_cast<std::int64_t>(list.size());
    require(list.empty() || size == rope.rotary_dim / 2, name, "rotary_dim / 2 factors", size);
  }
  if (!(rope.theta > 0) || !(rope.factor > 0)) {
    throw Error(ErrorKind::format, "impossible model configuration",
                {.field = "rope_parameters", .expected = "positive numbers"});
  }
}

void check_moe(const Moe& moe) {
  require(moe.num_experts > 0 && moe.num_experts < 65536, "num_experts", "1 to 65535", moe.num_experts);
  require(moe.num_experts_per_tok > 0 && moe.num_experts_per_tok <= moe.num_experts, "num_experts_per_tok",
          "1 to num_experts", moe.num_experts_per_tok);
  require(moe.intermediate_size > 0, "moe_intermediate_size", "at least 1", moe.intermediate_size);
}

}  // namespace

bool is_linear(Role role) {
  switch (role) {
    case Role::q_proj:
    case Role::k_proj:
    case Role::v_proj:
    case Role::qkv_proj:
    case Role::o_proj:
    case Role::gate_proj:
    case Role::up_proj:
    case Role::gate_up_proj:
    case Role::down_proj:
    case Role::shared_gate_proj:
    case Role::shared_up_proj:
    case Role::shared_down_proj:
    case Role::shared_expert_gate:
    case Role::project_in:
    case Role::project_out: return true;
    default: return false;
  }
}

std::span<const Architecture* const> architectures() { return kArchitectures; }

std::vector<std::string> supported_architectures() {
  std::vector<std::string> names;
  names.reserve(std::size(kArchitectures));
  for (const Architecture* architecture : kArchitectures) names.emplace_back(architecture->name);
  std::sort(names.begin(), names.end());
  return names;
}

const Architecture& find_architecture(const Json& hf_config) {
  std::string found;
  if (const Json* names = hf_config.get("architectures")) {
    for (const Json& name : names->as_array("architectures")) {
      const std::string& text = name.as_string("architectures");
      for (const Architecture* architecture : kArchitectures) {
        if (contains(architecture->hf_names, text) || architecture->hf_classifier == text) return *architecture;
      }
      found = text;
    }
    if (!found.empty()) unknown_architecture("architectures", found, false);
  }
  const std::string model_type = hf_config.string_or("model_type", "");
  for (const Architecture* architecture : kArchitectures) {
    if (contains(architecture->hf_model_types, model_type)) return *architecture;
  }
  unknown_architecture(hf_config.get("model_type") ? "model_type" : "architectures", model_type, false);
}

const Architecture& find_architecture(const GgufFile& file) {
  const std::string_view name = file.require_string("general.architecture");
  for (const Architecture* architecture : kArchitectures) {
    if (architecture->gguf == nullptr || !contains(architecture->gguf_names, name)) continue;
    if (architecture->claims == nullptr || architecture->claims(file)) return *architecture;
  }
  unknown_architecture("general.architecture", name, true);
}

const Architecture& find_architecture(std::string_view name) {
  for (const Architecture* architecture : kArchitectures) {
    if (architecture->name == name) return *architecture;
  }
  unknown_architecture("architecture", name, false);
}

std::string first_difference(const ModelConfig& a, const ModelConfig& b) {
  const std::string left = to_string(a);
  const std::string right = to_string(b);
  std::size_t line = 0;
  for (std::size_t i = 0; i < left.size() && i < right.size() && left[i] == right[i]; ++i) {
    if (left[i] == '\n') line = i + 1;
  }
  return left.substr(line, left.find('\n', line) - line);
}

ModelConfig read_hf_config(const Architecture& architecture, const Json& config) {
  ModelConfig model;
  model.architecture = architecture.name;
  HfConfig io(config);
  architecture.hf(io, model);
  read_special_ids(config, model);
  if (is_classifier(architecture, config)) model.sequence_head = read_sequence_head(config, model.vocab_size);
  return model;
}

ModelConfig read_gguf_config(const Architecture& architecture, const GgufFile& file) {
  ModelConfig model;
  model.architecture = architecture.name;
  GgufConfig io(architecture.gguf_names.front(), file);
  architecture.gguf(io, model);
  return model;
}

Json write_hf_config(const Architecture& architecture, const ModelConfig& model) {
  ModelConfig copy = model;
  HfConfig io;
  io.out()["architectures"] =
      Json::Array{model.sequence_head ? architecture.hf_classifier : architecture.hf_names.front()};
  io.out()["model_type"] = architecture.hf_model_types.front();
  architecture.hf(io, copy);
  if (model.sequence_head) write_sequence_head(io.out(), *model.sequence_head);
  Json config = io.out();
  // What the family's keys can't say must not be lost in silence.
  ModelConfig back = read_hf_config(architecture, config);
  back.bos_token_id = model.bos_token_id;
  back.eos_token_ids = model.eos_token_ids;
  if (!(back == model)) {
    throw Error(ErrorKind::unsupported, "config.json of this family can't say what the model does",
                {.field = std::string(architecture.name), .expected = first_difference(model, back)});
  }
  return config;
}

void check_config(const ModelConfig& config) {
  const auto positive = [&](std::int64_t value, std::string_view field) {
    require(value > 0 && value < std::int64_t{1} << 31, field, "1 to 2^31", value);
  };
  // Less, so that what is counted by heads times sizes stays a number.
  const auto positive_per_head = [&](std::int64_t value, std::string_view field) {
    require(value > 0 && value <= std::int64_t{1} << 20, field, "1 to 2^20", value);
  };
  positive(config.vocab_size, "vocab_size");
  positive(config.hidden_size, "hidden_size");
  positive(config.max_position_embeddings, "max_position_embeddings");
  positive(static_cast<std::int64_t>(config.layers.size()), "num_hidden_layers");
  if (config.sequence_head) check_sequence_head(find_architecture(std::string_view(config.architecture)), config);
  for (const Block& block : config.layers) {
    const Attention& attention = block.attention;
    positive_per_head(attention.num_heads, "num_attention_heads");
    positive_per_head(attention.num_key_value_heads, "num_key_value_heads");
    positive_per_head(attention.head_dim, "head_dim");
    positive(block.mlp.intermediate_size, "intermediate_size");
    require(attention.num_heads % attention.num_key_value_heads == 0, "num_key_value_heads",
            "a divisor of num_attention_heads", attention.num_key_value_heads);
    const std::int64_t sizes[] = {attention.num_heads, attention.head_dim, config.hidden_size};
    require(checked_element_count(sizes).has_value(), "head_dim", "a size that fits memory", attention.head_dim);
    if (block.position == PositionKind::rope) check_rope(block.rope, attention.head_dim);
    if (block.mlp.moe) check_moe(*block.mlp.moe);
    if (attention.sliding_window) positive(*attention.sliding_window, "sliding_window");
    if (!(block.norm.epsilon > 0) || (config.final_norm && !(config.final_norm->epsilon > 0))) {
      throw Error(ErrorKind::format, "impossible model configuration",
                  {.field = block.norm.kind == NormKind::rms_norm ? "rms_norm_eps" : "layer_norm_eps",
                   .expected = "a positive number"});
    }
  }
}

}  // namespace powerhouse
