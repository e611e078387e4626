// The losses of transformers' classes with a head over sequences.
#include <ATen/core/Tensor.h>
#include <ATen/ops/binary_cross_entropy_with_logits_ops.h>

#include "model/api_guard.h"
#include "powerhouse/error.h"
#include "powerhouse/sequence_classifier.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kMean = 1;  // of LibTorch's reductions

void check_shape(const at::Tensor& labels, const std::vector<std::int64_t>& shape, std::string_view expected) {
  if (labels.sizes() == at::IntArrayRef(shape)) return;
  throw Error(ErrorKind::usage, "labels of another shape", {.field = "labels", .expected = std::string(expected)});
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels) {
  check_shape(labels, {logits.size(0)}, "[documents]");
  const std::int64_t lowest = labels.min().item<std::int64_t>();
  const std::int64_t highest = labels.max().item<std::int64_t>();
  if (lowest < 0 || highest >= logits.size(1)) {
    throw Error(ErrorKind::range, "no such class",
                {.field = "labels",
                 .expected = "0 to " + std::to_string(logits.size(1) - 1),
                 .found = std::to_string(lowest < 0 ? lowest : highest)});
  }
  return logits.log_softmax(-1).gather(-1, labels.to(at::kLong).unsqueeze(-1)).mean().neg();
}

}  // namespace

at::Tensor sequence_classification_loss(const at::Tensor& logits, const at::Tensor& labels, ProblemType type) {
  if (!logits.defined() || logits.dim() != 2 || logits.numel() == 0) {
    throw Error(ErrorKind::usage, "wrong input", {.field = "logits", .expected = "[documents, labels]"});
  }
  if (!labels.defined() || labels.numel() == 0) {
    throw Error(ErrorKind::usage, "wrong input", {.field = "labels", .expected = "one a document"});
  }
  if (type == ProblemType::automatic) {
    const bool classes = !labels.is_floating_point();
    type = logits.size(1) == 1 ? ProblemType::regression
           : classes           ? ProblemType::single_label_classification
                               : ProblemType::multi_label_classification;
  }
  return guarded([&] {
    if (type == ProblemType::single_label_classification) return cross_entropy(logits, labels);
    const at::Tensor wanted = labels.to(logits.scalar_type());
    if (type == ProblemType::regression) {
      if (logits.size(1) == 1 && labels.dim() == 1) {
        check_shape(labels, {logits.size(0)}, "[documents]");
        return logits.squeeze(1).sub(wanted).square().mean();
      }
      check_shape(labels, logits.sizes().vec(), "[documents, labels]");
      return logits.sub(wanted).square().mean();
    }
    check_shape(labels, logits.sizes().vec(), "[documents, labels]");
    return at::_ops::binary_cross_entropy_with_logits::call(logits, wanted, {}, {}, kMean);
  });
}

}  // namespace powerhouse
