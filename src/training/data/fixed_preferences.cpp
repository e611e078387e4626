// Axolotl's preference types that write a fixed format around a question and its answers, as a table.
#include <algorithm>
#include <array>

#include "powerhouse/error.h"
#include "training/data/columns.h"
#include "training/data/preference_shape.h"

namespace powerhouse::training {
namespace {

struct Format {
  std::string_view name, system, user, user_end, assistant, end;
};

constexpr Format kFormats[] = {
    {"chatml", "<|im_start|>system\n", "<|im_start|>user\n", "<|im_end|>\n", "<|im_start|>assistant\n", "<|im_end|>"},
    {"llama3", "<|start_header_id|>system<|end_header_id|>\n\n", "<|start_header_id|>user<|end_header_id|>\n\n",
     "<|eot_id|>", "<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
};

enum class Answers { text, second_message };

struct Columns {
  std::string_view name;
  std::array<std::string_view, 4> questions;  // the first that is there; none: the first message of `chosen`
  Answers answers;
};

constexpr Columns kColumns[] = {
    {"default", {"prompt", "input", "question", "instruction"}, Answers::text},
    {"argilla", {"prompt", "input", "question", "instruction"}, Answers::text},
    {"argilla_chat", {}, Answers::second_message},
    {"icr", {"input"}, Answers::text},
    {"intel", {"question"}, Answers::text},
    {"prompt_pairs", {"prompt"}, Answers::text},
    {"ultra", {"prompt"}, Answers::second_message},
};

class FixedPreference final : public PreferenceShape {
 public:
  FixedPreference(const DatasetSource& source, const Format& format, const Columns& columns)
      : source_(source), format_(format), columns_(columns) {}

  PreferenceRow read(const Json& columns) const override {
    const bool pair = are_pairs(columns, source_);
    PreferenceRow row;
    if (!pair) row.label = label_column(columns);
    row.texts.emplace();
    row.texts->prompt = prompt(columns, pair ? source_.field_chosen : "completion");
    if (pair) {
      row.texts->completions = {answer(columns, source_.field_chosen, "chosen_response"),
                                answer(columns, source_.field_rejected, "rejected_response")};
    } else {
      row.texts->completions = {answer(columns, "completion", "")};
    }
    return row;
  }

 private:
  std::string prompt(const Json& columns, const std::string& answers) const {
    std::string out;
    if (const Json* system = columns.get("system"); system != nullptr && !optional_text(columns, "system").empty()) {
      out.append(format_.system).append(system->as_string()).append(format_.user_end);
    }
    const auto* const question = std::find_if(columns_.questions.begin(), columns_.questions.end(),
                                              [&](auto name) { return !name.empty() && columns.get(name) != nullptr; });
    const bool none = columns_.questions.front().empty();
    std::string text =
        none ? content(columns, answers, 0)
             : text_column(columns, question == columns_.questions.end() ? columns_.questions.front() : *question);
    return out.append(format_.user).append(text).append(format_.user_end).append(format_.assistant);
  }

  std::string answer(const Json& columns, const std::string& field, const std::string& other) const {
    const bool there = other.empty() || columns.get(field) != nullptr || columns.get(other) == nullptr;
    const std::string& name = there ? field : other;
    // In KTO's `ultra` the one completion is a text.
    const bool messages = columns_.answers == Answers::second_message && column(columns, name).is_array();
    std::string text = messages ? content(columns, name, 1) : text_column(columns, name);
    return text.append(format_.end);
  }

  static std::string content(const Json& columns, const std::string& field, std::size_t index) {
    const Json::Array messages = array_column(columns, field);
    if (index >= messages.size()) {
      throw Error(ErrorKind::format, "too few messages",
                  {.field = field, .expected = std::to_string(index + 1), .found = std::to_string(messages.size())});
    }
    return text_column(messages[index], "content");
  }

  DatasetSource source_;
  Format format_;
  Columns columns_;
};

}  // namespace

std::unique_ptr<PreferenceShape> make_fixed_preference(const DatasetSource& source) {
  const std::size_t dot = source.type.find('.');
  if (dot == std::string::npos) return nullptr;
  const std::string_view type = source.type;
  for (const Format& format : kFormats) {
    for (const Columns& columns : kColumns) {
      if (type.substr(0, dot) == format.name && type.substr(dot + 1) == columns.name) {
        return std::make_unique<FixedPreference>(source, format, columns);
      }
    }
  }
  return nullptr;
}

}  // namespace powerhouse::training
