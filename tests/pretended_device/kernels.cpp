#include "pretended_device/kernels.h"

#include <stdexcept>

#include "kernels/cuda_products/products_on_host.h"
#include "kernels/cuda_rows/kernels_on_host.h"
#include "pretended_device/graph.h"
#include "pretended_device/instances_on_host.h"
#include "pretended_device/memory.h"

namespace powerhouse::pretended_device {
namespace {

using cuda::Stream;
using testing::HostLauncher;

int count = 0;

// All of the device's memory is one buffer: a pointer that belongs to the host, or to nobody, is a fault.
template <typename Launch>
void run(const Launch& launch) {
  cuda_on_host::GlobalMemory memory;
  memory.add(Memory::get().begin(), Memory::kBytes, "device", cuda_on_host::Contents::unnoted);
  const HostLauncher launcher(memory, cuda_on_host::Order::forward, 1);
  const HostAccess access;
  ++count;
  launch(launcher);
  if (launcher.text() != "clean") throw std::runtime_error(launcher.text());
}

// A launcher on the CPU as a member of the table.
template <auto kLaunch>
struct Member;

template <typename Params, bool (*kLaunch)(const Params&, const HostLauncher&)>
struct Member<kLaunch> {
  static bool launch(const Params& params, Stream stream) {
    bool taken = false;
    run([&](const HostLauncher& launcher) { taken = kLaunch(params, launcher); });
    if (taken) note([params, stream] { launch(params, stream); });
    return taken;
  }
};

template <typename Params, void (*kLaunch)(const Params&, const HostLauncher&)>
struct Member<kLaunch> {
  static void launch(const Params& params, Stream stream) {
    run([&](const HostLauncher& launcher) { kLaunch(params, launcher); });
    note([params, stream] { launch(params, stream); });
  }
};

template <typename Params, bool (*kLaunch)(const Params&, std::int64_t, const HostLauncher&)>
struct Member<kLaunch> {
  static bool launch(const Params& params, std::int64_t items, Stream stream) {
    bool taken = false;
    run([&](const HostLauncher& launcher) { taken = kLaunch(params, items, launcher); });
    if (taken) note([params, items, stream] { launch(params, items, stream); });
    return taken;
  }
};

template <typename Params, void (*kLaunch)(const Params&, std::int64_t, const HostLauncher&)>
struct Member<kLaunch> {
  static void launch(const Params& params, std::int64_t items, Stream stream) {
    run([&](const HostLauncher& launcher) { kLaunch(params, items, launcher); });
    note([params, items, stream] { launch(params, items, stream); });
  }
};

constexpr cuda::KernelTable kTable{
    .device_count =
        [](const char** why) {
          *why = nullptr;
          return 1;
        },
    .device_properties = [](int, cuda::DeviceProperties& properties) -> const char* {
      properties.multiprocessors = 4;
      properties.shared_bytes = 227 << 10;
      return nullptr;
    },
    .take_error = []() -> const char* { return nullptr; },
    .graph_begin = graph_begin,
    .graph_end = graph_end,
    .graph_replay = graph_replay,
    .graph_drop = graph_drop,
    .rms_norm = Member<testing::rms_norm_on_host>::launch,
    .layer_norm = Member<testing::layer_norm_on_host>::launch,
    .norm_gradient = Member<testing::norm_gradient_on_host>::launch,
    .rope = Member<testing::rope_on_host>::launch,
    .activation_mul = Member<testing::activation_on_host>::launch,
    .activation_gradient = Member<testing::activation_gradient_on_host>::launch,
    .dropout = Member<testing::dropout_on_host>::launch,
    .cross_entropy = Member<testing::cross_entropy_on_host>::launch,
    .dequantize = Member<testing::dequantize_on_host>::launch,
    .quantized_product = Member<product_on_host>::launch,
    .sample = Member<testing::sampling_on_host>::launch,
    .adamw8 = Member<testing::adamw8_on_host>::launch,
    .optimizer_update = Member<testing::optimizer_update_on_host>::launch,
    .sum_squares = Member<testing::sum_squares_on_host>::launch,
    .few_rows_product = Member<few_rows_product_on_host>::launch,
    .rope_write = Member<rope_write_on_host>::launch,
    .repack = Member<testing::repack_on_host>::launch,
    .repacked_product = Member<testing::repacked_product_on_host>::launch,
    .repacked_dequantize = Member<testing::repacked_dequantize_on_host>::launch,
    .flash_forward = Member<flash_forward_on_host>::launch,
    .flash_backward = Member<flash_backward_on_host>::launch,
    .paged_attention = Member<paged_attention_on_host>::launch,
    .paged_write = Member<paged_write_on_host>::launch,
    .paged_gather = Member<paged_gather_on_host>::launch,
    .page_copy = Member<page_copy_on_host>::launch,
    .lora_gather = Member<lora_gather_on_host>::launch,
};

}  // namespace

const cuda::KernelTable& kernels() { return kTable; }
int launches() { return count; }

}  // namespace powerhouse::pretended_device
