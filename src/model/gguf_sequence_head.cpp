#include "model/gguf_sequence_head.h"

#include "model/sequence_head.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// llama.cpp's numbers of what makes one row of a sequence's: the last token's, or a head over that.
constexpr std::int64_t kPoolingLast = 3, kPoolingRank = 4;

void check_layers(const GgufFile& file) {
  for (const char* name : {"cls.weight", "cls.bias", "cls.norm.weight", "cls.output.bias"}) {
    if (file.find_tensor(name) == nullptr) continue;
    throw Error(ErrorKind::unsupported, "a head over sequences is one matrix here",
                {.file = file.path(), .field = name, .expected = "cls.output.weight alone"});
  }
}

void check_pooling(const GgufFile& file, const std::string& prefix) {
  const std::int64_t pooling = file.integer(prefix + "pooling_type").value_or(kPoolingRank);
  const std::int64_t before = file.integer(prefix + "classifier.pooling_type").value_or(kPoolingLast);
  const bool rank = pooling == kPoolingRank || pooling == kPoolingLast;
  if (rank && before == kPoolingLast) return;
  throw Error(ErrorKind::unsupported, "the head does not read the last token",
              {.file = file.path(),
               .field = prefix + (rank ? "classifier.pooling_type" : "pooling_type"),
               .expected = rank ? "3 (last)" : "4 (rank) or 3 (last)",
               .found = std::to_string(rank ? before : pooling)});
}

}  // namespace

std::optional<SequenceHead> read_gguf_sequence_head(const GgufFile& file) {
  const TensorView* head = file.find_tensor("cls.output.weight");
  if (head == nullptr && file.find_tensor("cls.weight") == nullptr) return std::nullopt;
  check_layers(file);
  const std::string prefix = std::string(file.require_string("general.architecture")) + ".";
  check_pooling(file, prefix);
  const std::int64_t rows = head->shape.size() == 1 ? 1 : head->shape.front();
  SequenceHead out{.labels = unnamed_labels(rows)};
  if (const auto* labels = file.strings(prefix + "classifier.output_labels")) {
    if (std::ssize(*labels) != rows) {
      throw Error(ErrorKind::format, "labels are not as many as the head's rows",
                  {.file = file.path(),
                   .field = prefix + "classifier.output_labels",
                   .expected = std::to_string(rows),
                   .found = std::to_string(labels->size())});
    }
    out.labels.assign(labels->begin(), labels->end());
  }
  if (rows > 1) out.problem_type = ProblemType::single_label_classification;
  return out;
}

}  // namespace powerhouse
