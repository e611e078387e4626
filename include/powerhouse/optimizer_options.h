// The optimizers' own settings, one struct a method, under the names and with the defaults of the peer named at each.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "powerhouse/export.h"

namespace powerhouse {

/// torch.optim.SGD. Weight decay is added to the gradient, as in torch.
struct SgdOptions {
  double lr = 1e-3, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;  ///< needs momentum > 0 and no dampening
};

/// torch.optim.AdamW (Loshchilov and Hutter 2019): decoupled weight decay.
struct AdamWOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-2;
};

/// bitsandbytes.optim.AdamW8bit (Dettmers et al. 2022): states are codes of dynamic maps with a scale for each 256
/// elements; tensors of fewer than min_8bit_size elements keep float32 states. The update is AdamW's.
struct AdamW8bitOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-2;
  std::int64_t min_8bit_size = 4096;
};

/// transformers.Adafactor (Shazeer and Stern 2018): row and column means of squares instead of a full second moment.
/// States are float32 always.
struct AdafactorOptions {
  std::optional<double> lr{};  ///< needed unless relative_step
  double eps1 = 1e-30, eps2 = 1e-3, clip_threshold = 1.0, decay_rate = -0.8, weight_decay = 0;
  std::optional<double> beta1{};  ///< none: no first moment
  bool scale_parameter = true;    ///< lr times the parameter's root mean square (at least eps2)
  bool relative_step = true;      ///< lr from the step number; excludes `lr`
  bool warmup_init = false;       ///< needs relative_step
};

/// Lion (Chen et al. 2023), as bitsandbytes.optim.Lion: the sign of an interpolated momentum.
struct LionOptions {
  double lr = 1e-4, beta1 = 0.9, beta2 = 0.99, weight_decay = 0;
};

/// torch.optim.Muon (Jordan et al. 2024): momentum made orthogonal by Newton-Schulz steps in bf16, for matrices;
/// parameters of groups with `muon = false` (embeddings, head, norms, biases, adapters by choice) get AdamW.
struct MuonOptions {
  double lr = 1e-3, weight_decay = 0.1, momentum = 0.95, eps = 1e-7;
  bool nesterov = true;
  std::array<double, 3> ns_coefficients{3.4445, -4.7750, 2.0315};
  int ns_steps = 5;
  std::string adjust_lr_fn = "original";  ///< or "match_rms_adamw" (Liu et al. 2025)
  AdamWOptions adamw{};                   ///< for the rest, with its own lr
};

/// torch.optim.Adagrad (Duchi et al. 2011).
struct AdagradOptions {
  double lr = 1e-2, lr_decay = 0, weight_decay = 0, initial_accumulator_value = 0, eps = 1e-10;
};

/// torch.optim.RMSprop (Hinton), not centered.
struct RmspropOptions {
  double lr = 1e-2, alpha = 0.99, eps = 1e-8, weight_decay = 0, momentum = 0;
};

using OptimizerOptions = std::variant<SgdOptions, AdamWOptions, AdamW8bitOptions, AdafactorOptions, LionOptions,
                                      MuonOptions, AdagradOptions, RmspropOptions>;

/// What a training configuration says whatever the method; what a method does not know is left out.
struct OptimizerSettings {
  std::optional<double> learning_rate{}, weight_decay{}, adam_beta1{}, adam_beta2{}, adam_epsilon{};
};

struct NamedOptimizer {
  OptimizerOptions options{};
  bool paged = false;  ///< the name asks for paged states
};

/// The options of a name that transformers, Axolotl or torch use, as their trainers set them: adamw, adamw_torch,
/// adamw_torch_fused, paged_adamw_32bit, adamw_8bit, adamw_bnb_8bit, paged_adamw_8bit, sgd, adafactor (which then takes
/// learning_rate and no relative steps), lion, lion_32bit, paged_lion_32bit, muon, adagrad, rmsprop. An unknown name is
/// Error{usage}, one that is known but not built (lion_8bit, ...) Error{unsupported}.
POWERHOUSE_API NamedOptimizer optimizer_options(std::string_view name, const OptimizerSettings& settings = {});

}  // namespace powerhouse
