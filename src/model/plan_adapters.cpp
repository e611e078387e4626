// From the table of active adapters to the terms of a plan's products.
#include "model/plan_adapters.h"

#include <algorithm>

#include "kernels/cpu/kernels.h"
#include "model/projections.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kOutside = 3;  // products outside layers, which come first
constexpr std::int64_t kOfLayer = 4;

// What kernels read as rows.
bool is_readable(const at::Tensor& matrix) {
  return matrix.defined() && matrix.dim() == 2 && is_kernel_tensor(matrix) && matrix.stride(1) == 1;
}

bool is_low_rank(const ModuleAdapters& module) {
  if (module.weight.defined() || module.bias.defined() || module.rows.defined() || module.input_scale.defined() ||
      module.output_scale.defined()) {
    return false;
  }
  return std::all_of(module.terms.begin(), module.terms.end(), [](const ModuleTerm& term) {
    return !term.bias.defined() && !term.magnitude.defined() && is_readable(term.low_rank.a) &&
           is_readable(term.low_rank.b) && term.low_rank.a.size(0) == term.low_rank.b.size(1);
  });
}

// Query, key and value stand in a product one behind the other; a fused matrix has its own order.
std::vector<TermRun> runs_of_fused(const Attention& attention) {
  const std::int64_t dim = attention.head_dim;
  const std::int64_t counts[] = {attention.num_heads, attention.num_key_value_heads, attention.num_key_value_heads};
  std::vector<TermRun> runs;
  std::int64_t column = 0;
  for (int part = 0; part < 3; ++part) {
    for (std::int64_t head = 0; head < counts[part]; ++head, column += dim) {
      const std::int64_t row = fused_row(attention, part, head * dim);
      if (!runs.empty() && runs.back().row + runs.back().count == row) {
        runs.back().count += dim;
      } else {
        runs.push_back({column, row, dim});
      }
    }
  }
  return runs;
}

// Where a module's outputs stand in its product; none: it has no place there.
std::vector<TermRun> runs_of(const ModelConfig& config, std::int64_t layer, Role role) {
  const auto at = [](std::int64_t column, std::int64_t count) { return std::vector<TermRun>{{column, 0, count}}; };
  if (layer < 0) {
    if (role == Role::lm_head) return at(0, config.vocab_size);
    return at(0, role == Role::project_in ? config.hidden_size : config.embedding_size);
  }
  const Block& block = config.layers[static_cast<std::size_t>(layer)];
  const Attention& attention = block.attention;
  const std::int64_t queries = attention.num_heads * attention.head_dim;
  const std::int64_t keys = attention.num_key_value_heads * attention.head_dim;
  switch (role) {
    case Role::q_proj: return at(0, queries);
    case Role::k_proj: return at(queries, keys);
    case Role::v_proj: return at(queries + keys, keys);
    case Role::qkv_proj: return runs_of_fused(attention);
    case Role::o_proj: return at(0, config.hidden_size);
    default: break;
  }
  if (block.mlp.moe) return {};
  const std::int64_t inner = block.mlp.intermediate_size;
  switch (role) {
    case Role::gate_proj: return at(0, inner);
    case Role::up_proj: return at(block.mlp.gated ? inner : 0, inner);
    case Role::gate_up_proj: return at(0, 2 * inner);
    default: return at(0, config.hidden_size);
  }
}

}  // namespace

TermMatrix::TermMatrix(const at::Tensor& of)
    : tensor(of),
      data(of.const_data_ptr()),
      type(to_element(of.scalar_type())),
      rows(of.size(0)),
      columns(of.size(1)),
      stride(of.stride(0)) {}

const void* TermMatrix::row(std::int64_t i) const noexcept {
  return static_cast<const std::byte*>(data) + i * stride * element_bytes(type);
}

bool TermMatrix::holds() const {
  return is_readable(tensor) && tensor.const_data_ptr() == data && to_element(tensor.scalar_type()) == type &&
         tensor.size(0) == rows && tensor.size(1) == columns && tensor.stride(0) == stride;
}

std::int64_t PlanTerm::width() const { return (rank() + cpu::kGemmPad - 1) / cpu::kGemmPad * cpu::kGemmPad; }

std::int64_t product_of(std::int64_t layer, Role role) {
  if (layer < 0) {
    switch (role) {
      case Role::project_in: return 0;
      case Role::project_out: return 1;
      case Role::lm_head: return 2;
      default: return -1;
    }
  }
  const std::int64_t first = kOutside + layer * kOfLayer;
  switch (role) {
    case Role::q_proj:
    case Role::k_proj:
    case Role::v_proj:
    case Role::qkv_proj: return first;
    case Role::o_proj: return first + 1;
    case Role::gate_proj:
    case Role::up_proj:
    case Role::gate_up_proj: return first + 2;
    case Role::down_proj: return first + 3;
    default: return -1;
  }
}

bool PlanAdapters::add(const ModelConfig& config, std::int64_t layer, Role role, const ModuleAdapters& module) {
  const std::int64_t product = product_of(layer, role);
  if (product < 0 || !is_low_rank(module)) return false;
  const std::vector<TermRun> runs = runs_of(config, layer, role);
  std::int64_t outputs = 0;
  for (const TermRun& run : runs) outputs += run.count;
  ProductTerms& terms = products_[static_cast<std::size_t>(product)];
  for (const ModuleTerm& of : module.terms) {
    PlanTerm term{.a = TermMatrix(of.low_rank.a),
                  .b = TermMatrix(of.low_rank.b),
                  .scale = of.low_rank.scale,
                  .place = terms.width,
                  .runs = runs};
    if (term.b.rows != outputs) return false;
    terms.ranks += term.rank();
    terms.width += term.width();
    terms.terms.push_back(std::move(term));
  }
  width_ = std::max(width_, terms.width);
  return true;
}

std::shared_ptr<const PlanAdapters> PlanAdapters::compile(const ModelConfig& config,
                                                          std::shared_ptr<const AdapterTable> table) {
  if (table->virtual_tokens() > 0) return nullptr;
  const auto layers = static_cast<std::int64_t>(config.layers.size());
  const auto adapters = std::make_shared<PlanAdapters>();
  adapters->products_.resize(static_cast<std::size_t>(kOutside + layers * kOfLayer));
  for (std::int64_t layer = -1; layer < layers; ++layer) {
    for (int role = 0; role < kRoleCount; ++role) {
      const ModuleAdapters* const module = table->find(layer, static_cast<Role>(role));
      if (module != nullptr && !adapters->add(config, layer, static_cast<Role>(role), *module)) return nullptr;
    }
  }
  adapters->table_ = std::move(table);
  return adapters;
}

bool PlanAdapters::holds(const AdapterTable& table) const {
  if (table_.get() != &table) return false;
  return std::all_of(products_.begin(), products_.end(), [](const ProductTerms& product) {
    return std::all_of(product.terms.begin(), product.terms.end(),
                       [](const PlanTerm& term) { return term.a.holds() && term.b.holds(); });
  });
}

std::shared_ptr<const PlanAdapters> KeptPlanAdapters::of(const ModelConfig& config,
                                                         const std::shared_ptr<const AdapterTable>& table) {
  const std::lock_guard lock(mutex_);
  if (declined_ == table) return nullptr;
  if (!kept_ || !kept_->holds(*table)) {
    kept_ = PlanAdapters::compile(config, table);
    declined_ = kept_ ? nullptr : table;
  }
  return kept_;
}

}  // namespace powerhouse
