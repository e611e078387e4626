// The launchers over a paged cache and of LoRA with a launcher on the CPU in the place of the stream, which also keeps
// what each launch read and wrote of every buffer. Their file alone is compiled so that every load and store is seen.
#pragma once

#include <map>
#include <vector>

#include "kernels/cuda/few_rows_product_params.h"
#include "kernels/cuda/lora_gather_params.h"
#include "kernels/cuda/paged_attention_params.h"
#include "kernels/cuda/rope_write_params.h"
#include "kernels/cuda_rows/on_host.h"

namespace powerhouse::testing {

class CountingLauncher {
 public:
  struct Bytes {
    std::uint64_t read = 0, written = 0;
  };

  CountingLauncher(cuda_on_host::GlobalMemory& memory, cuda_on_host::Order order, std::uint64_t seed,
                   std::vector<std::string> names)
      : inner_(memory, order, seed), memory_(memory), names_(std::move(names)) {}

  void count_traffic(std::int64_t block) { inner_.count_traffic(block); }

  template <typename... Of, typename... Given>
  void operator()(const cuda::LaunchShape& shape, void (*kernel)(Of...), const Given&... arguments) const {
    if (shape.empty()) return;
    inner_(shape, kernel, arguments...);
    for (const std::string& name : names_) {
      const cuda_on_host::GlobalBuffer& buffer = memory_.named(name);
      bytes[name].push_back({buffer.bytes_read, buffer.bytes_written});
    }
  }
  std::string text() const { return inner_.text(); }
  const std::vector<cuda_on_host::LaunchReport>& reports() const { return inner_.reports; }

  mutable std::map<std::string, std::vector<Bytes>> bytes{};  ///< by buffer and launch

 private:
  HostLauncher inner_;
  cuda_on_host::GlobalMemory& memory_;
  std::vector<std::string> names_;
};

bool paged_attention_on_host(const cuda::PagedAttentionParams& params, const CountingLauncher& launcher);
bool paged_write_on_host(const cuda::PagedWriteParams& params, const CountingLauncher& launcher);
bool paged_gather_on_host(const cuda::PagedGatherParams& params, const CountingLauncher& launcher);
bool page_copy_on_host(const cuda::PageCopyParams& params, const CountingLauncher& launcher);
bool few_rows_product_on_host(const cuda::FewRowsParams& params, const CountingLauncher& launcher);
bool rope_write_on_host(const cuda::RopeWriteParams& params, const CountingLauncher& launcher);
bool lora_gather_on_host(const cuda::LoraGatherParams& params, const CountingLauncher& launcher);

}  // namespace powerhouse::testing
