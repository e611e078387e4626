// Embeddings with adapters. Rows are looked up wherever they stand, so that no table is copied for a few of its rows.
#include <ATen/ops/embedding_ops.h>

#include <algorithm>
#include <vector>

#include "model/adapted_module.h"
#include "model/dora.h"
#include "ops/linear.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

at::Tensor looked_up(const at::Tensor& table, const at::Tensor& ids) {
  return at::_ops::embedding::call(table, ids, -1, false, false);
}

// y with the rows of tokens that train in the places where those tokens stand.
at::Tensor with_rows(const at::Tensor& y, const at::Tensor& ids, const ModuleAdapters& adapters) {
  std::vector<std::int64_t> places, rows;
  const at::Tensor known = ids.to(at::kCPU);
  const auto* const id = known.const_data_ptr<std::int64_t>();
  const auto* const begin = adapters.rows.const_data_ptr<std::int64_t>();
  const auto* const end = begin + adapters.rows.numel();
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    const auto* const found = std::find(begin, end, id[i]);
    if (found == end) continue;
    places.push_back(i);
    rows.push_back(found - begin);
  }
  const at::Tensor own = adapters.new_rows.index_select(0, index_tensor(rows, y.device())).to(y.scalar_type());
  return y.index_copy(0, index_tensor(places, y.device()), own);
}

}  // namespace

at::Tensor adapted_embedding(const at::Tensor& ids, const Weight& weight, const ModuleAdapters& adapters,
                             const AdaptedPass& pass) {
  const at::ScalarType type = weight.compute_type();
  at::Tensor y;
  if (adapters.weight.defined()) {
    y = looked_up(adapters.weight, ids).to(type);
  } else if (pass.keep_blocks && is_quantized(weight)) {
    y = weight.rows(ids).to(type);
  } else {
    y = looked_up(weight.tensor(), ids);
  }
  if (adapters.rows.defined()) y = with_rows(y, ids, adapters);
  for (const ModuleTerm& term : adapters.terms) {
    const ops::LowRankTerm& own = term.low_rank;
    const at::Tensor added = ops::linear(looked_up(own.a.transpose(0, 1), ids), own.b).mul(own.scale).to(type);
    y = y.add(added);
    if (!term.magnitude.defined()) continue;
    y = y.mul(dora_factor(weight, adapters, term, DoraOver::columns).to(type));
  }
  return y;
}

}  // namespace powerhouse
