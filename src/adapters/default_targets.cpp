// PEFT's tables of usual targets (peft/utils/constants.py, 0.21), for the families that load here.
#include "adapters/targets.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

struct LoraRow {
  std::string_view type;
  std::vector<std::string> targets;
};

const std::vector<LoraRow>& lora_rows() {
  static const std::vector<LoraRow> rows = {
      {"bloom", {"query_key_value"}},
      {"falcon", {"query_key_value"}},
      {"gemma", {"q_proj", "v_proj"}},
      {"gemma2", {"q_proj", "v_proj"}},
      {"gemma3_text", {"q_proj", "v_proj"}},
      {"gpt2", {"c_attn"}},
      {"gpt_bigcode", {"c_attn"}},
      {"gpt_neox", {"query_key_value"}},
      {"gptj", {"q_proj", "v_proj"}},
      {"llama", {"q_proj", "v_proj"}},
      {"mistral", {"q_proj", "v_proj"}},
      {"mixtral", {"q_proj", "v_proj"}},
      {"mpt", {"Wqkv"}},
      {"opt", {"q_proj", "v_proj"}},
      {"phi", {"q_proj", "v_proj", "fc1", "fc2"}},
      {"qwen2", {"q_proj", "v_proj"}},
      {"qwen3", {"q_proj", "v_proj"}},
      {"stablelm", {"q_proj", "v_proj"}},
  };
  return rows;
}

struct Ia3Row {
  std::string_view type;
  std::vector<std::string> outputs, inputs;
};

const std::vector<Ia3Row>& ia3_rows() {
  static const std::vector<Ia3Row> rows = {
      {"bloom", {"query_key_value"}, {"mlp.dense_4h_to_h"}},
      {"falcon", {"query_key_value"}, {"dense_4h_to_h"}},
      {"gemma", {"q_proj", "v_proj"}, {"down_proj"}},
      {"gemma2", {"q_proj", "v_proj"}, {"down_proj"}},
      {"gemma3_text", {"q_proj", "v_proj"}, {"down_proj"}},
      {"gpt2", {"c_attn"}, {"mlp.c_proj"}},
      {"gpt_bigcode", {"c_attn"}, {"mlp.c_proj"}},
      {"gpt_neox", {"query_key_value"}, {"dense_4h_to_h"}},
      {"gptj", {"q_proj", "v_proj"}, {"fc_out"}},
      {"llama", {"k_proj", "v_proj"}, {"down_proj"}},
      {"mistral", {"k_proj", "v_proj"}, {"down_proj"}},
      {"opt", {"q_proj", "k_proj"}, {"fc2"}},
      {"phi", {"q_proj", "v_proj"}, {"fc2"}},
      {"qwen2", {"q_proj", "v_proj"}, {"down_proj"}},
      {"qwen3", {"q_proj", "v_proj"}, {"down_proj"}},
  };
  return rows;
}

[[noreturn]] void no_default(std::string_view type) {
  throw Error(ErrorKind::usage, "this family has no usual targets; name the modules",
              {.field = "target_modules", .found = std::string(type)});
}

}  // namespace

std::vector<std::string> default_lora_targets(std::string_view model_type) {
  for (const LoraRow& row : lora_rows()) {
    if (row.type == model_type) return row.targets;
  }
  no_default(model_type);
}

Ia3Targets default_ia3_targets(std::string_view model_type) {
  for (const Ia3Row& row : ia3_rows()) {
    if (row.type != model_type) continue;
    Ia3Targets targets{row.outputs, row.inputs};
    targets.target_modules.insert(targets.target_modules.end(), row.inputs.begin(), row.inputs.end());
    return targets;
  }
  no_default(model_type);
}

}  // namespace powerhouse
