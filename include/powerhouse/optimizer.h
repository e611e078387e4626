// Optimizers over named parameters: SGD, AdamW (also with 8-bit states), Adafactor, Lion, Muon, Adagrad, RMSprop.
//
// A step is one parallel pass over all parameters, with the gradients' scale and clipping folded in; its bits do not
// depend on the number of threads. States are float32 or of the parameter's type and may live in a mapped file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "powerhouse/export.h"
#include "powerhouse/optimizer_options.h"
#include "powerhouse/tensor.h"
#include "powerhouse/tensor_file.h"

namespace powerhouse {

/// How states and weights are kept, whatever the method.
struct OptimizerStorage {
  enum class StateType : std::uint8_t { parameter, float32 };
  /// That of the parameter, as torch's AdamW has it (with masters: theirs), or float32.
  StateType state_dtype = StateType::parameter;
  bool master_weights = false;       ///< keep a float32 copy of parameters of fewer bits; they are its rounding
  bool stochastic_rounding = false;  ///< of bf16 parameters without masters; Philox by (seed, parameter, step)
  std::uint64_t seed = 0;
  bool paged = false;                   ///< states in a mapped file, written back by the system under pressure
  std::uint64_t paged_above_bytes = 0;  ///< the same, for states of more bytes than this; 0: no such limit
  std::string page_folder{};            ///< of the file, which has no name; empty: the system's temporary folder
};

/// Parameters that share their settings. All tensors are leaves on the CPU, float32, bf16 or f16, dense in any order of
/// dimensions.
struct ParameterGroup {
  std::vector<NamedTensor> parameters;
  double lr_scale = 1;                   ///< multiplies the learning rate
  std::optional<double> lr{};            ///< instead of the options' own
  std::optional<double> weight_decay{};  ///< instead of the options' own; 0: these do not decay
  bool muon = true;                      ///< with MuonOptions: Muon for matrices; false: AdamW
};

struct ParameterGroupOptions {
  double loraplus_lr_ratio = 1;         ///< of lora_B to lora_A (Hayou et al. 2024); 1 is off
  double loraplus_lr_embedding = 1e-6;  ///< of embeddings' adapters, where the ratio is not 1
  /// Substrings of names with a learning rate of their own, first match.
  std::vector<std::pair<std::string, double>> learning_rates{};
};

/// Groups by transformers' rule: weights decay, but not biases, norms and whatever has fewer than two dimensions. Muon
/// for matrices that are neither embeddings nor head. Groups without a parameter are left out.
POWERHOUSE_API std::vector<ParameterGroup> make_parameter_groups(std::span<const NamedTensor> parameters,
                                                                 const ParameterGroupOptions& options = {});

struct StepOptions {
  double lr_multiplier = 1;  ///< the schedule's (powerhouse/schedule.h)
  double grad_scale = 1;     ///< multiplies all gradients first, e.g. 1 / target tokens of the accumulated batches
  double max_grad_norm = 0;  ///< scales them down to this norm, as torch.nn.utils.clip_grad_norm_; <= 0: no clipping
};

struct StepResult {
  double grad_norm = 0;      ///< of all gradients, scaled, before clipping; NaN or infinite where they are
  bool applied = true;       ///< false: a gradient was not finite, and neither weights nor states changed
  std::string not_finite{};  ///< the first parameter with such a gradient
};

class POWERHOUSE_API Optimizer {
 public:
  /// Makes all states. Throws Error{range} for options out of range; Error{usage} for a name or tensor twice and one
  /// that is no leaf; Error{unsupported} for other dtypes, views with gaps, parameters on several devices, and on a
  /// device for Adafactor, Muon, paged states and stochastic rounding; Error{io} where the page
  /// file cannot have its size.
  Optimizer(const std::vector<ParameterGroup>& groups, const OptimizerOptions& options, OptimizerStorage storage = {});
  Optimizer(Optimizer&&) noexcept;
  Optimizer& operator=(Optimizer&&) noexcept;
  ~Optimizer();

  /// One step from the parameters' gradients; those without a gradient stay as they are, states too. Error{usage} for a
  /// gradient of another shape; Error{unsupported} for a sparse one.
  StepResult step(const StepOptions& options = {});
  /// The norm of all gradients times grad_scale: squares summed in double, in an order that threads do not change.
  double grad_norm(double grad_scale = 1) const;
  /// Drops the gradients (set to none).
  void zero_grad();

  /// Everything that the next step depends on but weights and gradients, as tensors to save: `<parameter>.step`,
  /// `.exp_avg` and so on under torch's and bitsandbytes' names, and `.master`. They share the states' memory; of a
  /// device's they are copies.
  std::vector<NamedTensor> state_dict() const;
  /// Copies them back: the next step is bit for bit what it would have been. Throws Error{not_found} or Error{format},
  /// before anything changed, where a tensor is missing, unknown, or of another shape or dtype; Error{range} for a step
  /// below 0.
  void load_state_dict(std::span<const NamedTensor> state);

  /// Bytes of states and masters, and whether they are paged.
  std::uint64_t state_bytes() const noexcept;
  bool paged() const noexcept;
  /// The learning rate of each group at lr_multiplier 1 (Adafactor with relative_step: 0), that of its first parameter.
  std::vector<double> learning_rates() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace powerhouse
