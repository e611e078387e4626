// All that happens between a row of logits and a token, as the options have it, for one generation: rules about tokens,
// the user's own processors, then samplers in their order. A chain is a value; a copy is another generation's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/generation.h"
#include "powerhouse/logits_processors.h"

namespace powerhouse {

/// What rules need to know of the generation.
struct ChainSetting {
  std::int64_t vocab_size = 0;
  std::vector<std::int64_t> eos_ids{};
  std::int64_t limit = 0;                // new tokens at most
  const Tokenizer* tokenizer = nullptr;  // for DRY's breakers
  std::size_t min_tokens_to_keep = 1;    // those of transformers' warpers that know it leave so many
};

ChainSetting chain_setting(const ModelConfig& config, const Tokenizer& tokenizer, const GenerationOptions& options,
                           std::int64_t limit);

/// Whether a token is drawn by temperature, top_k, top_p and min_p alone, which a device can do.
bool draws_by_warpers_alone(const GenerationOptions& options);

class SamplingChain {
 public:
  /// Error{range} for ids outside the vocabulary, Error{usage} for a name that is no sampler.
  SamplingChain(const GenerationOptions& options, const ChainSetting& setting);

  /// The token behind context.ids; its random number is that of its place behind the prompt, by context.seed. May
  /// change the row. `matcher` follows the text where there is a constraint. Error{numeric} where a processor leaves
  /// NaN or infinity, or forbids every token.
  std::int64_t choose(std::span<float> logits, const LogitsContext& context, ConstraintMatcher* matcher = nullptr);

  /// All but the choice: what is left of the row.
  void process(std::span<float> logits, const LogitsContext& context, ConstraintMatcher* matcher = nullptr);

 private:
  // A row of which few tokens are left is worked on as a short one, in the order of ids.
  struct Row;
  // How many candidates a sampler leaves, as llama.cpp counts for its dynamic temperature: forbidden ones stay
  // candidates until something cuts them off.
  enum class Count { unchanged, limited, less, left };
  struct Sampler {
    LogitsProcessor apply;
    Count count = Count::unchanged;
    std::int64_t limit = 0;                                   // of candidates
    bool by_id = false;                                       // needs the whole row
    bool keeps = false;                                       // min_tokens_to_keep of the best
    bool forbids = false;                                     // what stays a candidate
    std::optional<processors::DynamicTemperature> dynamic{};  // in place of apply
    std::optional<WatermarkOptions> watermark{};              // likewise
  };

  void add_rules(const GenerationOptions& options, const ChainSetting& setting);
  void add_samplers(const GenerationOptions& options, const ChainSetting& setting);
  void add_sampler(std::string_view name, const GenerationOptions& options, const ChainSetting& setting, bool listed);
  void add_mirostat(const GenerationOptions& options);
  void run(Row& row, const LogitsContext& context, ConstraintMatcher* matcher);
  void apply(const Sampler& sampler, std::span<float> logits, const LogitsContext& context) const;

  std::vector<LogitsProcessor> rules_;
  std::vector<Sampler> samplers_;
  GenerationOptions common_{};  // temperature, top_k, top_p and min_p, where they are all that samples
  bool greedy_ = false;
  std::size_t min_tokens_to_keep_;
};

}  // namespace powerhouse
