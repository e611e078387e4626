#include "model/virtual_tokens.h"

#include <c10/core/GradMode.h>

#include <string>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// Rows of a prompt, or keys and values of a prefix.
at::Tensor rows_of(const CausalLM::Impl& impl) {
  if (impl.adapters == nullptr) return {};
  return impl.adapters->prompt.defined() ? impl.adapters->prompt : impl.adapters->prefix;
}

// A prefix is a new view of the adapter's tensor each time adapters are set.
bool same_memory(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.const_data_ptr() == b.const_data_ptr() && a.sizes() == b.sizes();
}

}  // namespace

VirtualTokens::VirtualTokens(const CausalLM::Impl& impl) {
  const ModelGate::Reading reading(impl.gate);
  rows_ = rows_of(impl);
  count_ = impl.virtual_tokens();
}

void VirtualTokens::check_same(const CausalLM::Impl& impl) const {
  if (same_memory(rows_of(impl), rows_)) return;
  const auto shown = [](std::int64_t count) { return std::to_string(count) + " virtual tokens"; };
  throw Error(
      ErrorKind::usage, "the session began with other virtual tokens than the model's adapter has now",
      {.field = "adapter", .expected = "the same " + shown(count_), .found = "other " + shown(impl.virtual_tokens())});
}

void VirtualTokens::check_none(std::string_view what) const {
  if (count_ == 0) return;
  throw Error(ErrorKind::unsupported, std::string(what) + " is not built for adapters with virtual tokens");
}

void VirtualTokens::write(const CausalLM::Impl& impl, KvCache& cache, std::int64_t sequence) const {
  check_same(impl);
  if (count_ == 0) return;
  check_length(impl.model->config, count_, count_);
  const c10::AutoGradMode no_grad(false);
  cache.reserve(sequence, count_);
  if (const at::Tensor& prefix = impl.adapters->prefix; prefix.defined()) {
    const at::Tensor values = prefix.detach().to(impl.model->type);
    for (std::int64_t layer = 0; layer < prefix.size(1); ++layer) {
      const at::Tensor own = values.select(1, layer);
      cache.write(layer, sequence, own.select(1, 0).contiguous(), own.select(1, 1).contiguous());
    }
  } else {
    PackedBatch rows = with_virtual_tokens({.cu_seqlens = {0, 0}, .rope_lengths = {0}}, *impl.adapters);
    rows.sequences = {sequence};
    impl.forward(rows, &cache);
  }
  cache.commit(sequence, count_);
}

}  // namespace powerhouse
