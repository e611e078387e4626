#include "ops/head_pass.h"

#include "kernels/cpu/kernels.h"
#include "ops/dequantize.h"
#include "ops/device_kernels.h"
#include "ops/matmul.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse::ops {
namespace {

// A half's gradients would underflow, and LibTorch has no fast product of float16: float32 does both.
at::ScalarType compute_type(const at::Tensor& hidden) {
  return hidden.scalar_type() == at::kHalf ? at::kFloat : hidden.scalar_type();
}

std::int64_t elements_in(std::int64_t bytes, at::ScalarType type) {
  return bytes / static_cast<std::int64_t>(c10::elementSize(type));
}

// Of sums over several products.
at::ScalarType sum_type(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16 ? at::kFloat : x.scalar_type(); }

// The head's matrix by ranges of its rows: one range for a tensor, and for blocks that fit the budget.
class HeadRows {
 public:
  HeadRows(const VocabularyHead& head, std::int64_t hidden_size, at::ScalarType type, std::int64_t budget)
      : head_(head), type_(type) {
    if (head.matrix.defined()) {
      whole_ = head.matrix.detach().to(type);
      vocabulary_ = step_ = whole_.size(0);
      return;
    }
    vocabulary_ = head.blocks.stored()->shape.front();
    step_ =
        std::clamp<std::int64_t>(elements_in(budget, type) / std::max<std::int64_t>(1, hidden_size), 1, vocabulary_);
    if (step_ == vocabulary_) whole_ = dequantized(head.blocks, type);
  }

  std::int64_t vocabulary() const { return vocabulary_; }
  bool is_whole() const { return whole_.defined(); }

  /// body(first, rows of the matrix [count, hidden])
  template <typename Body>
  void visit(Body body) const {
    if (is_whole()) return body(std::int64_t{0}, whole_);
    for (std::int64_t first = 0; first < vocabulary_; first += step_) {
      body(first, dequantized_rows(head_.blocks, first, std::min(step_, vocabulary_ - first), type_));
    }
  }

