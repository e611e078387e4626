// PlanAdapters: low-rank terms of active adapters as a pass of a plan reads them: t = scale (A x) of all terms of a
// product side by side, then y += B t. Matrices stay where they lie, in their own float type: whoever trains them
// changes what the next pass computes, and nothing is made anew.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/common/element.h"
#include "model/adapter_table.h"
#include "powerhouse/model_config.h"

namespace powerhouse {

/// A [rank, in] or B [out, rank], its rows' elements together.
struct TermMatrix {
  at::Tensor tensor{};
  const void* data = nullptr;
  Element type = Element::f32;
  std::int64_t rows = 0, columns = 0, stride = 0;

  TermMatrix() = default;
  explicit TermMatrix(const at::Tensor& of);
  /// Row i.
  const void* row(std::int64_t i) const noexcept;
  /// Whether the tensor is still what it was.
  bool holds() const;
};

/// Columns [column, column + count) of a product are rows of B from `row` on.
struct TermRun {
  std::int64_t column = 0, row = 0, count = 0;
};

struct PlanTerm {
  TermMatrix a{}, b{};
  float scale = 1.0f;
  std::int64_t place = 0;  // of its part of a row of t
  std::vector<TermRun> runs{};

  std::int64_t rank() const { return a.rows; }
  /// Floats of its part: zeros behind the rank, as kernels read them.
  std::int64_t width() const;
};

/// All terms of one product.
struct ProductTerms {
  std::vector<PlanTerm> terms{};
  std::int64_t ranks = 0;  // of all together
  std::int64_t width = 0;  // floats of a row of t
};

/// The product of a plan that a module is a part of, counted from 0; -1: none that takes terms. Layer -1: outside.
std::int64_t product_of(std::int64_t layer, Role role);

class PlanAdapters {
 public:
  /// Null where the adapters are more than low-rank terms of a plan's products.
  static std::shared_ptr<const PlanAdapters> compile(const ModelConfig& config,
                                                     std::shared_ptr<const AdapterTable> table);

  /// Null: the product has none.
  const ProductTerms* of(std::int64_t product) const noexcept {
    if (product < 0) return nullptr;
    const ProductTerms& terms = products_[static_cast<std::size_t>(product)];
    return terms.terms.empty() ? nullptr : &terms;
  }
  /// Floats of a row of t of the widest product.
  std::int64_t width() const { return width_; }
  /// Whether they are those of this table, and its tensors where they were.
  bool holds(const AdapterTable& table) const;

 private:
  bool add(const ModelConfig& config, std::int64_t layer, Role role, const ModuleAdapters& module);

  std::shared_ptr<const AdapterTable> table_{};
  std::vector<ProductTerms> products_{};
  std::int64_t width_ = 0;
};

/// Those of a handle, from pass to pass; made anew where the handle has others. From any thread.
class KeptPlanAdapters {
 public:
  std::shared_ptr<const PlanAdapters> of(const ModelConfig& config, const std::shared_ptr<const AdapterTable>& table);

 private:
  std::mutex mutex_;
  std::shared_ptr<const PlanAdapters> kept_{};
  std::shared_ptr<const AdapterTable> declined_{};  // which no plan takes
};

}  // namespace powerhouse
