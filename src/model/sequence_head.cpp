#include "model/sequence_head.h"

#include <algorithm>
#include <array>

#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kMostLabels = 1 << 20;

constexpr std::array<std::string_view, 4> kProblemTypes = {"", "regression", "single_label_classification",
                                                           "multi_label_classification"};

[[noreturn]] void refuse(std::string_view what, std::string_view field, std::string expected, std::string found) {
  throw Error(ErrorKind::format, std::string(what),
              {.field = std::string(field), .expected = std::move(expected), .found = std::move(found)});
}

std::vector<std::string> read_labels(const JsonObject& id2label) {
  std::vector<std::string> labels(id2label.size());
  std::vector<bool> seen(labels.size());
  for (const auto& [key, value] : id2label) {
    const bool digits = !key.empty() && key.size() < 8 &&
                        std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
    const std::size_t id = digits ? std::stoul(key) : labels.size();
    if (id >= labels.size() || seen[id]) {
      refuse("labels must be counted from 0", "id2label", "0 to " + std::to_string(labels.size() - 1), key);
    }
    seen[id] = true;
    labels[id] = value.as_string("id2label");
  }
  return labels;
}

}  // namespace

std::string_view to_string(ProblemType type) noexcept {
  return type == ProblemType::automatic ? "automatic" : kProblemTypes[static_cast<std::size_t>(type)];
}

bool is_classifier(const Architecture& architecture, const Json& config) {
  const Json* names = config.get("architectures");
  if (names == nullptr || architecture.hf_classifier.empty()) return false;
  const Json::Array& list = names->as_array("architectures");
  return std::any_of(list.begin(), list.end(),
                     [&](const Json& name) { return name.as_string("architectures") == architecture.hf_classifier; });
}

std::vector<std::string> unnamed_labels(std::int64_t count) {
  std::vector<std::string> labels;
  for (std::int64_t i = 0; i < count; ++i) labels.push_back("LABEL_" + std::to_string(i));
  return labels;
}

SequenceHead read_sequence_head(const Json& config, std::int64_t vocab_size) {
  SequenceHead head;
  const Json* id2label = config.get("id2label");
  const std::int64_t count = config.integer_or("num_labels", 2);
  if (count < 1 || count > kMostLabels) {
    refuse("no such number of labels", "num_labels", "1 to 2^20", std::to_string(count));
  }
  head.labels = id2label != nullptr ? read_labels(id2label->as_object("id2label")) : unnamed_labels(count);
  if (config.get("num_labels") != nullptr && count != head.num_labels()) {
    refuse("labels are not as many as they are said to be", "num_labels", std::to_string(head.num_labels()),
           std::to_string(count));
  }
  if (const std::string type = config.string_or("problem_type", ""); !type.empty()) {
    const auto* const found = std::find(kProblemTypes.begin(), kProblemTypes.end(), type);
    if (found == kProblemTypes.end()) {
      refuse("unknown kind of problem", "problem_type",
             "regression, single_label_classification or multi_label_classification", type);
    }
    head.problem_type = static_cast<ProblemType>(found - kProblemTypes.begin());
  }
  const Json* pad = config.get("pad_token_id");
  // -1, and a family's own id beyond a small vocabulary, are no token.
  if (pad != nullptr && pad->as_integer("pad_token_id") >= 0 && pad->as_integer() < vocab_size) {
    head.pad_token_id = pad->as_integer();
  }
  return head;
}

void write_sequence_head(JsonObject& config, const SequenceHead& head) {
  JsonObject id2label, label2id;
  for (std::size_t i = 0; i < head.labels.size(); ++i) {
    id2label[std::to_string(i)] = head.labels[i];
    label2id[head.labels[i]] = static_cast<std::int64_t>(i);
  }
  config["id2label"] = std::move(id2label);
  config["label2id"] = std::move(label2id);
  config["problem_type"] = head.problem_type == ProblemType::automatic
                               ? Json()
                               : Json(std::string(kProblemTypes[static_cast<std::size_t>(head.problem_type)]));
  config["pad_token_id"] = head.pad_token_id ? Json(*head.pad_token_id) : Json();
}

void check_sequence_head(const Architecture& architecture, const ModelConfig& config) {
  const SequenceHead& head = *config.sequence_head;
  if (architecture.hf_classifier.empty()) {
    throw Error(ErrorKind::unsupported, "transformers has no head over sequences for this family",
                {.field = "architecture", .found = std::string(architecture.name)});
  }
  if (head.num_labels() < 1 || head.num_labels() > kMostLabels) {
    refuse("no such number of labels", "num_labels", "1 to 2^20", std::to_string(head.num_labels()));
  }
  if (head.problem_type == ProblemType::single_label_classification && head.num_labels() == 1) {
    refuse("one label is no choice", "problem_type", "regression, or 2 labels", "single_label_classification");
  }
  if (head.pad_token_id && (*head.pad_token_id < 0 || *head.pad_token_id >= config.vocab_size)) {
    refuse("padding outside the vocabulary", "pad_token_id", "0 to " + std::to_string(config.vocab_size - 1),
           std::to_string(*head.pad_token_id));
  }
}

}  // namespace powerhouse