 private:
  const VocabularyHead& head_;
  at::ScalarType type_;
  at::Tensor whole_{};
  std::int64_t vocabulary_ = 0, step_ = 0;
};

// logits = hidden Wᵀ + bias
void multiply(const at::Tensor& hidden, const HeadRows& head, const at::Tensor& bias, const at::Tensor& logits) {
  head.visit([&](std::int64_t first, const at::Tensor& rows) {
    const std::int64_t count = rows.size(0);
    sum_products(logits.narrow(1, first, count), {{{hidden, rows.t()}}},
                 {.bias = bias.defined() ? bias.narrow(0, first, count) : bias});
  });
}

// y = logits W. Ranges of the head are summed in float32; a device's products are in any case.
void multiply_back(at::Tensor y, const at::Tensor& logits, const HeadRows& head) {
  if (head.is_whole() && !logits.is_cpu()) {
    return head.visit([&](std::int64_t, const at::Tensor& rows) { sum_products(y, {{{logits, rows}}}); });
  }
  at::Tensor sum;
  head.visit([&](std::int64_t first, const at::Tensor& rows) {
    const at::Tensor part = head.is_whole() ? logits : logits.narrow(1, first, rows.size(0));
    if (!sum.defined()) sum = empty_tensor({logits.size(0), rows.size(1)}, sum_type(logits), logits.device());
    sum_products(sum, {{{part, rows}}}, {.add = first > 0});
  });
  y.copy_(sum);
}

// Adds logitsᵀ hidden.
void accumulate_product(at::Tensor& sum, const at::Tensor& logits, const at::Tensor& hidden, bool only) {
  const bool first = !sum.defined();
  const auto type = only ? logits.scalar_type() : sum_type(logits);
  if (first) sum = empty_tensor({logits.size(1), hidden.size(1)}, type, logits.device());
  sum_products(sum, {{{logits.t(), hidden}}}, {.add = !first});
}

// Places of the rows that have a target.
at::Tensor rows_with_targets(const at::Tensor& targets) {
  std::vector<std::int64_t> rows;
  const auto* const values = targets.const_data_ptr<std::int64_t>();
  for (std::int64_t row = 0; row < targets.size(0); ++row) {
    if (values[row] != kIgnoredTarget) rows.push_back(row);
  }
  return index_tensor(rows);
}

// The rows that count, side by side.
struct Rows {
  at::Tensor hidden, targets;
  RowWeights weights;
  RowResults results;
};

float* floats_of(const at::Tensor& values, std::int64_t first) {
  return values.defined() ? values.mutable_data_ptr<float>() + first : nullptr;
}

void run_kernel(const Rows& rows, std::int64_t first, at::Tensor& logits, const VocabularyHead& head,
                const CrossEntropyOptions& options) {
  const cpu::CrossEntropyParams params{.type = to_element(logits.scalar_type()),
                                       .logits = logits.mutable_data_ptr(),
                                       .vocabulary = logits.size(1),
                                       .stride = logits.stride(0),
                                       .targets = rows.targets.const_data_ptr<std::int64_t>() + first,
                                       .weights = floats_of(rows.weights.loss, first),
                                       .entropy_weights = floats_of(rows.weights.entropy, first),
                                       .scale = head.logit_scale,
                                       .softcap = head.softcap.value_or(0.0f),
                                       .smoothing = options.label_smoothing,
                                       .z_loss = options.z_loss,
                                       .loss = rows.results.loss.mutable_data_ptr<float>() + first,
                                       .log_prob = rows.results.log_probs.mutable_data_ptr<float>() + first,
                                       .entropy = rows.results.entropy.mutable_data_ptr<float>() + first,
                                       .mean_logit = floats_of(rows.results.mean_logits, first),
                                       .log_sum_sq = floats_of(rows.results.log_sum_sq_probs, first),
                                       .arg_max = rows.results.arg_max.mutable_data_ptr<std::int64_t>() + first};
  if (!logits.is_cpu()) {
    const DeviceKernels device(logits.device());
    return device.must_launch("cross_entropy", &cuda::KernelTable::cross_entropy, params, logits.size(0));
  }
  const auto kernel = cpu::kernels().cross_entropy;
  parallel_for(logits.size(0), 1, [&](std::int64_t begin, std::int64_t end) { kernel(params, begin, end); });
}

// All about as large. LibTorch's GEMM of 682 rows takes 1.5 times as long a row as that of 704 (bf16, AVX-512, 49,152
// columns).
std::int64_t rows_of_chunk(std::int64_t count, std::int64_t chunks) {
  constexpr std::int64_t kWholeTiles = 64;
  const std::int64_t step = (count + chunks - 1) / chunks;
  return step < kWholeTiles ? step : (step + kWholeTiles - 1) / kWholeTiles * kWholeTiles;
}

constexpr std::int64_t kRowGap = 96;

// body(first, logits): the logits of some rows, as the head makes them in `type`, become their gradient in place, which
// is multiplied back where that is wanted.
template <typename Body>
void run_chunks(const at::Tensor& rows, const HeadRows& matrix, const at::Tensor& head_bias, at::ScalarType type,
                std::int64_t chunk_bytes, HeadGradients& gradients, Body body) {
  const std::int64_t count = rows.size(0);
  if (count == 0) return;
  const std::int64_t fitting = elements_in(chunk_bytes, type) / std::max<std::int64_t>(1, matrix.vocabulary());
  const std::int64_t chunks = (count + std::max<std::int64_t>(1, fitting) - 1) / std::max<std::int64_t>(1, fitting);
  const std::int64_t step = rows_of_chunk(count, chunks);
  const at::Tensor bias = head_bias.defined() ? head_bias.detach().to(type) : head_bias;
  // Rows a power of two apart would share a few sets of the caches.
  const at::Tensor room =
      empty_tensor({step, matrix.vocabulary() + kRowGap}, type, rows.device()).narrow(1, 0, matrix.vocabulary());
  for (std::int64_t first = 0; first < count; first += step) {
    const at::Tensor hidden = rows.narrow(0, first, std::min(step, count - first));
    at::Tensor logits = room.narrow(0, 0, hidden.size(0));
    multiply(hidden, matrix, bias, logits);
    body(first, logits);
    if (!gradients.any()) continue;
    const at::Tensor gradient = logits.to(hidden.scalar_type());
    if (gradients.want_hidden) multiply_back(gradients.hidden.narrow(0, first, hidden.size(0)), gradient, matrix);
    if (gradients.want_matrix) accumulate_product(gradients.matrix, gradient, hidden, step >= count);
    if (!gradients.want_bias) continue;
    const at::Tensor part = logits.sum(0, false, type == at::kDouble ? type : at::kFloat);
    gradients.bias = gradients.bias.defined() ? gradients.bias.add_(part) : part;
  }
}

// In the types of what they belong to.
void finish_gradients(const at::Tensor& hidden, const VocabularyHead& head, HeadGradients& gradients) {
  const auto finished = [](at::Tensor& gradient, const at::Tensor& of, bool wanted) {
    if (wanted) gradient = gradient.defined() ? gradient.to(of.scalar_type()) : of.new_zeros(of.sizes());
  };
  finished(gradients.matrix, head.matrix, gradients.want_matrix);
  finished(gradients.bias, head.bias, gradients.want_bias);
  if (gradients.want_hidden) gradients.hidden = gradients.hidden.to(hidden.scalar_type());
}

}  // namespace

