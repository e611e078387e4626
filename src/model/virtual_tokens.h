// What a prompt or prefix adapter puts before each sequence of a session: written into the cache once, when the
// sequence begins. A session keeps to those that it began with.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

#include "model/causal_lm_impl.h"
#include "model/kv_cache.h"

namespace powerhouse {

class VirtualTokens {
 public:
  /// Of the adapter that is active now; none of most.
  explicit VirtualTokens(const CausalLM::Impl& impl);

  std::int64_t count() const { return count_; }
  /// Error{usage} where the model's adapter has others by now. The caller holds the model's gate.
  void check_same(const CausalLM::Impl& impl) const;
  /// Error{unsupported} where there are any: `what` is not built for them.
  void check_none(std::string_view what) const;
  /// Writes them into the cache of a sequence that is still empty, and that the caller removes if this throws.
  void write(const CausalLM::Impl& impl, KvCache& cache, std::int64_t sequence) const;

 private:
  at::Tensor rows_{};  // the adapter's own tensor, kept so that no other can have its address
  std::int64_t count_ = 0;
};

}  // namespace powerhouse
