// Adafactor (Shazeer and Stern 2018) by the formulas of transformers.Adafactor, its defaults and its order of steps.
//
// The second moment of a matrix is the outer product of its rows' and columns' means. A step reads the gradient three
// times (means, size of the update, update). Sums run over fixed blocks of rows, whatever the number of threads.
// Tensors of more dimensions are stacks of matrices, as there; one of less is a row with a second moment of its own.
//
// Rows are the logical ones: what lies in memory in another order is brought into this one, and back.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/kernels.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"
#include "training/optimizer_method.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kBlockRows = 32;

/// A tensor's numbers row by row: its own memory, or a copy that `put_back` writes back.
struct Rows {
  at::Tensor tensor, dense;
  explicit Rows(const at::Tensor& source) : tensor(source.detach()), dense(tensor.contiguous()) {}
  void put_back() const {
    if (!tensor.is_contiguous()) tensor.copy_(dense);
  }
};

/// A parameter as a stack of matrices, cut into blocks of rows, and the factors of its update.
struct Matrices {
  bool factored;
  std::int64_t matrices, rows, columns;  // rows of one matrix
  std::vector<float> row_factor{}, column_factor{};

  std::int64_t blocks_of_one() const { return (rows + kBlockRows - 1) / kBlockRows; }
  std::int64_t blocks() const { return matrices * blocks_of_one(); }

  /// Calls body(block, its matrix, first row, row behind the last) for all blocks, shared by the threads.
  template <typename Body>
  void for_blocks(Body&& body) const {
    parallel_for(blocks(), 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t block = first; block < last; ++block) {
        const std::int64_t matrix = block / blocks_of_one(), row = block % blocks_of_one() * kBlockRows;
        body(block, matrix, matrix * rows + row, matrix * rows + std::min(rows, row + kBlockRows));
      }
    });
  }
  /// The kernel's arguments with the factors of a matrix.
  cpu::AdafactorParams of(cpu::AdafactorParams params, std::int64_t matrix) const {
    params.row_factor = row_factor.data();
    params.column_factor = column_factor.data() + matrix * columns;
    return params;
  }
};

double total(const std::vector<double>& sums) {
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

double root_mean_square(const at::Tensor& weights, Element type) {
  constexpr std::int64_t kChunk = 16384;
  const std::int64_t count = weights.numel();
  std::vector<double> sums(static_cast<std::size_t>((count + kChunk - 1) / kChunk));
  parallel_for(static_cast<std::int64_t>(sums.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      sums[static_cast<std::size_t>(i)] =
          cpu::kernels().sum_squares(weights.const_data_ptr(), type, i * kChunk, std::min(count, (i + 1) * kChunk));
    }
  });
  return std::sqrt(total(sums) / static_cast<double>(std::max<std::int64_t>(count, 1)));
}

/// Decayed means of squares, of which `row` are the states of rows (factored) and `column` those of columns, and from
/// them the two factors of the update.
void find_factors(Matrices& m, const cpu::AdafactorParams& params, float keep, float* row, float* column) {
  const float fresh = 1 - keep;
  std::vector<float> sums(static_cast<std::size_t>(m.blocks() * m.columns));
  std::vector<double> row_sums(static_cast<std::size_t>(m.matrices * m.rows));
  m.for_blocks([&](std::int64_t block, std::int64_t, std::int64_t begin, std::int64_t end) {
    cpu::kernels().adafactor_squares(params, begin, end, sums.data() + block * m.columns, row_sums.data());
  });
  m.row_factor.assign(row_sums.size(), 1);
  m.column_factor.resize(static_cast<std::size_t>(m.matrices * m.columns));
  for (std::int64_t matrix = 0; matrix < m.matrices; ++matrix) {
    std::vector<double> of_columns(static_cast<std::size_t>(m.columns));
    for (std::int64_t block = matrix * m.blocks_of_one(); block < (matrix + 1) * m.blocks_of_one(); ++block) {
      const float* const part = sums.data() + block * m.columns;
      for (std::size_t i = 0; i < of_columns.size(); ++i) of_columns[i] += static_cast<double>(part[i]);
    }
    float* const of_matrix = column + matrix * m.columns;
    for (std::int64_t i = 0; i < m.columns; ++i) {
      const double mean = of_columns[static_cast<std::size_t>(i)] / static_cast<double>(m.rows);
      of_matrix[i] = of_matrix[i] * keep + static_cast<float>(mean) * fresh;
      m.column_factor[static_cast<std::size_t>(matrix * m.columns + i)] = 1 / std::sqrt(of_matrix[i]);
    }
    if (!m.factored) continue;
    double sum = 0;
    for (std::int64_t i = matrix * m.rows; i < (matrix + 1) * m.rows; ++i) {
      const double mean = row_sums[static_cast<std::size_t>(i)] / static_cast<double>(m.columns);
      row[i] = row[i] * keep + static_cast<float>(mean) * fresh;
      sum += static_cast<double>(row[i]);
    }
    const auto mean = static_cast<float>(sum / static_cast<double>(m.rows));
    for (std::int64_t i = matrix * m.rows; i < (matrix + 1) * m.rows; ++i) {
      m.row_factor[static_cast<std::size_t>(i)] = 1 / std::sqrt(row[i] / mean);
    }
  }
}

class Adafactor final : public OptimizerMethod {
 public:
  explicit Adafactor(const AdafactorOptions& options) : options_(options) {}
  double lr(const ParameterSlot&) const override { return options_.lr.value_or(0); }
  double weight_decay(const ParameterSlot&) const override { return options_.weight_decay; }
  bool rule(const ParameterSlot&, const StepRate&, cpu::UpdateParams&) const override { return false; }

