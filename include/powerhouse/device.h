// Where and in which number format a model computes.
#pragma once

#include <string>
#include <string_view>

#include "powerhouse/export.h"

namespace powerhouse {

/// The compute type. Accumulation, norm statistics, softmax and log-probabilities are float32 in all of them.
enum class Dtype {
  automatic,  ///< f32 for float32 checkpoints, bf16 for all others
  f32,
  bf16,
  f16,
};

/// "auto", "f32", "bf16", "f16".
POWERHOUSE_API std::string_view to_string(Dtype dtype) noexcept;
/// The same words, and "float32", "bfloat16", "float16". Error{usage} otherwise.
POWERHOUSE_API Dtype parse_dtype(std::string_view text);

/// How much of a number's last bits may depend on what else is computed beside it.
enum class Numerics {
  fast,   ///< whatever is fastest for so many rows; a prompt's rows differ in their last bits from those of single
          ///< tokens
  exact,  ///< one way to compute a row, whoever computes it and in whatever company (LoadOptions)
};

/// "fast", "exact".
POWERHOUSE_API std::string_view to_string(Numerics numerics) noexcept;
/// The same words. Error{usage} otherwise.
POWERHOUSE_API Numerics parse_numerics(std::string_view text);

enum class DeviceKind { cpu, cuda };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
};

/// "cpu", "cuda" or "cuda:1". Error{usage} otherwise.
POWERHOUSE_API Device parse_device(std::string_view text);

/// Threads used by every parallel region of the library and of LibTorch; 1 to 1024. The default is the number of
/// physical cores that this process may use.
POWERHOUSE_API void set_threads(int count);
POWERHOUSE_API int threads() noexcept;

/// The processor's name, and the instruction set that the kernels use ("avx512_bf16").
POWERHOUSE_API std::string cpu_name();
POWERHOUSE_API std::string kernel_instruction_set();

/// The peak resident size of this process in bytes, whoever allocated it.
POWERHOUSE_API unsigned long long peak_memory_bytes();

}  // namespace powerhouse
