// What the optimizer keeps of a parameter, and the interface of a method: which states it wants, and how it steps.
//
// Parameters are dense, in any order of dimensions (GPT-2's matrices are handed out transposed). What has a parameter's
// sizes, gradient, states and master, has its strides: elementwise rules then see equal places in memory.
//
// Most methods are a rule of the elementwise kernel: they fill in its constants, and the optimizer runs all their
// parameters in one pass. Adafactor and Muon look at whole tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cpu/optimizer_params.h"
#include "powerhouse/optimizer.h"

namespace powerhouse {

struct StateTensor {
  std::string_view name;  ///< as state_dict writes it: exp_avg, absmax1 ...
  at::ScalarType type;
  std::vector<std::int64_t> sizes;
  float fill = 0;
  at::Tensor tensor{};  ///< made by the optimizer
};

struct ParameterSlot {
  std::string name;
  at::Tensor parameter;
  at::Tensor gradient{};  ///< of this step, strided as the parameter is; undefined: the parameter is left alone
  Element type;
  double lr_scale = 1;
  std::optional<double> lr{};
  std::optional<double> weight_decay{};
  bool muon = true;
  std::int64_t step = 0;
  std::vector<StateTensor> states{};
  at::Tensor master{};  ///< float32 weights of which `parameter` is the rounding, or undefined

  const at::Tensor& weights() const { return master.defined() ? master : parameter; }
};

/// A step's settings for one parameter, `step` counting from 1.
struct StepRate {
  double lr;
  double multiplier;  ///< the part of lr that is the group's scale and the schedule's
  double weight_decay;
  double grad_scale;  ///< clipping included
};

class OptimizerMethod {
 public:
  virtual ~OptimizerMethod() = default;
  virtual double lr(const ParameterSlot& slot) const = 0;
  virtual double weight_decay(const ParameterSlot& slot) const = 0;
  /// `number` is the type of states that are numbers.
  virtual std::vector<StateTensor> states(const ParameterSlot& slot, at::ScalarType number) const = 0;
  /// The kernel's constants; false where the whole tensor steps by `update`.
  virtual bool rule(const ParameterSlot& slot, const StepRate& rate, cpu::UpdateParams& params) const = 0;
  /// Steps one parameter. Runs on the calling thread alone where that is a worker of a team.
  virtual void update(ParameterSlot& slot, const StepRate& rate) const;
  /// Whether `update` of different parameters runs side by side, one thread each.
  virtual bool side_by_side() const { return false; }
};

/// Checks the options. Throws Error{range} or Error{usage}.
std::unique_ptr<OptimizerMethod> make_method(const OptimizerOptions& options);

std::unique_ptr<OptimizerMethod> make_method(const SgdOptions& options);
std::unique_ptr<OptimizerMethod> make_method(const AdamWOptions& options);
std::unique_ptr<OptimizerMethod> make_method(const AdamW8bitOptions& options);
std::unique_ptr<OptimizerMethod> make_method(const AdafactorOptions& options);
std::unique_ptr<OptimizerMethod> make_method(const LionOptions& options);
std::unique_ptr<OptimizerMethod> make_method(const MuonOptions& options);
std::unique_ptr<OptimizerMethod> make_method(const AdagradOptions& options);
std::unique_ptr<OptimizerMethod> make_method(const RmspropOptions& options);

/// Throw Error{range} naming the option unless `value` is at least 0 and finite; in [0, 1).
void check_not_negative(std::string_view option, double value);
void check_beta(std::string_view option, double value);

}  // namespace powerhouse
