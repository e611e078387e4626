// AdapterRegistry: all adapters of one handle, which of them are active, and which are merged into the weights.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapters/adapter.h"

namespace powerhouse {

/// What merging did to one parameter, as far as taking it out again needs to know.
struct MergedParameter {
  Role role{};
  std::int64_t layer = -1;
  bool is_bias = false;
  at::Tensor norm;    // DoRA's |W + delta| before
  at::Tensor before;  // the values, where something stands in their place
};

struct MergedAdapter {
  std::string name;
  double weight = 1;
  std::vector<MergedParameter> parameters;
};

struct AdapterRegistry {
  std::vector<std::unique_ptr<Adapter>> adapters;
  std::vector<AdapterWeight> active;
  std::vector<MergedAdapter> merged;

  Adapter* find(const std::string& name);
  /// Error{not_found} listing what there is.
  Adapter& at(const std::string& name);
  bool is_merged(const std::string& name) const;
};

/// Made where there is none.
AdapterRegistry& registry_of(CausalLM::Impl& impl);
/// Empty where there is none.
const AdapterRegistry& registry_of(const CausalLM::Impl& impl);

/// Adds a whole adapter and makes it the active one. Error{usage} for a name that is taken or can't be one.
void insert(CausalLM::Impl& impl, Adapter adapter, bool trainable);
void check_name(const CausalLM::Impl& impl, const std::string& name);

/// Makes the decoder's table again, from what is active and not merged.
void rebuild(CausalLM::Impl& impl);

}  // namespace powerhouse
