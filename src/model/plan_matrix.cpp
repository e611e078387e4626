// A plan's matrices: how each weight is held for products, and what a product reads of its rows.
#include <algorithm>

#include "model/plan_compile.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

// Rows that stand together are a view, others are copied.
at::Tensor rows_of(const at::Tensor& whole, std::int64_t count, const RowOrder& rows) {
  std::int64_t run = 1;
  while (run < count && rows(run) == rows(0) + run) ++run;
  if (run == count) return whole.detach().narrow(0, rows(0), count);
  at::Tensor index = empty_tensor({count}, at::kLong);
  for (std::int64_t i = 0; i < count; ++i) index.data_ptr<std::int64_t>()[i] = rows(i);
  return whole.detach().index_select(0, index);
}

// Blocks without panels, where they can be read by rows.
bool read_blocks(const Weight& weight, std::int64_t outputs, const RowOrder& order, PlanMatrix& matrix) {
  const StoredWeight* const stored = weight.stored();
  if (stored == nullptr || stored->transposed || stored->offset != 0.0f || stored->shape.size() < 2) return false;
  if (block_info(weight.format()).block_elements == 1) return false;
  const std::int64_t row_bytes = stored->row_bytes();
  auto rows = std::make_shared<std::vector<const std::byte*>>();
  std::shared_ptr<std::vector<std::byte>> made;
  std::vector<ColumnOrder> orders;
  if (stored->rows_are_made()) {
    made = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(outputs * row_bytes));
    parallel_for(panel_count(outputs), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t first = begin * kPanelRows; first < std::min(end * kPanelRows, outputs); first += kPanelRows) {
        const std::int64_t count = std::min(kPanelRows, outputs - first);
        std::int64_t wanted[kPanelRows] = {};
        for (std::int64_t i = 0; i < count; ++i) wanted[i] = order(first + i);
        stored->read_rows({wanted, static_cast<std::size_t>(count)}, made->data() + first * row_bytes);
      }
    });
    for (std::int64_t i = 0; i < outputs; ++i) {
      rows->push_back(made->data() + i * row_bytes);
      const StoredRow place = stored->place ? stored->place(order(i)) : StoredRow{0, order(i)};
      orders.push_back(stored->views[static_cast<std::size_t>(place.tensor)].rows->order());
    }
    weight.release_file();
  } else {
    for (std::int64_t i = 0; i < outputs; ++i) rows->push_back(stored->row(order(i)));
  }
  const bool in_memory = made || stored->views.front().file->is_in_memory();
  (in_memory ? matrix.own_bytes : matrix.file_bytes) = static_cast<std::size_t>(outputs * row_bytes);
  matrix.blocks = BlockRows{
      .format = weight.format(), .rows = std::move(rows), .made = std::move(made), .orders = std::move(orders)};
  return true;
}

// Whether the blocks' columns stand in the order that the product's packed matrices read.
bool order_fits(const PlanProduct& product, const Weight& weight, ColumnOrder& order) {
  if (weight.stored() == nullptr || !weight.stored()->rows_are_made()) return !product.order();
  const std::optional<ColumnOrder> own = weight.stored()->column_order();
  if (!own) return false;
  order = *own;
  return !product.reads_codes() || same_order(order, product.order());
}

bool any_packed(const PlanProduct& product) {
  return std::any_of(product.matrices.begin(), product.matrices.end(),
                     [](const PlanMatrix& matrix) { return matrix.packed.has_value(); });
}

}  // namespace

PlanMatrix matrix_of(PanelPacker& packer, const PlanProduct& product, const Weight& weight, const Weight& bias,
                     std::int64_t outputs, const RowOrder& order) {
  const RowOrder rows = order ? order : [](std::int64_t row) { return row; };
  PlanMatrix matrix{.outputs = outputs};
  ColumnOrder columns;
  if (order_fits(product, weight, columns)) {
    matrix.packed = PackedMatrix::pack(weight, outputs, rows, packer);
    if (matrix.packed) matrix.order = columns;
  }
  if (!matrix.packed) matrix.bf16 = PackedBf16::pack(weight, outputs, rows, packer);
  if (matrix.packed) {
    matrix.inputs = weight.stored()->shape.back();
  } else if (matrix.bf16) {
    matrix.inputs = matrix.bf16->inputs();
  } else if (read_blocks(weight, outputs, rows, matrix)) {
    matrix.inputs = weight.stored()->shape.back();
  } else {
    matrix.dense = weight.stored_rows(outputs, rows);
    if (matrix.dense.defined()) {
      const bool in_place = matrix.dense.const_data_ptr() == weight.file_rows().row(rows(0));
      (in_place ? matrix.file_bytes : matrix.own_bytes) = matrix.dense.nbytes();
    } else {
      const at::Tensor whole = weight.matrix().flatten(0, -2);
      matrix.dense = rows_of(whole, outputs, rows);
      if (!matrix.dense.is_alias_of(whole)) matrix.own_bytes = matrix.dense.nbytes();
    }
    matrix.type = to_element(matrix.dense.scalar_type());
    matrix.inputs = matrix.dense.size(1);
  }
  if (bias.defined()) {
    const std::vector<float> values = bias.floats();
    for (std::int64_t row = 0; row < outputs; ++row) {
      matrix.bias.push_back(values[static_cast<std::size_t>(rows(row))]);
    }
  }
  return matrix;
}

std::size_t bytes_of(const PlanProduct& product) {
  std::size_t bytes = 0;
  for (const PlanMatrix& matrix : product.matrices) {
    if (matrix.packed) bytes += matrix.packed->bytes();
    if (matrix.bf16) bytes += matrix.bf16->bytes();
    bytes += matrix.own_bytes + matrix.bias.size() * sizeof(float);
  }
  return bytes;
}

std::int64_t PlanProduct::width() const {
  std::int64_t total = 0;
  for (const PlanMatrix& matrix : matrices) total += matrix.outputs;
  return total;
}

bool PlanProduct::reads_codes() const { return any_packed(*this); }

ColumnOrder PlanProduct::order() const {
  for (const PlanMatrix& matrix : matrices) {
    if (matrix.packed) return matrix.order;
  }
  return {};
}

bool PlanProduct::reads_bf16() const {
  return std::any_of(matrices.begin(), matrices.end(), [](const PlanMatrix& matrix) { return matrix.takes_bf16(); });
}

}  // namespace powerhouse
