// Opens the CUDA half of LibTorch and our own kernels with the loader of the operating system.
//
// libtorch_cuda.so stands beside libtorch_cpu.so and registers itself when it is opened; libpowerhouse_cuda.so stands
// beside this library, knows nothing of LibTorch, and hands out its table. A library once opened stays: what LibTorch
// registered cannot be taken back.
#include "ops/cuda/library.h"

#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <link.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <mutex>
#include <typeinfo>

#include "powerhouse/error.h"

namespace powerhouse::ops {

namespace {

constexpr bool kWithCuda = POWERHOUSE_WITH_CUDA;
constexpr int kMostDevices = 64;  // as LibTorch has them
constexpr int kOldestMajor = 8;

[[noreturn]] void fail(const std::string& what, ErrorDetails details = {}) {
  details.field = "device";
  throw Error(ErrorKind::device, what, std::move(details));
}

std::string loader_words() {
  const char* words = dlerror();
  return words == nullptr ? "the loader does not say why" : words;
}

std::string folder_of(const link_map* map) {
  if (map == nullptr) return {};
  std::error_code ignored;
  // The program itself has no name here.
  const std::filesystem::path path = map->l_name == nullptr || map->l_name[0] == '\0'
                                         ? std::filesystem::read_symlink("/proc/self/exe", ignored)
                                         : std::filesystem::path(map->l_name);
  return path.parent_path().string();
}

void open_libtorch(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "libtorch_cuda.so").string();
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    fail("this LibTorch has no CUDA: libtorch_cuda.so is missing", {.file = path});
  }
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    fail("LibTorch's CUDA library can't be loaded: " + loader_words());
  }
}

// The first gradient on the CPU, among others, makes LibTorch ask what it can do with CUDA, and it asks just once.
void check_libtorch_hooks() {
  const at::CUDAHooksInterface& hooks = at::detail::getCUDAHooks();
  if (typeid(hooks) != typeid(at::CUDAHooksInterface)) return;
  fail(
      "LibTorch has settled in this process that there is no CUDA, as it does with the first gradient on the CPU: "
      "ask for the CUDA device before");
}

const cuda::KernelTable* open_table(const std::string& folder) {
  std::string path = (std::filesystem::path(folder) / "libpowerhouse_cuda.so").string();
  std::error_code ignored;
  // Beside a program that holds this library (a static build) it need not stand: its run path knows where.
  if (!std::filesystem::exists(path, ignored)) path = "libpowerhouse_cuda.so";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) fail("Powerhouse's CUDA library can't be loaded: " + loader_words());
  void* symbol = dlsym(library, "powerhouse_cuda_kernels");
  if (symbol == nullptr) fail("this is not Powerhouse's CUDA library: " + loader_words(), {.file = path});
  const cuda::KernelTable* table = reinterpret_cast<decltype(&powerhouse_cuda_kernels)>(symbol)();
  if (table->version != cuda::kTableVersion || table->bytes != sizeof(cuda::KernelTable)) {
    fail("Powerhouse's CUDA library is of another build",
         {.file = path,
          .expected = std::to_string(cuda::kTableVersion) + "." + std::to_string(sizeof(cuda::KernelTable)),
          .found = std::to_string(table->version) + "." + std::to_string(table->bytes)});
  }
  return table;
}

}  // namespace

CudaFolders cuda_folders() {
  CudaFolders folders;
  if (void* libtorch = dlopen("libtorch_cpu.so", RTLD_NOLOAD | RTLD_LAZY)) {
    link_map* map = nullptr;
    if (dlinfo(libtorch, RTLD_DI_LINKMAP, &map) == 0) folders.libtorch = folder_of(map);
    dlclose(libtorch);
  }
  Dl_info info;
  void* map = nullptr;
  if (dladdr1(reinterpret_cast<void*>(&cuda_folders), &info, &map, RTLD_DL_LINKMAP) != 0) {
    folders.powerhouse = folder_of(static_cast<const link_map*>(map));
  }
  return folders;
}

const cuda::KernelTable& open_cuda_kernels(const CudaFolders& folders) {
  open_libtorch(folders.libtorch);
  check_libtorch_hooks();
  return *open_table(folders.powerhouse);
}

void check_cuda_device(const cuda::KernelTable& kernels, int device) {
  const char* why = "none is there";
  const int count = kernels.device_count(&why);
  if (count < 1) fail("no CUDA device can be used: " + std::string(why));
  if (device < 0 || device >= count) {
    fail("there is no such CUDA device",
         {.expected = count == 1 ? "cuda:0" : "cuda:0 to cuda:" + std::to_string(count - 1),
          .found = "cuda:" + std::to_string(device)});
  }
  cuda::DeviceProperties properties;
  if (const char* failed = kernels.device_properties(device, properties)) {
    fail("CUDA device " + std::to_string(device) + " does not answer: " + failed);
  }
  if (properties.major < kOldestMajor) {
    fail("this GPU is too old for the CUDA kernels",
         {.expected = "compute capability 8.0 or newer",
          .found = std::to_string(properties.major) + "." + std::to_string(properties.minor) + ", " + properties.name});
  }
}

const cuda::KernelTable& cuda_kernels(int device) {
  if (!kWithCuda) fail("this build of Powerhouse has no CUDA: it was configured without POWERHOUSE_CUDA");
  static std::mutex mutex;
  static const cuda::KernelTable* table = nullptr;
  static std::array<std::atomic<bool>, kMostDevices> checked{};
  const bool known = device >= 0 && device < kMostDevices;
  if (known && checked[static_cast<std::size_t>(device)].load(std::memory_order_acquire)) return *table;
  const std::lock_guard<std::mutex> lock(mutex);
  if (table == nullptr) table = &open_cuda_kernels(cuda_folders());
  check_cuda_device(*table, device);
  if (known) checked[static_cast<std::size_t>(device)].store(true, std::memory_order_release);
  return *table;
}

cuda::Stream cuda_stream(int device) {
  const c10::Device of(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device));
  // A member of c10 since LibTorch 2.11; older ones still compile all but this.
  const auto handle = [&](const auto& guard) -> void* {
    if constexpr (requires { guard.getStreamNativeHandle(guard.getStream(of)); }) {
      return guard.getStreamNativeHandle(guard.getStream(of));
    } else {
      fail("this LibTorch is too old to hand out its CUDA streams");
    }
  };
  return static_cast<cuda::Stream>(handle(*c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA)));
}

}  // namespace powerhouse::ops
