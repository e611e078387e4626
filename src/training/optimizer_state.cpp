#include "training/optimizer_state.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/GradMode.h>

#include <map>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/shape_text.h"

namespace powerhouse {
namespace {

constexpr std::uint64_t kAlignment = 64;

std::uint64_t bytes_of(const StateTensor& state) {
  std::uint64_t bytes = c10::elementSize(state.type);
  for (const std::int64_t size : state.sizes) bytes *= static_cast<std::uint64_t>(size);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

bool wants_master(const ParameterSlot& slot, const OptimizerStorage& storage) {
  return storage.master_weights && slot.type != Element::f32;
}

StateTensor master_of(const ParameterSlot& slot) { return {"master", at::kFloat, slot.parameter.sizes().vec()}; }

at::Tensor place(const StateTensor& state, const at::Tensor& parameter, const std::shared_ptr<StateMemory>& memory,
                 std::uint64_t& offset) {
  std::byte* const data = memory->data() + offset;
  offset += bytes_of(state);
  const auto keep = [memory](void*) {};
  const at::TensorOptions options = at::TensorOptions().dtype(state.type);
  if (parameter.sizes() != at::IntArrayRef(state.sizes)) return at::from_blob(data, state.sizes, keep, options);
  return at::from_blob(data, state.sizes, parameter.strides(), keep, options);
}

/// Every tensor that a state dict has but the steps.
template <typename Visit>
void for_states(std::span<const ParameterSlot> slots, Visit&& visit) {
  for (const ParameterSlot& slot : slots) {
    for (const StateTensor& state : slot.states) visit(slot.name + "." + std::string(state.name), state.tensor);
    if (slot.master.defined()) visit(slot.name + ".master", slot.master);
  }
}

std::string describe(at::ScalarType type, at::IntArrayRef sizes) {
  return std::string(c10::toString(type)) + " " + shape_text(sizes);
}

const at::Tensor& find(const std::map<std::string_view, const at::Tensor*>& saved, const std::string& name,
                       at::ScalarType type, at::IntArrayRef sizes) {
  const auto found = saved.find(name);
  if (found == saved.end()) {
    throw Error(ErrorKind::not_found, "a state is missing from the optimizer's", {.field = name});
  }
  const at::Tensor& tensor = *found->second;
  if (!tensor.defined() || tensor.scalar_type() != type || tensor.sizes() != sizes || !tensor.device().is_cpu()) {
    throw Error(ErrorKind::format, "a state of another shape or type than the optimizer's",
                {.field = name,
                 .expected = describe(type, sizes),
                 .found = tensor.defined() ? describe(tensor.scalar_type(), tensor.sizes()) : "nothing"});
  }
  return tensor;
}

// A device's states are tensors of their own.
void make_on_device(ParameterSlot& slot, const OptimizerStorage& storage) {
  const at::Tensor& parameter = slot.parameter;
  for (StateTensor& state : slot.states) {
    const bool alike = parameter.sizes() == at::IntArrayRef(state.sizes);
    state.tensor = alike ? parameter.new_empty_strided(state.sizes, parameter.strides(), state.type)
                         : parameter.new_empty(state.sizes, state.type);
    state.tensor.fill_(state.fill);
  }
  if (!wants_master(slot, storage)) return;
  slot.master = parameter.new_empty_strided(parameter.sizes(), parameter.strides(), at::kFloat).copy_(parameter);
}

}  // namespace

std::shared_ptr<StateMemory> make_states(std::span<ParameterSlot> slots, const OptimizerStorage& storage) {
  if (!slots.empty() && !slots.front().parameter.is_cpu()) {
    const c10::AutoGradMode no_gradients(false);
    for (ParameterSlot& slot : slots) make_on_device(slot, storage);
    return std::make_shared<StateMemory>(0, /*paged=*/false, "");
  }
  std::uint64_t bytes = 0;
  for (const ParameterSlot& slot : slots) {
    for (const StateTensor& state : slot.states) bytes += bytes_of(state);
    if (wants_master(slot, storage)) bytes += bytes_of(master_of(slot));
  }
  const bool paged = storage.paged || (storage.paged_above_bytes > 0 && bytes > storage.paged_above_bytes);
  auto memory = std::make_shared<StateMemory>(bytes, paged, storage.page_folder);
  const c10::AutoGradMode no_gradients(false);
  std::uint64_t offset = 0;
  for (ParameterSlot& slot : slots) {
    for (StateTensor& state : slot.states) {
      state.tensor = place(state, slot.parameter, memory, offset);
      if (state.fill != 0) state.tensor.fill_(state.fill);
    }
    if (wants_master(slot, storage)) {
      slot.master = place(master_of(slot), slot.parameter, memory, offset);
      slot.master.copy_(slot.parameter);
    }
  }
  return memory;
}

std::vector<NamedTensor> save_states(std::span<const ParameterSlot> slots) {
  std::vector<NamedTensor> saved;
  for (const ParameterSlot& slot : slots) saved.emplace_back(slot.name + ".step", index_tensor({&slot.step, 1}));
  for_states(slots, [&](std::string name, const at::Tensor& tensor) {
    saved.emplace_back(std::move(name), tensor.to(at::kCPU));
  });
  return saved;
}

void load_states(std::span<ParameterSlot> slots, std::span<const NamedTensor> saved) {
  std::map<std::string_view, const at::Tensor*> by_name;
  for (const auto& [name, tensor] : saved) by_name.emplace(name, &tensor);
  std::size_t expected = slots.size();
  for (const ParameterSlot& slot : slots) {
    const std::int64_t step = find(by_name, slot.name + ".step", at::kLong, {1}).item().toLong();
    if (step < 0) {
      throw Error(ErrorKind::range, "a number of steps below 0",
                  {.field = slot.name + ".step", .expected = "at least 0", .found = std::to_string(step)});
    }
  }
  for_states(slots, [&](const std::string& name, const at::Tensor& tensor) {
    find(by_name, name, tensor.scalar_type(), tensor.sizes());
    ++expected;
  });
  if (by_name.size() != expected || saved.size() != expected) {
    throw Error(ErrorKind::format, "states of other parameters than the optimizer's",
                {.expected = std::to_string(expected) + " tensors", .found = std::to_string(saved.size())});
  }
  const c10::AutoGradMode no_gradients(false);
  for_states(slots, [&](const std::string& name, const at::Tensor& tensor) { tensor.copy_(*by_name.at(name)); });
  for (ParameterSlot& slot : slots) slot.step = by_name.at(slot.name + ".step")->item().toLong();
}

}  // namespace powerhouse
