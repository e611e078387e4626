#include "model/dora.h"

#include <algorithm>

#include "ops/dequantize.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

// Of rows that are numbers at once.
constexpr std::int64_t kChunkBytes = 8 << 20;

// The rows that stand in the base's place, in float32 or float64.
class BaseRows {
 public:
  BaseRows(const Weight& base, const ModuleAdapters& adapters) : base_(base) {
    if (adapters.weight.defined()) {
      whole_ = adapters.weight.detach();
      if (base.handed_out_transposed()) whole_ = whole_.transpose(-2, -1);
    } else if (adapters.rows.defined() || !is_quantized(base)) {
      whole_ = base.matrix().detach();
    }
    if (adapters.rows.defined()) {
      whole_ =
          whole_.index_copy(0, adapters.rows.to(whole_.device()), adapters.new_rows.detach().to(whole_.scalar_type()));
    }
    wide_ = whole_.defined() && whole_.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  }

  at::ScalarType type() const { return wide_; }
  std::int64_t count() const { return whole_.defined() ? whole_.size(0) : base_.stored()->shape[0]; }
  std::int64_t columns() const { return whole_.defined() ? whole_.size(1) : base_.stored()->shape[1]; }
  at::Tensor take(std::int64_t first, std::int64_t count) const {
    return whole_.defined() ? whole_.narrow(0, first, count).to(wide_) : dequantized_rows(base_, first, count, wide_);
  }

 private:
  const Weight& base_;
  at::Tensor whole_{};
  at::ScalarType wide_ = at::kFloat;
};

at::Tensor norm_of(const Weight& base, const ModuleAdapters& adapters, const ModuleTerm& term, DoraOver over) {
  const c10::AutoGradMode no_grad(false);
  const BaseRows rows(base, adapters);
  const at::Tensor a = term.low_rank.a.detach().to(rows.type());
  const at::Tensor b = term.low_rank.b.detach().to(rows.type());
  const std::int64_t step = std::max<std::int64_t>(1, kChunkBytes / 4 / std::max<std::int64_t>(1, rows.columns()));
  std::vector<at::Tensor> of_rows;
  at::Tensor of_columns;
  for (std::int64_t first = 0; first < rows.count(); first += step) {
    const std::int64_t count = std::min(step, rows.count() - first);
    const at::Tensor delta =
        over == DoraOver::rows ? b.narrow(0, first, count).matmul(a) : a.narrow(1, first, count).t().matmul(b.t());
    const at::Tensor sum = rows.take(first, count).add(delta, term.low_rank.scale);
    if (over == DoraOver::rows) {
      of_rows.push_back(sum.norm(2, {1}, false));
    } else {
      const at::Tensor squares = sum.square().sum({0}, false, at::kDouble);
      of_columns = of_columns.defined() ? of_columns.add_(squares) : squares;
    }
  }
  return over == DoraOver::rows ? concatenate(of_rows, 0) : of_columns.sqrt().to(rows.type());
}

// What tells whether a tensor is the same with the same numbers. False where it keeps no account of writes.
bool add_state(std::vector<std::uint64_t>& states, const at::Tensor& tensor) {
  if (!tensor.defined()) {
    states.push_back(0);
    return true;
  }
  if (tensor.is_inference()) return false;
  states.push_back(reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()));
  states.push_back(tensor._version());
  return true;
}

}  // namespace

at::Tensor DoraNorm::of(const Weight& base, const ModuleAdapters& adapters, const ModuleTerm& term, DoraOver over) {
  std::vector<std::uint64_t> made_of{base.version()};
  bool known = true;
  for (const at::Tensor& tensor :
       {term.low_rank.a, term.low_rank.b, adapters.weight, adapters.rows, adapters.new_rows}) {
    known = known && add_state(made_of, tensor);
  }
  if (!known) return norm_of(base, adapters, term, over);
  const std::lock_guard lock(mutex_);
  if (!norm_.defined() || made_of != made_of_) {
    norm_ = norm_of(base, adapters, term, over);
    made_of_ = std::move(made_of);
  }
  return norm_;
}

at::Tensor dora_factor(const Weight& base, const ModuleAdapters& adapters, const ModuleTerm& term, DoraOver over) {
  return term.magnitude.div(term.norm->of(base, adapters, term, over));
}

}  // namespace powerhouse
