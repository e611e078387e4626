// Names of dtypes, cache types and devices, threads, and what the machine is.
#include "powerhouse/device.h"

#include <ATen/Parallel.h>

#include <charconv>
#include <cstdlib>

#include "kernels/cpu/kernels.h"
#include "model/causal_lm_impl.h"
#include "ops/device_kernels.h"
#include "powerhouse/error.h"
#include "powerhouse/session.h"
#include "support/cpu_info.h"
#include "support/thread_team.h"

namespace powerhouse {

std::string_view to_string(Dtype dtype) noexcept {
  switch (dtype) {
    case Dtype::automatic: return "auto";
    case Dtype::f32: return "f32";
    case Dtype::bf16: return "bf16";
    case Dtype::f16: return "f16";
  }
  return "";
}

Dtype parse_dtype(std::string_view text) {
  if (text == "auto") return Dtype::automatic;
  if (text == "f32" || text == "float32") return Dtype::f32;
  if (text == "bf16" || text == "bfloat16") return Dtype::bf16;
  if (text == "f16" || text == "float16") return Dtype::f16;
  throw Error(ErrorKind::usage, "unknown dtype",
              {.field = "dtype", .expected = "auto, f32, bf16 or f16", .found = std::string(text)});
}

std::string_view to_string(Numerics numerics) noexcept { return numerics == Numerics::exact ? "exact" : "fast"; }

Numerics parse_numerics(std::string_view text) {
  if (text == "fast") return Numerics::fast;
  if (text == "exact") return Numerics::exact;
  throw Error(ErrorKind::usage, "unknown numerics",
              {.field = "numerics", .expected = "fast or exact", .found = std::string(text)});
}

std::string_view to_string(KvType type) noexcept {
  switch (type) {
    case KvType::automatic: return "auto";
    case KvType::f32: return "f32";
    case KvType::bf16: return "bf16";
    case KvType::f16: return "f16";
    case KvType::q8_0: return "q8_0";
    case KvType::q5_1: return "q5_1";
    case KvType::q5_0: return "q5_0";
    case KvType::q4_1: return "q4_1";
    case KvType::q4_0: return "q4_0";
    case KvType::iq4_nl: return "iq4_nl";
  }
  return "";
}

KvType parse_kv_type(std::string_view text) {
  if (text == "auto") return KvType::automatic;
  if (text == "f32" || text == "float32") return KvType::f32;
  if (text == "bf16" || text == "bfloat16") return KvType::bf16;
  if (text == "f16" || text == "float16") return KvType::f16;
  for (const KvType type : {KvType::q8_0, KvType::q5_1, KvType::q5_0, KvType::q4_1, KvType::q4_0, KvType::iq4_nl}) {
    if (text == to_string(type)) return type;
  }
  throw Error(ErrorKind::usage, "unknown cache type",
              {.field = "kv_type",
               .expected = "auto, f32, bf16, f16, q8_0, q5_1, q5_0, q4_1, q4_0 or iq4_nl",
               .found = std::string(text)});
}

Device parse_device(std::string_view text) {
  if (text == "cpu") return {};
  if (text == "cuda") return {DeviceKind::cuda, 0};
  if (text.starts_with("cuda:")) {
    const std::string_view number = text.substr(5);
    int index = 0;
    const auto [end, failure] = std::from_chars(number.data(), number.data() + number.size(), index);
    if (failure == std::errc() && end == number.data() + number.size() && index >= 0) return {DeviceKind::cuda, index};
  }
  throw Error(ErrorKind::usage, "unknown device",
              {.field = "device", .expected = "cpu, cuda or cuda:N", .found = std::string(text)});
}

at::Device device_of(const LoadOptions& options) {
  const at::Device device = ops::torch_device(options.device);
  if (!device.is_cpu() && options.numerics == Numerics::exact) {
    throw Error(ErrorKind::unsupported, "exact numerics are those of the CPU",
                {.field = "numerics", .expected = "fast", .found = "exact"});
  }
  return device;
}

void check_kernels() {
  if (cpu::selected_kernels() != nullptr) return;
  std::string names;
  for (const char* const* name = cpu::kernel_names(); *name != nullptr; ++name) {
    if (cpu::find_kernels(*name) == nullptr) continue;
    if (!names.empty()) names += ", ";
    names += *name;
  }
  const char* wanted = std::getenv("POWERHOUSE_ISA");
  throw Error(ErrorKind::usage, "this processor can't run the wanted kernels",
              {.field = "POWERHOUSE_ISA", .expected = "one of " + names, .found = wanted == nullptr ? "" : wanted});
}

void set_threads(int count) {
  // LibTorch's pool and ours are one libgomp; both are told the same number. Telling LibTorch starts one more pool,
  // whose threads spin for 30 ms before they sleep: it is asked first whether it has this number anyway.
  const bool same = at::get_num_threads() == count;
  set_team_threads(count);
  if (!same) at::set_num_threads(count);
}

int threads() noexcept { return team_threads(); }

std::string cpu_name() { return processor_name(); }

std::string kernel_instruction_set() { return cpu::kernels().name; }

unsigned long long peak_memory_bytes() { return peak_resident_bytes(); }

}  // namespace powerhouse
