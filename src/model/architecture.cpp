// The registry, GGUF's names (once for all families), and the parameters that a config calls for.
#include "model/architecture.h"

#include <algorithm>
#include <array>

#include "model/architectures/families.h"
#include "powerhouse/error.h"
#include "support/checked.h"

namespace powerhouse {
namespace {

constexpr std::array<const Architecture*, 1> kArchitectures = {&kLlama};

constexpr std::string_view gguf_name(Role role) {
  switch (role) {
    case Role::embed_tokens: return "token_embd";
    case Role::attention_norm: return "blk.{}.attn_norm";
    case Role::q_proj: return "blk.{}.attn_q";
    case Role::k_proj: return "blk.{}.attn_k";
    case Role::v_proj: return "blk.{}.attn_v";
    case Role::o_proj: return "blk.{}.attn_output";
    case Role::mlp_norm: return "blk.{}.ffn_norm";
    case Role::gate_proj: return "blk.{}.ffn_gate";
    case Role::up_proj: return "blk.{}.ffn_up";
    case Role::down_proj: return "blk.{}.ffn_down";
    case Role::final_norm: return "output_norm";
    case Role::lm_head: return "output";
  }
  return "";
}

std::string expand(std::string_view pattern, std::int64_t layer) {
  std::string out(pattern);
  if (const auto at = out.find("{}"); at != std::string::npos) out.replace(at, 2, std::to_string(layer));
  return out;
}

struct Slot {
  Role role;
  std::vector<std::int64_t> shape;
  bool bias;
  std::int64_t heads = 0;
};

std::vector<Slot> layer_slots(const ModelConfig& config, const Block& block) {
  const std::int64_t hidden = config.hidden_size;
  const Attention& attention = block.attention;
  const std::int64_t query = attention.num_heads * attention.head_dim;
  const std::int64_t key = attention.num_key_value_heads * attention.head_dim;
  const std::int64_t inner = block.mlp.intermediate_size;
  std::vector<Slot> slots = {
      {Role::attention_norm, {hidden}, false},
      {Role::q_proj, {query, hidden}, attention.qkv_bias, attention.num_heads},
      {Role::k_proj, {key, hidden}, attention.qkv_bias, attention.num_key_value_heads},
      {Role::v_proj, {key, hidden}, attention.qkv_bias},
      {Role::o_proj, {hidden, query}, attention.output_bias},
      {Role::mlp_norm, {hidden}, false},
  };
  if (block.mlp.gated) slots.push_back({Role::gate_proj, {inner, hidden}, block.mlp.bias});
  slots.push_back({Role::up_proj, {inner, hidden}, block.mlp.bias});
  slots.push_back({Role::down_proj, {hidden, inner}, block.mlp.bias});
  return slots;
}

std::string known_names(bool gguf) {
  std::string names;
  for (const Architecture* architecture : kArchitectures) {
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

}  // namespace

std::span<const Architecture* const> architectures() { return kArchitectures; }

std::vector<std::string> supported_architectures() {
  std::vector<std::string> names;
  names.reserve(std::size(kArchitectures));
  for (const Architecture* architecture : kArchitectures) names.emplace_back(architecture->name);
  return names;
}

const Architecture& find_architecture(const Json& hf_config) {
  std::string found;
  if (const Json* names = hf_config.get("architectures")) {
    for (const Json& name : names->as_array("architectures")) {
      const std::string& text = name.as_string("architectures");
      for (const Architecture* architecture : kArchitectures) {
        if (contains(architecture->hf_names, text)) return *architecture;
      }
      found = text;
    }
    if (!found.empty()) unknown_architecture("architectures", found, false);
  }
  const std::string model_type = hf_config.string_or("model_type", "");
  for (const Architecture* architecture : kArchitectures) {
    if (architecture->name == model_type) return *architecture;
  }
  unknown_architecture(hf_config.get("model_type") ? "model_type" : "architectures", model_type, false);
}

const Architecture& find_architecture(const GgufFile& file) {
  const std::string_view name = file.require_string("general.architecture");
  for (const Architecture* architecture : kArchitectures) {
    if (contains(architecture->gguf_names, name)) return *architecture;
  }
  unknown_architecture("general.architecture", name, true);
}

const Architecture& find_architecture(std::string_view name) {
  for (const Architecture* architecture : kArchitectures) {
    if (architecture->name == name) return *architecture;
  }
  unknown_architecture("architecture", name, false);
}

std::vector<ParameterSpec> parameter_specs(const Architecture& architecture, const ModelConfig& config) {
  std::vector<ParameterSpec> specs;
  const auto add = [&](const Slot& slot, std::int64_t layer) {
    for (const WeightName& row : architecture.weights) {
      if (row.role != slot.role) continue;
      const std::string hf = expand(row.hf_name, layer);
      const std::string gguf = expand(gguf_name(slot.role), layer);
      specs.push_back(
          {slot.role, layer, false, hf + ".weight", gguf + ".weight", slot.shape, row.gguf_rows, slot.heads});
      if (slot.bias) {
        specs.push_back(
            {slot.role, layer, true, hf + ".bias", gguf + ".bias", {slot.shape[0]}, row.gguf_rows, slot.heads});
      }
      return;
    }
    throw Error(ErrorKind::unsupported, "the architecture has no name for a parameter that its config calls for",
                {.field = std::string(gguf_name(slot.role))});
  };
  add({Role::embed_tokens, {config.vocab_size, config.hidden_size}, false}, -1);
  for (std::size_t layer = 0; layer < config.layers.size(); ++layer) {
    for (const Slot& slot : layer_slots(config, config.layers[layer])) add(slot, static_cast<std::int64_t>(layer));
  }
  add({Role::final_norm, {config.hidden_size}, false}, -1);
  if (!config.tie_word_embeddings) add({Role::lm_head, {config.vocab_size, config.hidden_size}, false}, -1);
  return specs;
}

void check_config(const ModelConfig& config) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 31;
  const auto positive = [&](std::int64_t value, std::string_view field) {
    require(value > 0 && value < kLargest, field, "1 to 2^31", value);
  };
  positive(config.vocab_size, "vocab_size");
  positive(config.hidden_size, "hidden_size");
  positive(config.max_position_embeddings, "max_position_embeddings");
  positive(static_cast<std::int64_t>(config.layers.size()), "num_hidden_layers");
  for (const Block& block : config.layers) {
    const Attention& attention = block.attention;
    positive(attention.num_heads, "num_attention_heads");
    positive(attention.num_key_value_heads, "num_key_value_heads");
    positive(attention.head_dim, "head_dim");
    positive(block.mlp.intermediate_size, "intermediate_size");
    require(attention.num_heads % attention.num_key_value_heads == 0, "num_key_value_heads",
            "a divisor of num_attention_heads", attention.num_key_value_heads);
    const std::int64_t sizes[] = {attention.num_heads, attention.head_dim, config.hidden_size};
    require(checked_element_count(sizes).has_value(), "head_dim", "a size that fits memory", attention.head_dim);
    const Rope& rope = block.rope;
    require(rope.rotary_dim > 0 && rope.rotary_dim % 2 == 0 && rope.rotary_dim <= attention.head_dim, "rotary_dim",
            "even and at most head_dim", rope.rotary_dim);
    require(rope.frequency_factors.empty() ||
                static_cast<std::int64_t>(rope.frequency_factors.size()) == rope.rotary_dim / 2,
            "rope_freqs", "rotary_dim / 2 factors", static_cast<std::int64_t>(rope.frequency_factors.size()));
    const bool epsilon_holds = block.norm.epsilon > 0 && config.final_norm.epsilon > 0;
    if (!epsilon_holds || !(rope.theta > 0) || !(rope.factor > 0)) {
      throw Error(ErrorKind::format, "impossible model configuration",
                  {.field = !epsilon_holds ? "rms_norm_eps" : "rope_parameters", .expected = "positive numbers"});
    }
  }
}

}  // namespace powerhouse