  std::vector<StateTensor> states(const ParameterSlot& slot, at::ScalarType) const override {
    const std::vector<std::int64_t> sizes = slot.parameter.sizes().vec();
    std::vector<StateTensor> states;
    if (sizes.size() >= 2) {
      std::vector<std::int64_t> rows(sizes.begin(), sizes.end() - 1);
      std::vector<std::int64_t> columns(sizes.begin(), sizes.end() - 2);
      columns.push_back(sizes.back());
      states.push_back({"exp_avg_sq_row", at::kFloat, std::move(rows)});
      states.push_back({"exp_avg_sq_col", at::kFloat, std::move(columns)});
    } else {
      states.push_back({"exp_avg_sq", at::kFloat, sizes});
    }
    if (options_.beta1) states.push_back({"exp_avg", at::kFloat, sizes});
    return states;
  }

  void update(ParameterSlot& slot, const StepRate& rate) const override {
    if (slot.parameter.numel() == 0) return;
    const Rows gradient(slot.gradient), weights(slot.weights());
    Matrices m = matrices(slot.parameter);
    cpu::AdafactorParams params{.type = slot.type, .gradient = gradient.dense.const_data_ptr(), .columns = m.columns};
    params.grad_scale = static_cast<float>(rate.grad_scale);
    params.eps = static_cast<float>(options_.eps1);
    const double lr = learning_rate(slot, rate);
    const auto keep = static_cast<float>(1 - std::pow(static_cast<double>(slot.step), options_.decay_rate));
    auto* const row = slot.states[0].tensor.data_ptr<float>();
    find_factors(m, params, keep, row, m.factored ? slot.states[1].tensor.data_ptr<float>() : row);
    std::vector<double> squares(static_cast<std::size_t>(m.blocks()));
    m.for_blocks([&](std::int64_t block, std::int64_t matrix, std::int64_t begin, std::int64_t end) {
      squares[static_cast<std::size_t>(block)] = cpu::kernels().adafactor_size(m.of(params, matrix), begin, end);
    });
    const double size = std::sqrt(total(squares) / static_cast<double>(slot.parameter.numel()));
    params.divisor = static_cast<float>(std::max(1.0, size / options_.clip_threshold));
    params.lr = static_cast<float>(lr);
    params.decay = static_cast<float>(rate.weight_decay * lr);
    params.weight_type = slot.master.defined() ? Element::f32 : slot.type;
    params.weights = weights.dense.mutable_data_ptr();
    apply(m, params, slot);
    weights.put_back();
  }

 private:
  void apply(const Matrices& m, cpu::AdafactorParams params, const ParameterSlot& slot) const {
    std::optional<Rows> average, rounding;
    if (options_.beta1) {
      params.average = average.emplace(slot.states.back().tensor).dense.data_ptr<float>();
      params.keep = static_cast<float>(*options_.beta1);
      params.fresh = static_cast<float>(1 - *options_.beta1);
    }
    if (slot.master.defined()) params.rounding = rounding.emplace(slot.parameter).dense.mutable_data_ptr();
    m.for_blocks([&](std::int64_t, std::int64_t matrix, std::int64_t begin, std::int64_t end) {
      cpu::kernels().adafactor_update(m.of(params, matrix), begin, end);
    });
    if (average) average->put_back();
    if (rounding) rounding->put_back();
  }

  static Matrices matrices(const at::Tensor& parameter) {
    const std::int64_t count = parameter.numel();
    if (parameter.dim() < 2) return {.factored = false, .matrices = 1, .rows = 1, .columns = count};
    const std::int64_t rows = parameter.size(-2), columns = parameter.size(-1);
    return {.factored = true, .matrices = count / (rows * columns), .rows = rows, .columns = columns};
  }

  double learning_rate(const ParameterSlot& slot, const StepRate& rate) const {
    double lr = rate.lr;
    if (options_.relative_step) {
      const auto step = static_cast<double>(slot.step);
      lr = std::min(options_.warmup_init ? 1e-6 * step : 1e-2, 1 / std::sqrt(step)) * rate.multiplier;
    }
    if (!options_.scale_parameter) return lr;
    const Element type = slot.master.defined() ? Element::f32 : slot.type;
    return lr * std::max(options_.eps2, root_mean_square(slot.weights(), type));
  }

  AdafactorOptions options_;
};

}  // namespace

std::unique_ptr<OptimizerMethod> make_method(const AdafactorOptions& options) {
  if (options.lr) check_not_negative("lr", *options.lr);
  check_not_negative("eps1", options.eps1);
  check_not_negative("eps2", options.eps2);
  check_not_negative("weight_decay", options.weight_decay);
  if (options.beta1) check_beta("beta1", *options.beta1);
  if (!(options.clip_threshold > 0)) check_not_negative("clip_threshold", -1);
  if (!(options.decay_rate <= 0)) check_not_negative("-decay_rate", -options.decay_rate);
  if (options.lr && options.relative_step) {
    throw Error(ErrorKind::usage, "adafactor takes a learning rate or relative steps, not both", {.field = "lr"});
  }
  if (!options.lr && !options.relative_step) {
    throw Error(ErrorKind::usage, "adafactor without relative steps needs a learning rate", {.field = "lr"});
  }
  if (options.warmup_init && !options.relative_step) {
    throw Error(ErrorKind::usage, "warmup_init needs relative_step", {.field = "warmup_init"});
  }
  return std::make_unique<Adafactor>(options);
}

}  // namespace powerhouse
