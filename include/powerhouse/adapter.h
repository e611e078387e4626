// Adapters: small trained parts beside a model's weights, as Hugging Face's PEFT 0.21 defines them (options,
// arithmetic, files). They train on weights of any type, and belong to the handle they were added to:
// `CausalLM::share()` is the base model without them.
//
//     model.add_adapter("alpaca", {.rank = 16, .alpha = 32});      // active, its tensors require gradients
//     model.save_adapter("alpaca", "out/");                        // adapter_config.json, adapter_model.safetensors
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "powerhouse/adapter_combination.h"
#include "powerhouse/causal_lm.h"
#include "powerhouse/device.h"
#include "powerhouse/export.h"
#include "powerhouse/tensor.h"

namespace powerhouse {

/// Which biases of the base model train with an adapter.
enum class AdapterBias { none, all, lora_only };

/// W + scale * B A, scale = alpha / rank (Hu et al. 2021). Modules are named as on Hugging Face
/// ("model.layers.0.self_attn.q_proj"). Comments in [] are PEFT's key where it differs.
struct LoraConfig {
  std::int64_t rank = 8;  ///< [r]
  double alpha = 8;       ///< [lora_alpha]
  double dropout = 0;     ///< [lora_dropout] of A's input, in passes with a dropout_key (ScoreOptions); [0, 1)
  /// Names, or ends of names from a dot on. Empty: the family's usual ones. {"all-linear"}: all but the head.
  std::vector<std::string> target_modules{};
  std::string target_pattern{};  ///< [target_modules] instead: a regular expression that matches a whole name
  std::vector<std::string> exclude_modules{};
  std::string exclude_pattern{};                    ///< [exclude_modules] instead
  std::vector<std::string> target_parameters{};     ///< 3-D parameters of experts, e.g. "mlp.experts.gate_up_proj"
  std::vector<std::string> modules_to_save{};       ///< ends of names of modules that train whole, e.g. "lm_head"
  std::vector<std::int64_t> layers_to_transform{};  ///< empty: all
  std::vector<std::string> layers_pattern{};        ///< names of lists of layers, e.g. "layers"; empty: any
  /// Ranks and alphas of their own: ends of names, or regular expressions of them; the first that fits counts.
  std::vector<std::pair<std::string, std::int64_t>> rank_pattern{};
  std::vector<std::pair<std::string, double>> alpha_pattern{};
  AdapterBias bias = AdapterBias::none;
  bool use_rslora = false;  ///< scale = alpha / sqrt(rank) (Kalajdzievski 2023)
  bool use_dora = false;    ///< magnitudes of outputs train apart (Liu et al. 2024)
  bool lora_bias = false;   ///< B has a bias
  /// "true": A uniform as Kaiming's, B zero. "gaussian": A normal, of deviation 1 / rank. "pissa", "pissa_niter_N"
  /// (Meng et al. 2024), "olora" (Buyukakyuz 2024): from the weight, which loses what they hold. "false": both random.
  std::string init_lora_weights = "true";
  std::vector<std::int64_t> trainable_token_indices{};  ///< rows of the embeddings that train
  Dtype dtype = Dtype::f32;                             ///< of the adapter's tensors (autocast_adapter_dtype)
  std::uint64_t seed = 0;                               ///< of the initialization
};

/// A learned factor for each output, or input of feed-forward modules (Liu et al. 2022).
struct Ia3Config {
  std::vector<std::string> target_modules{};       ///< as LoRA's; empty: the family's usual ones
  std::vector<std::string> feedforward_modules{};  ///< of those, the ones whose input is scaled
  std::vector<std::string> modules_to_save{};
  std::uint64_t seed = 0;
};

/// Learned embeddings before every sequence (Lester et al. 2021). Logits are those of the real tokens.
struct PromptTuningConfig {
  std::int64_t num_virtual_tokens = 20;
  std::vector<std::int64_t> init_token_ids{};  ///< embeddings to begin with, repeated; empty: random normal
  std::uint64_t seed = 0;
};

/// Learned keys and values before every sequence, in every layer (Li and Liang 2021).
struct PrefixTuningConfig {
  std::int64_t num_virtual_tokens = 20;
  std::uint64_t seed = 0;
};

POWERHOUSE_API void add_adapter(CausalLM& model, const std::string& name, const Ia3Config& config);
POWERHOUSE_API void add_adapter(CausalLM& model, const std::string& name, const PromptTuningConfig& config);
POWERHOUSE_API void add_adapter(CausalLM& model, const std::string& name, const PrefixTuningConfig& config);

struct AdapterWeight {
  std::string name{};
  double weight = 1;  ///< times LoRA's scale; other kinds take 1 alone
};

/// Makes these the active ones, in this order; their terms add up. Error{not_found}; Error{unsupported} for kinds that
/// do not mix.
POWERHOUSE_API void set_adapters(CausalLM& model, std::span<const AdapterWeight> adapters);
POWERHOUSE_API void set_adapter(CausalLM& model, const std::string& name);
/// None is active until the next set_adapter.
POWERHOUSE_API void disable_adapters(CausalLM& model);
POWERHOUSE_API void delete_adapter(CausalLM& model, const std::string& name);
POWERHOUSE_API std::vector<std::string> adapter_names(const CausalLM& model);
POWERHOUSE_API std::vector<AdapterWeight> active_adapters(const CausalLM& model);
/// Tensors of an adapter under the names of PEFT's files ("base_model.model.<module>.lora_A.weight").
POWERHOUSE_API std::vector<std::pair<std::string, at::Tensor>> adapter_tensors(const CausalLM& model,
                                                                               const std::string& name);
/// LoRA+'s groups (Hayou et al. 2024), as PEFT tells trainable tensors apart: B, biases and magnitudes learn at a rate
/// some times (loraplus_lr_ratio) that of A; embeddings' terms at one of their own (loraplus_lr_embedding, 1e-6).
enum class LoraPlusGroup { a, b, embedding };
POWERHOUSE_API LoraPlusGroup lora_plus_group(std::string_view name, const at::Tensor& tensor);

/// One adapter of several. Error{usage} for options that don't fit together, Error{range}, Error{not_found};
/// Error{unsupported} for adapters that are more than low-rank terms.
POWERHOUSE_API void add_weighted_adapter(CausalLM& model, const std::string& name, std::span<const AdapterWeight> parts,
                                         const CombineOptions& options = {});

/// What quantized weights become where something is merged onto them.
enum class MergeOnto {
  dequantized,  ///< dense, of the file's values, in the compute type
  original,     ///< dense, of another checkpoint's values: what was quantized
  requantized,  ///< dense, as rounding to the file's type leaves it; see MergeReport
};
struct MergeOptions {
  MergeOnto onto = MergeOnto::dequantized;
  std::string original{};  ///< path of the other checkpoint, for `original`
};
struct MergeReport {
  std::int64_t tensors = 0;
  double largest_error = 0;   ///< of |requantized - merged| in any tensor; 0 where nothing was requantized
  double relative_error = 0;  ///< root mean square of it over that of the merged change
};
/// Adds the adapters (empty: the active ones) to the weights, which every handle on them sees, as PEFT does. They count
/// as merged and are not applied again. Error{unsupported} for prompts, prefixes, experts' quantized weights.
POWERHOUSE_API MergeReport merge_adapter(CausalLM& model, std::span<const std::string> names = {},
                                         const MergeOptions& options = {});
/// Takes all merged ones out again; exact but for rounding. Error{usage} where nothing is merged.
POWERHOUSE_API void unmerge_adapters(CausalLM& model);

}  // namespace powerhouse
