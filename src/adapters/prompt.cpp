// Prompt tuning and prefix tuning: learned rows before every sequence.
#include "adapters/adapter.h"
#include "adapters/lora_init.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

void check_count(std::int64_t tokens) {
  if (tokens > 0 && tokens <= 1 << 20) return;
  throw Error(ErrorKind::range, "an adapter needs virtual tokens",
              {.field = "num_virtual_tokens", .expected = "at least 1", .found = std::to_string(tokens)});
}

// In the model's type, as the lookup does it.
void scale_as_looked_up(at::Tensor& rows, const Model& model) {
  const auto scale = empty_tensor({1}, model.type).fill_(model.config.embedding_scale);
  rows = rows.to(at::kCPU, model.type).mul(scale).to(at::kFloat);
}

}  // namespace

Adapter make_prompt(const Model& model, const std::string& name, const PromptTuningConfig& config) {
  check_count(config.num_virtual_tokens);
  const bool projected = model.config.embedding_size > 0 && model.config.embedding_size != model.config.hidden_size;
  if (projected) {
    throw Error(ErrorKind::unsupported, "prompts for projected embeddings are not built",
                {.field = "peft_type", .found = "PROMPT_TUNING"});
  }
  Adapter adapter{.name = name, .config = config};
  if (config.init_token_ids.empty()) {
    adapter.virtual_tokens = normal_tensor({config.num_virtual_tokens, model.config.hidden_size}, 1, config.seed, 0);
    return adapter;
  }
  check_ids(model.config, config.init_token_ids);
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < config.num_virtual_tokens; ++i) {
    ids.push_back(config.init_token_ids[static_cast<std::size_t>(i) % config.init_token_ids.size()]);
  }
  adapter.virtual_tokens = model.weights.outside().weight(Role::embed_tokens).rows(index_tensor(ids));
  if (model.config.scaled_lookup) scale_as_looked_up(adapter.virtual_tokens, model);
  return adapter;
}

Adapter make_prefix(const Model& model, const std::string& name, const PrefixTuningConfig& config) {
  check_count(config.num_virtual_tokens);
  const Attention& first = model.config.layers.front().attention;
  for (const Block& block : model.config.layers) {
    const Attention& own = block.attention;
    if (own.num_key_value_heads != first.num_key_value_heads || own.head_dim != first.head_dim) {
      throw Error(ErrorKind::unsupported, "a prefix needs layers whose keys are alike", {.field = "PREFIX_TUNING"});
    }
  }
  const auto layers = static_cast<std::int64_t>(model.config.layers.size());
  Adapter adapter{.name = name, .config = config};
  adapter.virtual_tokens = normal_tensor(
      {config.num_virtual_tokens, layers * 2 * first.num_key_value_heads * first.head_dim}, 1, config.seed, 0);
  return adapter;
}

}  // namespace powerhouse
