// How the CUDA half is opened, and every way in which that fails: against libraries made for this (cuda_fakes), so that
// neither a GPU nor LibTorch's CUDA half is needed. Each case is a process of its own, as what was opened stays.
#include "ops/cuda/library.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "expect_error.h"
#include "random_tensor.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using cuda::DeviceProperties;
using cuda::KernelTable;
using testing::expect_error;

std::string fakes(const std::string& name) { return std::string(POWERHOUSE_CUDA_FAKES) + "/" + name; }

void expect_device_error(const std::string& words, const ops::CudaFolders& folders) {
  expect_error(ErrorKind::device, words, [&] { ops::open_cuda_kernels(folders); });
}

TEST(CudaLibrary, NoDeviceInThisBuildOrOnThisMachine) {
  if (POWERHOUSE_WITH_CUDA) GTEST_SKIP() << "this build has CUDA";
  expect_error(ErrorKind::device, "configured without POWERHOUSE_CUDA", [] { ops::cuda_kernels(0); });
}

TEST(CudaLibrary, LooksBesideLibTorchAndItself) {
  const ops::CudaFolders folders = ops::cuda_folders();
  EXPECT_TRUE(std::filesystem::exists(folders.libtorch + "/libtorch_cpu.so")) << folders.libtorch;
  EXPECT_TRUE(std::filesystem::exists(folders.powerhouse + "/cuda_library_test")) << folders.powerhouse;
}

TEST(CudaLibrary, LibTorchWithoutCuda) {
  expect_device_error("libtorch_cuda.so is missing", {.libtorch = fakes("empty"), .powerhouse = fakes("good")});
}

TEST(CudaLibrary, LibTorchThatIsNoLibrary) {
  const testing::TemporaryFolder folder;
  folder.write("libtorch_cuda.so", "not a library");
  expect_device_error("LibTorch's CUDA library can't be loaded",
                      {.libtorch = folder.path(), .powerhouse = fakes("good")});
}

TEST(CudaLibrary, LibTorchWithoutALibraryThatItNeeds) {
  expect_device_error("libgone.so", {.libtorch = fakes("needy"), .powerhouse = fakes("good")});
}

TEST(CudaLibrary, LibTorchThatSettledForTheCpu) {
  const at::Tensor x = testing::random_tensor({2}).set_requires_grad(true);
  x.mul(x).sum().backward();
  expect_device_error("settled", {.libtorch = fakes("libtorch"), .powerhouse = fakes("good")});
}

TEST(CudaLibrary, NoKernels) {
  expect_device_error("Powerhouse's CUDA library can't be loaded",
                      {.libtorch = fakes("libtorch"), .powerhouse = fakes("empty")});
}

TEST(CudaLibrary, NotOurKernels) {
  expect_device_error("not Powerhouse's CUDA library",
                      {.libtorch = fakes("libtorch"), .powerhouse = fakes("stranger")});
}

TEST(CudaLibrary, KernelsOfAnotherVersion) {
  expect_device_error("of another build", {.libtorch = fakes("libtorch"), .powerhouse = fakes("newer")});
}

TEST(CudaLibrary, KernelsOfAnotherLayout) {
  expect_device_error("of another build", {.libtorch = fakes("libtorch"), .powerhouse = fakes("larger")});
}

TEST(CudaLibrary, OpensBothAndKnowsTheDevices) {
  const KernelTable& table = ops::open_cuda_kernels({.libtorch = fakes("libtorch"), .powerhouse = fakes("good")});
  EXPECT_NO_THROW(ops::check_cuda_device(table, 0));
  expect_error(ErrorKind::device, "8.0 or newer, found 7.5, Pretended", [&] { ops::check_cuda_device(table, 1); });
  expect_error(ErrorKind::device, "expected cuda:0 to cuda:1, found cuda:2", [&] { ops::check_cuda_device(table, 2); });
  expect_error(ErrorKind::device, "found cuda:-1", [&] { ops::check_cuda_device(table, -1); });
}

TEST(CudaLibrary, NoDriver) {
  const KernelTable table{.device_count = [](const char** why) {
    *why = "no driver";
    return 0;
  }};
  expect_error(ErrorKind::device, "no CUDA device can be used: no driver", [&] { ops::check_cuda_device(table, 0); });
}

TEST(CudaLibrary, DeviceThatDoesNotAnswer) {
  const KernelTable table{
      .device_count = [](const char**) { return 1; },
      .device_properties = [](int, DeviceProperties&) -> const char* { return "the device is lost"; }};
  expect_error(ErrorKind::device, "the device is lost", [&] { ops::check_cuda_device(table, 0); });
}

}  // namespace
}  // namespace powerhouse
