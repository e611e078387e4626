// What the tests of CPU kernels share: typed buffers that lie badly on purpose, comparison, and every instruction set
// that this processor runs, by name.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/cpu/kernels.h"

#ifdef POWERHOUSE_AMX_EMULATED_TEST
namespace powerhouse::cpu::amx_emulated {
extern void (*const kGemm)(const GemmParams&, std::int64_t begin, std::int64_t end, float* scratch);
}
#endif

namespace powerhouse::testing {

inline constexpr Element kElements[] = {Element::f32, Element::bf16, Element::f16};
/// Of rows that registers of any width do not divide, or do.
inline constexpr std::int64_t kRowSizes[] = {1, 3, 8, 15, 16, 17, 47, 64, 100, 576};
inline constexpr cpu::ActivationKind kActivationKinds[] = {
    cpu::ActivationKind::silu,    cpu::ActivationKind::gelu_tanh,  cpu::ActivationKind::gelu,
    cpu::ActivationKind::relu,    cpu::ActivationKind::quick_gelu, cpu::ActivationKind::relu2,
    cpu::ActivationKind::sigmoid, cpu::ActivationKind::tanh};

/// Elements at an address that is a multiple of the element's size only. The heap block ends where they end, so that
/// an address sanitizer sees a read past the end.
class Buffer {
 public:
  Buffer(Element type, std::int64_t count, float value = 0.0f)
      : type_(type), count_(count), bytes_((count + 1) * element_bytes(type)) {
    for (std::int64_t i = 0; i < count; ++i) set(i, value);
  }

  static Buffer random(Element type, std::int64_t count, std::mt19937& engine, float scale = 1.0f) {
    Buffer buffer(type, count);
    std::uniform_real_distribution<float> uniform(-scale, scale);
    for (std::int64_t i = 0; i < count; ++i) buffer.set(i, uniform(engine));
    return buffer;
  }

  void* data() { return bytes_.data() + element_bytes(type_); }
  const void* data() const { return bytes_.data() + element_bytes(type_); }
  float* floats() { return static_cast<float*>(data()); }
  float at(std::int64_t i) const { return read_element(data(), type_, i); }
  void set(std::int64_t i, float value) { write_element(data(), type_, i, value); }
  std::int64_t size() const { return count_; }
  Element type() const { return type_; }
  bool operator==(const Buffer& other) const { return bytes_ == other.bytes_; }

 private:
  Element type_;
  std::int64_t count_;
  std::vector<std::uint8_t> bytes_;
};

/// One unit in the last place of the type, relative.
inline double spacing(Element type) {
  return type == Element::f32 ? 0x1p-23 : type == Element::bf16 ? 0x1p-7 : 0x1p-10;
}

/// Each |found - expected| <= absolute + relative |expected|; NaN equals NaN. Empty, or the position that is worst.
inline std::string difference(const Buffer& found, const Buffer& expected, double relative, double absolute) {
  if (found.size() != expected.size()) return "another size";
  double worst = 1;
  std::int64_t where = -1;
  for (std::int64_t i = 0; i < found.size(); ++i) {
    const auto a = static_cast<double>(found.at(i));
    const auto b = static_cast<double>(expected.at(i));
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    const double excess = std::abs(a - b) / (absolute + relative * std::abs(b));
    if (!(excess <= worst)) {  // NaN too
      worst = std::isnan(excess) ? std::numeric_limits<double>::infinity() : excess;
      where = i;
    }
  }
  if (where < 0) return "";
  std::ostringstream text;
  text << "element " << where << " of " << found.size() << " is " << found.at(where) << ", expected "
       << expected.at(where) << " (" << worst << " times the tolerance)";
  return text.str();
}

inline void expect_close(const Buffer& found, const Buffer& expected, double relative, double absolute,
                         const ::testing::Message& what) {
  EXPECT_EQ(difference(found, expected, relative, absolute), "") << what.GetString();
}

/// The tables that this processor runs.
inline std::vector<const cpu::CpuKernels*> available_tables() {
  std::vector<const cpu::CpuKernels*> tables;
  for (const char* const* name = cpu::kernel_names(); *name != nullptr; ++name) {
    if (const cpu::CpuKernels* table = cpu::find_kernels(*name)) tables.push_back(table);
  }
  return tables;
}

/// These, and AMX's gemm with emulated tiles.
inline std::vector<const cpu::CpuKernels*> gemm_tables() {
  std::vector<const cpu::CpuKernels*> tables = available_tables();
#ifdef POWERHOUSE_AMX_EMULATED_TEST
  if (const cpu::CpuKernels* plain = cpu::find_kernels("avx512_bf16")) {
    static cpu::CpuKernels emulated = *plain;
    emulated.name = "amx_emulated";
    emulated.gemm = cpu::amx_emulated::kGemm;
    tables.push_back(&emulated);
  }
#endif
  return tables;
}

/// A suite whose cases run once for each instruction set.
class CpuKernelTest : public ::testing::TestWithParam<const cpu::CpuKernels*> {
 protected:
  const cpu::CpuKernels& kernels() const { return *GetParam(); }
  std::mt19937 engine_{7};
};

inline std::string table_name(const ::testing::TestParamInfo<const cpu::CpuKernels*>& info) { return info.param->name; }

#define POWERHOUSE_EVERY_INSTRUCTION_SET(suite) \
  INSTANTIATE_TEST_SUITE_P(, suite, ::testing::ValuesIn(available_tables()), table_name)

/// tests/fixtures/kernels/cpu_kernels.txt, written by tests/oracles/cpu_kernels.py, or another file like it.
class Fixture {
 public:
  explicit Fixture(const std::string& name_of_file = "cpu_kernels.txt") {
    std::ifstream file(std::string(POWERHOUSE_FIXTURES) + "/kernels/" + name_of_file);
    std::string name;
    for (std::size_t count = 0; file >> name >> count;) {
      std::vector<float>& values = tensors_[name];
      for (std::string word; values.size() < count && file >> word;) {
        values.push_back(bits_float(static_cast<std::uint32_t>(std::stoul(word, nullptr, 16))));
      }
    }
  }
  Buffer get(const std::string& name, Element type = Element::f32) const {
    const std::vector<float>& values = tensors_.at(name);
    Buffer buffer(type, static_cast<std::int64_t>(values.size()));
    for (std::size_t i = 0; i < values.size(); ++i) buffer.set(static_cast<std::int64_t>(i), values[i]);
    return buffer;
  }

 private:
  std::map<std::string, std::vector<float>> tensors_;
};

}  // namespace powerhouse::testing
