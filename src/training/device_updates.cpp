#include "training/device_updates.h"

#include <cstring>
#include <map>
#include <mutex>
#include <variant>

#include "ops/device_kernels.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

[[noreturn]] void refuse(const char* field, std::string expected, std::string found) {
  throw Error(ErrorKind::unsupported, "no step of the optimizer on a device with these options",
              {.field = field, .expected = std::move(expected), .found = std::move(found)});
}

// A map of codes with its values and bounds on the device, kept for good.
cpu::StateCodes codes_on(const at::Device& device, const cpu::StateCodes& codes) {
  static std::mutex mutex;
  static auto* const kept = new std::map<std::pair<const cpu::StateCodes*, int>, at::Tensor>();
  const std::lock_guard lock(mutex);
  at::Tensor& both = (*kept)[{&codes, device.index()}];
  if (!both.defined()) {
    std::vector<float> values(codes.values, codes.values + 256);
    values.insert(values.end(), codes.bounds, codes.bounds + 256);
    both = float_tensor(values, device);
  }
  cpu::StateCodes there = codes;
  there.values = both.const_data_ptr<float>();
  there.bounds = there.values + 256;
  return there;
}

void update_codes(const at::Device& device, cpu::UpdateParams params, std::int64_t elements) {
  const cpu::StateCodes a = codes_on(device, *params.a.codes), b = codes_on(device, *params.b.codes);
  params.a.codes = &a;
  params.b.codes = &b;
  ops::DeviceKernels(device).must_launch("adamw8", &cuda::KernelTable::adamw8, params, elements);
}

// A table in the device's memory, which has to live until its launches are queued.
struct TableThere {
  at::Tensor memory;
  cuda::UpdateTable table;
};

TableThere table_on(const at::Device& device, std::vector<cuda::UpdateItem>& items) {
  std::int64_t chunks = 0;
  for (cuda::UpdateItem& item : items) {
    item.first_chunk = chunks;
    chunks += (item.elements + cuda::kUpdateChunk - 1) / cuda::kUpdateChunk;
  }
  const auto bytes = static_cast<std::int64_t>(items.size() * sizeof(cuda::UpdateItem));
  const at::Tensor host = empty_tensor({bytes}, at::kByte);
  std::memcpy(host.mutable_data_ptr(), items.data(), static_cast<std::size_t>(bytes));
  const at::Tensor memory = uploaded(host, device);
  return {memory,
          {static_cast<const cuda::UpdateItem*>(memory.const_data_ptr()), static_cast<int>(items.size()), chunks}};
}

}  // namespace

void check_device_optimizer(const OptimizerOptions& options, const OptimizerStorage& storage) {
  if (std::holds_alternative<AdafactorOptions>(options) || std::holds_alternative<MuonOptions>(options))
    refuse("optimizer", "a rule of single elements", "one of whole tensors");
  if (storage.paged || storage.paged_above_bytes > 0) refuse("paged", "states on the device", "states in a file");
  if (storage.stochastic_rounding) refuse("stochastic_rounding", "false", "true");
}

std::vector<double> gradient_squares_on_device(std::span<const ParameterSlot> slots) {
  std::vector<double> result(slots.size());
  std::vector<cuda::UpdateItem> items;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const at::Tensor& gradient = slots[i].gradient;
    if (!gradient.defined() || gradient.numel() == 0) continue;
    items.push_back(
        {.params = {.type = slots[i].type, .gradient = gradient.const_data_ptr()}, .elements = gradient.numel()});
    places.push_back(i);
  }
  if (items.empty()) return result;
  const at::Device device = slots[places.front()].gradient.device();
  const auto [memory, table] = table_on(device, items);
  const at::Tensor parts = empty_tensor({table.chunks}, at::kDouble, device),
                   sums = empty_tensor({table.count}, at::kDouble, device);
  ops::DeviceKernels(device).must_launch(
      "sum_squares", &cuda::KernelTable::sum_squares,
      cuda::SumSquaresParams{table, parts.mutable_data_ptr<double>(), sums.mutable_data_ptr<double>()});
  const at::Tensor here = downloaded(sums);
  for (std::size_t i = 0; i < places.size(); ++i) result[places[i]] = here.const_data_ptr<double>()[i];
  return result;
}

void run_updates_on_device(const at::Device& device, std::span<const ElementwiseUpdate> updates) {
  std::vector<cuda::UpdateItem> items;
  for (const ElementwiseUpdate& update : updates) {
    if (update.count == 0) continue;
    if (update.params.a.codes != nullptr) {
      update_codes(device, update.params, update.count);
    } else {
      items.push_back({.params = update.params, .elements = update.count});
    }
  }
  if (items.empty()) return;
  const auto [memory, table] = table_on(device, items);
  ops::DeviceKernels(device).must_launch("optimizer_update", &cuda::KernelTable::optimizer_update, table);
}

}  // namespace powerhouse