RowResults pass_through_head(const at::Tensor& hidden, const VocabularyHead& head, const at::Tensor& targets,
                             const RowWeights& weights, const CrossEntropyOptions& options, HeadGradients& gradients) {
  const at::Device device = hidden.device();
  const at::Tensor places = uploaded(rows_with_targets(targets.to(at::kCPU)), device);
  const std::int64_t count = places.size(0);
  const bool all = count == hidden.size(0);
  const auto taken = [&](const at::Tensor& x) {
    if (!x.defined()) return x;
    return all ? x.detach().contiguous() : x.detach().index_select(0, places);
  };
  const auto type = compute_type(hidden);
  Rows rows{.hidden = taken(hidden).to(type), .targets = taken(targets.is_cpu() ? uploaded(targets, device) : targets)};
  if (gradients.any()) rows.weights = {taken(weights.loss), taken(weights.entropy)};
  const auto floats = [&](std::int64_t size) { return empty_tensor({size}, at::kFloat, device); };
  rows.results = {floats(count), floats(count), floats(count), empty_tensor({count}, at::kLong, device)};
  if (options.statistics) rows.results.mean_logits = floats(count), rows.results.log_sum_sq_probs = floats(count);
  if (gradients.want_hidden) gradients.hidden = empty_tensor({count, hidden.size(1)}, type, device);

  const std::int64_t chunk_bytes = options.chunk_bytes > 0 ? options.chunk_bytes : head_chunk(device);
  const HeadRows matrix(head, hidden.size(1), type, chunk_bytes);
  run_chunks(rows.hidden, matrix, head.bias, type, chunk_bytes, gradients,
             [&](std::int64_t first, at::Tensor& logits) { run_kernel(rows, first, logits, head, options); });
  finish_gradients(hidden, head, gradients);
  if (all) return rows.results;
  const auto spread = [&](const at::Tensor& values, double rest) {
    if (!values.defined()) return values;
    auto sizes = values.sizes().vec();
    sizes[0] = hidden.size(0);
    return values.new_full(sizes, rest).index_copy_(0, places, values);
  };
  if (gradients.want_hidden) gradients.hidden = spread(gradients.hidden, 0);
  const RowResults& found = rows.results;
  return {spread(found.loss, 0),     spread(found.log_probs, 0),   spread(found.entropy, 0),
          spread(found.arg_max, -1), spread(found.mean_logits, 0), spread(found.log_sum_sq_probs, 0)};
}

void visit_head_chunks(const at::Tensor& hidden, const VocabularyHead& head, std::int64_t chunk_bytes,
                       HeadGradients& gradients, const HeadChunkBody& body) {
  const auto type = compute_type(hidden);
  const at::Tensor rows = hidden.detach().contiguous().to(type);
  if (gradients.want_hidden) gradients.hidden = empty_tensor(rows.sizes(), type, rows.device());
  const HeadRows matrix(head, hidden.size(1), type, chunk_bytes);
  const auto scale = static_cast<double>(head.logit_scale);
  run_chunks(rows, matrix, head.bias, sum_type(rows), chunk_bytes, gradients, [&](std::int64_t first, at::Tensor& z) {
    at::Tensor slope;
    if (head.softcap) {
      const auto cap = static_cast<double>(*head.softcap);
      z.mul_(scale / cap).tanh_();
      if (gradients.any()) slope = z.square().neg_().add_(1).mul_(scale);
      z.mul_(cap);
    } else if (scale != 1) {
      z.mul_(scale);
    }
    body(first, z);
    if (!gradients.any()) return;
    if (slope.defined()) {
      z.mul_(slope);
    } else if (scale != 1) {
      z.mul_(scale);
    }
  });
  finish_gradients(hidden, head, gradients);
}

}  // namespace powerhouse::ops
