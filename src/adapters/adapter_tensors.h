// The tensors of an adapter's file, put where they belong, in whichever spelling of PEFT's history they stand.
#pragma once

#include <set>
#include <span>
#include <string>
#include <unordered_map>

#include "adapters/adapter.h"
#include "formats/tensor_view.h"

namespace powerhouse {

class AdapterTensors {
 public:
  /// Views must outlive it. Errors name `path`.
  AdapterTensors(std::string path, std::span<const TensorView> views);

  /// Replaces every tensor of `adapter` by the file's, in the type that it has. Error{format} for tensors that are
  /// missing, of another shape, not finite, or that nothing asks for.
  void fill(Adapter& adapter, const Model& model);

 private:
  const TensorView* take(const std::string& name);
  at::Tensor read(const TensorView& view) const;
  bool fill_leaf(const AdapterLeaf& leaf, std::span<const std::string> names);
  bool fill_from_experts(LoraModule& lora);
  void fill_base_layers(Adapter& adapter, const Model& model);
  void assign(at::Tensor& tensor, const at::Tensor& value, const std::string& name) const;

  std::string path_;
  std::unordered_map<std::string_view, const TensorView*> by_name_;
  std::set<std::string_view> taken_;
};

}  // namespace powerhouse
