// The checks themselves, tried without a GPU: on the device that tests pretend (tests/pretended_device) they find our
// kernels right, and with --wrong, where each kernel is told something else than asked for, each check finds it wrong.
#include <cstring>
#include <string>

#include "gpu_check/checks.h"
#include "pretended_device/device.h"
#include "pretended_device/kernels.h"

namespace powerhouse::gpu_check {
namespace {

using cuda::KernelTable;
using cuda::Stream;

const KernelTable& right() { return pretended_device::kernels(); }

// What is changed is small where small is possible: a step, a scale by a twentieth, one row.
const KernelTable& wrong() {
  static const KernelTable table = [] {
    KernelTable t = right();
    t.rms_norm = [](const cpu::RmsNormParams& params, std::int64_t items, Stream stream) {
      cpu::RmsNormParams p = params;
      p.epsilon = 0.1f;
      return right().rms_norm(p, items, stream);
    };
    t.layer_norm = [](const cpu::LayerNormParams& params, std::int64_t items, Stream stream) {
      cpu::LayerNormParams p = params;
      p.epsilon = 0.1f;
      return right().layer_norm(p, items, stream);
    };
    t.norm_gradient = [](const cpu::NormGradientParams& params, std::int64_t rows, Stream stream) {
      cpu::NormGradientParams p = params;
      p.epsilon = 0.1f;
      return right().norm_gradient(p, rows, stream);
    };
    t.rope = [](const cpu::RopeParams& params, std::int64_t tokens, Stream stream) {
      right().rope(params, tokens - 1, stream);
    };
    t.activation_mul = [](const cpu::ActivationParams& params, std::int64_t rows, Stream stream) {
      right().activation_mul(params, rows - 1, stream);
    };
    t.activation_gradient = [](const cpu::ActivationGradientParams& params, std::int64_t rows, Stream stream) {
      right().activation_gradient(params, rows - 1, stream);
    };
    t.cross_entropy = [](const cpu::CrossEntropyParams& params, std::int64_t rows, Stream stream) {
      cpu::CrossEntropyParams p = params;
      p.scale *= 1.05f;
      right().cross_entropy(p, rows, stream);
    };
    t.dequantize = [](const cpu::DequantizeParams& params, std::int64_t blocks, Stream stream) {
      return right().dequantize(params, blocks - 1, stream);
    };
    t.quantized_product = [](const cuda::QuantizedProductParams& params, Stream stream) {
      cuda::QuantizedProductParams p = params;
      p.bias = nullptr;
      return right().quantized_product(p, stream);
    };
    t.repack = [](const cuda::RepackParams&, Stream) { return false; };
    t.repacked_product = [](const cuda::RepackedProductParams& params, Stream stream) {
      cuda::RepackedProductParams p = params;
      p.bias = nullptr;
      return right().repacked_product(p, stream);
    };
    t.few_rows_product = [](const cuda::FewRowsParams& params, Stream stream) {
      cuda::FewRowsParams p = params;
      for (cuda::FewRowsPart& part : p.parts) part.bias = nullptr;
      return right().few_rows_product(p, stream);
    };
    t.rope_write = [](const cuda::RopeWriteParams& params, Stream stream) {
      cuda::RopeWriteParams p = params;
      p.queries.cos = params.queries.sin;
      return right().rope_write(p, stream);
    };
    t.sample = [](const cuda::SamplingParams& params, std::int64_t rows, Stream stream) {
      cuda::SamplingParams p = params;
      p.vocabulary = (p.vocabulary + 1) / 2;
      right().sample(p, rows, stream);
    };
    t.adamw8 = [](const cpu::UpdateParams& params, std::int64_t elements, Stream stream) {
      cpu::UpdateParams p = params;
      p.lr *= 1.05f;
      right().adamw8(p, elements, stream);
    };
    t.flash_forward = [](const cuda::FlashForwardParams& params, Stream stream) {
      cuda::FlashForwardParams p = params;
      p.scale *= 1.05f;
      return right().flash_forward(p, stream);
    };
    t.flash_backward = [](const cuda::FlashBackwardParams& params, Stream stream) {
      cuda::FlashBackwardParams p = params;
      p.forward.scale *= 1.05f;
      return right().flash_backward(p, stream);
    };
    t.paged_attention = [](const cuda::PagedAttentionParams& params, Stream stream) {
      cuda::PagedAttentionParams p = params;
      p.scale *= 1.2f;
      return right().paged_attention(p, stream);
    };
    t.paged_gather = [](const cuda::PagedGatherParams& params, Stream stream) {
      cuda::PagedGatherParams p = params;
      p.keys = params.values;
      p.values = params.keys;
      return right().paged_gather(p, stream);
    };
    t.page_copy = [](const cuda::PageCopyParams& params, Stream stream) {
      cuda::PageCopyParams p = params;
      --p.pages;
      return right().page_copy(p, stream);
    };
    t.lora_gather = [](const cuda::LoraGatherParams& params, Stream stream) {
      cuda::LoraGatherParams p = params;
      --p.rows;
      return right().lora_gather(p, stream);
    };
    return t;
  }();
  return table;
}

// A report whose lines say "right" and "wrong": all of a group's checks must be the one or the other.
int run(const std::string& name, const std::string& path, bool broken) {
  ops::pretend_cuda(pretended_device::device().type(), broken ? wrong() : right());
  const Machine machine{.device = pretended_device::device(), .judge = at::kCPU, .small = true, .multiprocessors = 4};
  for (const Group* group = kGroups; group->name != nullptr; ++group) {
    if (name != group->name) continue;
    Report report(path);
    try {
      group->run(report, machine);
    } catch (const std::exception& error) {  // numbers so wrong that the library noticed
      std::printf("%s\n", error.what());
      return broken ? 0 : 1;
    }
    std::printf("%d of %d checks found something wrong\n", report.failures, report.checks);
    return report.checks > 0 && report.failures == (broken ? report.checks : 0) ? 0 : 1;
  }
  return 2;
}

}  // namespace
}  // namespace powerhouse::gpu_check

int main(int count, char** words) {
  const bool broken = count > 2 && std::strcmp(words[2], "--wrong") == 0;
  if (count < 2) return 2;
  try {
    return powerhouse::gpu_check::run(words[1], "/dev/null", broken);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
