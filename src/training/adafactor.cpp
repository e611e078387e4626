// Adafactor (Shazeer and Stern 2018) by the formulas of transformers.Adafactor, its defaults and its order of steps.
//
// The second moment of a matrix is the outer product of its rows' and columns' means. A step reads the gradient three
// times (means, size of the update, update) and holds one row of it in float32 at a time. Sums run over fixed blocks of
// rows, whatever the number of threads. Tensors of more dimensions are stacks of matrices, as there.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/kernels.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"
#include "training/optimizer_method.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kBlockRows = 32;

/// A gradient, weights and states as a stack of matrices, and what the passes hand to each other. A tensor of less than
/// two dimensions is one row with a second moment of its own.
struct Matrices {
  const ParameterSlot& slot;
  bool factored;
  std::int64_t columns, rows, rows_of_one;  // rows of all matrices
  float* row = nullptr;                     // exp_avg_sq_row [rows], or exp_avg_sq [columns]
  float* column = nullptr;                  // exp_avg_sq_col [matrices, columns]
  float* average = nullptr;                 // exp_avg
  std::vector<float> row_factor{}, column_factor{};

  std::int64_t blocks() const { return (rows + kBlockRows - 1) / kBlockRows; }
};

void widen(const void* data, Element type, std::int64_t begin, std::span<float> to) {
  const cpu::ConvertParams params{.source_type = type,
                                  .source = static_cast<const std::byte*>(data) + begin * element_bytes(type),
                                  .destination = to.data()};
  cpu::kernels().convert(params, 0, static_cast<std::int64_t>(to.size()));
}

/// Calls body(block, row, gradient of the row) for all rows, blocks shared by the threads.
template <typename Body>
void for_rows(const Matrices& m, float grad_scale, Body&& body) {
  parallel_for(m.blocks(), 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> gradient(static_cast<std::size_t>(m.columns));
    for (std::int64_t row = begin * kBlockRows; row < std::min(m.rows, end * kBlockRows); ++row) {
      widen(m.slot.gradient.const_data_ptr(), m.slot.type, row * m.columns, gradient);
      for (float& g : gradient) g *= grad_scale;
      body(row / kBlockRows, row, gradient);
    }
  });
}

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

/// Means of squares into the states of rows and columns, and the two factors of the update.
void factored_means(Matrices& m, const StepRate& rate, float eps, float keep) {
  const std::int64_t matrices = m.rows / m.rows_of_one;
  const float fresh = 1 - keep;
  // A block of rows may reach into the next matrix: it has a sum for each.
  const std::int64_t spans = kBlockRows / m.rows_of_one + 2;
  std::vector<float> sums(static_cast<std::size_t>(m.blocks() * std::min(spans, matrices) * m.columns));
  const auto sums_of = [&](std::int64_t block, std::int64_t matrix) {
    const std::int64_t first = block * kBlockRows / m.rows_of_one;
    return sums.data() + (block * std::min(spans, matrices) + matrix - first) * m.columns;
  };
  for_rows(m, static_cast<float>(rate.grad_scale), [&](std::int64_t block, std::int64_t row, std::span<float> g) {
    float* const of_columns = sums_of(block, row / m.rows_of_one);
    double sum = 0;
    for (std::size_t i = 0; i < g.size(); ++i) {
      const float square = g[i] * g[i] + eps;
      of_columns[i] += square;
      sum += static_cast<double>(square);
    }
    m.row[row] = m.row[row] * keep + static_cast<float>(sum / static_cast<double>(m.columns)) * fresh;
  });
  m.row_factor.resize(static_cast<std::size_t>(m.rows));
  m.column_factor.resize(static_cast<std::size_t>(matrices * m.columns));
  for (std::int64_t matrix = 0; matrix < matrices; ++matrix) {
    const std::int64_t begin = matrix * m.rows_of_one, end = begin + m.rows_of_one;
    std::vector<double> of_columns(static_cast<std::size_t>(m.columns));
    for (std::int64_t block = begin / kBlockRows; block <= (end - 1) / kBlockRows; ++block) {
      const float* const part = sums_of(block, matrix);
      for (std::size_t i = 0; i < of_columns.size(); ++i) of_columns[i] += static_cast<double>(part[i]);
    }
    float* const column = m.column + matrix * m.columns;
    for (std::int64_t i = 0; i < m.columns; ++i) {
      const double mean = of_columns[static_cast<std::size_t>(i)] / static_cast<double>(m.rows_of_one);
      column[i] = column[i] * keep + static_cast<float>(mean) * fresh;
      m.column_factor[static_cast<std::size_t>(matrix * m.columns + i)] = 1 / std::sqrt(column[i]);
    }
    double sum = 0;
    for (std::int64_t row = begin; row < end; ++row) sum += static_cast<double>(m.row[row]);
    const auto mean = static_cast<float>(sum / static_cast<double>(m.rows_of_one));
    for (std::int64_t row = begin; row < end; ++row) {
      m.row_factor[static_cast<std::size_t>(row)] = 1 / std::sqrt(m.row[row] / mean);
    }
  }
}

