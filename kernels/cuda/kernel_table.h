// The table of launchers: all that the rest of the library knows of libpowerhouse_cuda.so, which exports one function
// that hands it out. Tests fill the same table with launches on the CPU.
//
// A launcher queues work on the stream and returns at once; whether it could be queued is asked of `take_error`. False:
// there is no kernel for these arguments, and nothing was queued. What each takes is said where it is declared.
// Whoever adds a launcher adds a member, and whoever changes the table or a struct of arguments raises kTableVersion.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kernels.h"
#include "kernels/cuda/few_rows_product_params.h"
#include "kernels/cuda/flash_attention/backward_params.h"
#include "kernels/cuda/flash_attention/params.h"
#include "kernels/cuda/gptq_product_params.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/lora_gather_params.h"
#include "kernels/cuda/optimizer_params.h"
#include "kernels/cuda/paged_attention_params.h"
#include "kernels/cuda/quantized_product_params.h"
#include "kernels/cuda/rope_write_params.h"
#include "kernels/cuda/sampling_params.h"
#include "kernels/cuda/stream.h"

namespace powerhouse::cuda {

inline constexpr int kTableVersion = 6;

/// Of one GPU, as the driver reports it.
struct DeviceProperties {
  char name[256] = {};
  int major = 0;  ///< compute capability
  int minor = 0;
  int multiprocessors = 0;
  int shared_bytes = 0;  ///< the most that a block can have
  std::size_t memory_bytes = 0;
  int clock_khz = 0;         ///< the highest of a multiprocessor; 0: not told
  int memory_clock_khz = 0;  ///< 0: not told
  int memory_bus_bits = 0;
};

struct KernelTable {
  int version = kTableVersion;
  std::size_t bytes = sizeof(KernelTable);  ///< tells apart builds that forgot to raise the version

  // Devices. Texts are the driver's own words, and stay.
  /// How many GPUs there are; below 1, `*why` says why.
  int (*device_count)(const char** why) = nullptr;
  /// Null, or why there is no answer.
  const char* (*device_properties)(int index, DeviceProperties& properties) = nullptr;
  /// What kept the last launch of this thread from being queued, which is forgotten; null: nothing.
  const char* (*take_error)() = nullptr;

  // kernels/cuda/graph.h
  const char* (*graph_begin)(int device, Graph*& graph) = nullptr;
  const char* (*graph_end)(Graph* graph) = nullptr;
  const char* (*graph_replay)(Graph* graph) = nullptr;
  void (*graph_drop)(Graph* graph) = nullptr;

  // kernels/cuda/row_kernels.h
  bool (*rms_norm)(const cpu::RmsNormParams&, std::int64_t items, Stream) = nullptr;
  bool (*layer_norm)(const cpu::LayerNormParams&, std::int64_t items, Stream) = nullptr;
  bool (*norm_gradient)(const cpu::NormGradientParams&, std::int64_t part_rows, Stream) = nullptr;
  void (*rope)(const cpu::RopeParams&, std::int64_t tokens, Stream) = nullptr;
  void (*activation_mul)(const cpu::ActivationParams&, std::int64_t rows, Stream) = nullptr;
  void (*activation_gradient)(const cpu::ActivationGradientParams&, std::int64_t rows, Stream) = nullptr;
  void (*dropout)(const cpu::DropoutParams&, std::int64_t rows, Stream) = nullptr;
  void (*cross_entropy)(const cpu::CrossEntropyParams&, std::int64_t rows, Stream) = nullptr;
  bool (*dequantize)(const cpu::DequantizeParams&, std::int64_t blocks, Stream) = nullptr;
  bool (*quantized_product)(const QuantizedProductParams&, Stream) = nullptr;
  void (*sample)(const SamplingParams&, std::int64_t rows, Stream) = nullptr;
  void (*adamw8)(const cpu::UpdateParams&, std::int64_t elements, Stream) = nullptr;
  void (*optimizer_update)(const UpdateTable&, Stream) = nullptr;
  void (*sum_squares)(const SumSquaresParams&, Stream) = nullptr;

  // kernels/cuda/few_rows_product.h
  bool (*few_rows_product)(const FewRowsParams&, Stream) = nullptr;
  bool (*rope_write)(const RopeWriteParams&, Stream) = nullptr;

  // kernels/cuda/gptq_product.h
  bool (*repack)(const RepackParams&, Stream) = nullptr;
  bool (*repacked_product)(const RepackedProductParams&, Stream) = nullptr;
  bool (*repacked_dequantize)(const RepackedDequantizeParams&, Stream) = nullptr;

  // kernels/cuda/flash_attention/launchers.h
  bool (*flash_forward)(const FlashForwardParams&, Stream) = nullptr;
  bool (*flash_backward)(const FlashBackwardParams&, Stream) = nullptr;

  // kernels/cuda/paged_attention/launchers.h
  bool (*paged_attention)(const PagedAttentionParams&, Stream) = nullptr;
  bool (*paged_write)(const PagedWriteParams&, Stream) = nullptr;
  bool (*paged_gather)(const PagedGatherParams&, Stream) = nullptr;
  bool (*page_copy)(const PageCopyParams&, Stream) = nullptr;

  // kernels/cuda/lora_gather.h
  bool (*lora_gather)(const LoraGatherParams&, Stream) = nullptr;
};

}  // namespace powerhouse::cuda

/// What libpowerhouse_cuda.so exports, and its name for dlsym.
extern "C" const powerhouse::cuda::KernelTable* powerhouse_cuda_kernels();
