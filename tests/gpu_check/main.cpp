// The check on a GPU: gpu_check --list | --device | --group NAME [--small] --report FILE. Ends with 0 where all is
// right, 1 where something is wrong, 3 where there is no device.
#include <cstring>
#include <string>

#include "gpu_check/checks.h"
#include "ops/cuda/library.h"
#include "powerhouse/error.h"

namespace powerhouse::gpu_check {
namespace {

cuda::DeviceProperties properties_of(int device) {
  cuda::DeviceProperties properties;
  const cuda::KernelTable& table = ops::cuda_kernels(device);
  if (const char* why = table.device_properties(device, properties)) throw std::runtime_error(why);
  return properties;
}

int run(const std::string& name, const std::string& path, bool small) {
  const cuda::DeviceProperties properties = properties_of(0);
  const at::Device device(at::kCUDA, 0);
  const Machine machine{
      .device = device, .judge = device, .small = small, .multiprocessors = properties.multiprocessors};
  Report report(path);
  for (const Group* group = kGroups; group->name != nullptr; ++group) {
    if (name != group->name) continue;
    try {
      group->run(report, machine);
    } catch (const std::exception& error) {
      ++report.failures;
      report.line("broken", {{"what", name}, {"why", error.what()}}, {});
    }
    return report.failures > 0 ? 1 : 0;
  }
  std::fprintf(stderr, "gpu_check: there is no group %s\n", name.c_str());
  return 2;
}

int tell_device(const std::string& path) {
  const cuda::DeviceProperties p = properties_of(0);
  Report report(path);
  report.line("device", {{"name", p.name}, {"compute", std::to_string(p.major) + "." + std::to_string(p.minor)}},
              {{"multiprocessors", p.multiprocessors},
               {"memory_bytes", static_cast<double>(p.memory_bytes)},
               {"clock_khz", p.clock_khz},
               {"memory_clock_khz", p.memory_clock_khz},
               {"memory_bus_bits", p.memory_bus_bits}});
  return 0;
}

int run(int count, char** words) {
  std::string group, path = "/dev/null";
  bool device = false, small = false;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--list") {
      for (const Group* each = kGroups; each->name != nullptr; ++each) std::printf("%s\n", each->name);
      return 0;
    }
    if (word == "--device") {
      device = true;
    } else if (word == "--small") {
      small = true;
    } else if (word == "--group" && i + 1 < count) {
      group = words[++i];
    } else if (word == "--report" && i + 1 < count) {
      path = words[++i];
    } else {
      std::fprintf(stderr,
                   "usage: gpu_check --list | --device [--report FILE] | --group NAME [--small] --report FILE\n");
      return 2;
    }
  }
  return device ? tell_device(path) : run(group, path, small);
}

}  // namespace
}  // namespace powerhouse::gpu_check

int main(int count, char** words) {
  try {
    return powerhouse::gpu_check::run(count, words);
  } catch (const powerhouse::Error& error) {
    std::fprintf(stderr, "gpu_check: %s\n", error.what());
    return error.kind() == powerhouse::ErrorKind::device ? 3 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_check: %s\n", error.what());
    return 1;
  }
}