/// The gradient of a row becomes its update before clipping.
void scale_row(const Matrices& m, std::int64_t row, std::span<float> g) {
  if (!m.factored) {
    for (std::size_t i = 0; i < g.size(); ++i) g[i] *= 1 / std::sqrt(m.row[i]);
    return;
  }
  const float of_row = m.row_factor[static_cast<std::size_t>(row)];
  const float* const of_columns = m.column_factor.data() + row / m.rows_of_one * m.columns;
  for (std::size_t i = 0; i < g.size(); ++i) g[i] *= of_row * of_columns[i];
}

struct Application {
  float divisor, lr, decay;
  std::optional<double> beta1;
};

void apply_row(const Matrices& m, const Application& step, std::int64_t row, std::span<float> update) {
  const std::int64_t begin = row * m.columns;
  for (float& u : update) u = u / step.divisor * step.lr;
  if (step.beta1) {
    const auto keep = static_cast<float>(*step.beta1), fresh = static_cast<float>(1 - *step.beta1);
    float* const average = m.average + begin;
    for (std::size_t i = 0; i < update.size(); ++i) update[i] = average[i] = average[i] * keep + fresh * update[i];
  }
  std::vector<float> weights(update.size());
  const Element type = m.slot.master.defined() ? Element::f32 : m.slot.type;
  void* const data = m.slot.weights().mutable_data_ptr();
  widen(data, type, begin, weights);
  for (std::size_t i = 0; i < update.size(); ++i) weights[i] = weights[i] - step.decay * weights[i] - update[i];
  const auto narrow = [&](void* to, Element to_type) {
    cpu::kernels().convert({.destination_type = to_type,
                            .source = weights.data(),
                            .destination = static_cast<std::byte*>(to) + begin * element_bytes(to_type)},
                           0, static_cast<std::int64_t>(weights.size()));
  };
  narrow(data, type);
  if (m.slot.master.defined()) narrow(m.slot.parameter.mutable_data_ptr(), m.slot.type);
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
    Matrices m = matrices(slot);
    const double lr = learning_rate(slot, rate);
    const auto keep = static_cast<float>(1 - std::pow(static_cast<double>(slot.step), options_.decay_rate));
    const auto eps = static_cast<float>(options_.eps1);
    const auto grad_scale = static_cast<float>(rate.grad_scale);
    if (m.factored) {
      factored_means(m, rate, eps, keep);
    } else {
      for_rows(m, grad_scale, [&](std::int64_t, std::int64_t, std::span<float> g) {
        for (std::size_t i = 0; i < g.size(); ++i) m.row[i] = m.row[i] * keep + (g[i] * g[i] + eps) * (1 - keep);
      });
    }
    std::vector<double> squares(static_cast<std::size_t>(m.blocks()));
    for_rows(m, grad_scale, [&](std::int64_t block, std::int64_t row, std::span<float> g) {
      scale_row(m, row, g);
      squares[static_cast<std::size_t>(block)] += cpu::kernels().sum_squares(g.data(), Element::f32, 0, m.columns);
    });
    const double size = std::sqrt(total(squares) / static_cast<double>(slot.parameter.numel()));
    const Application step{.divisor = static_cast<float>(std::max(1.0, size / options_.clip_threshold)),
                           .lr = static_cast<float>(lr),
                           .decay = static_cast<float>(rate.weight_decay * lr),
                           .beta1 = options_.beta1};
    for_rows(m, grad_scale, [&](std::int64_t, std::int64_t row, std::span<float> g) {
      scale_row(m, row, g);
      apply_row(m, step, row, g);
    });
  }

 private:
  Matrices matrices(const ParameterSlot& slot) const {
    const bool factored = slot.parameter.dim() >= 2;
    const std::int64_t count = slot.parameter.numel();
    const std::int64_t columns = factored ? slot.parameter.size(-1) : count;
    Matrices m{.slot = slot,
               .factored = factored,
               .columns = columns,
               .rows = count / columns,
               .rows_of_one = factored ? slot.parameter.size(-2) : 1};
    m.row = slot.states[0].tensor.data_ptr<float>();
    if (factored) m.column = slot.states[1].tensor.data_ptr<float>();
    if (options_.beta1) m.average = slot.states.back().tensor.data_ptr<float>();
    return m;
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
