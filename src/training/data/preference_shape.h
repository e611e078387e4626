// How a row's columns become a prompt and completions, as texts or as messages: TRL's shapes, and Axolotl's types.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "powerhouse/dataset.h"
#include "support/json.h"

namespace powerhouse::training {

/// A prompt with one completion or two, chosen first.
struct PreferenceTexts {
  std::string prompt;
  std::vector<std::string> completions;
};
struct PreferenceMessages {
  Json::Array prompt;
  std::vector<Json::Array> completions;
  std::string tools;  // JSON text; empty means none
};

struct PreferenceRow {
  std::optional<PreferenceTexts> texts;        // or else
  std::optional<PreferenceMessages> messages;  // as the chat template takes them
  /// Axolotl's rendering of messages: each completion is what the template makes of it from its content on, without the
  /// blanks at its end, and EOS behind where there is none.
  bool completions_alone = false;
  std::optional<bool> label;
  std::optional<double> margin;
};

class PreferenceShape {
 public:
  virtual ~PreferenceShape() = default;
  /// Safe from several threads. Error{format} names the column.
  virtual PreferenceRow read(const Json& columns) const = 0;
};

/// "chat_template" is one of both: of the next token, and short for chat_template.default.
bool is_preference_type(const std::string& type);
/// By source.type, or by the first row's columns. Error{usage} for an unknown type.
std::unique_ptr<PreferenceShape> make_preference_shape(const DatasetSource& source);
/// Axolotl's types of a fixed text format; nullptr where `source.type` is none of them.
std::unique_ptr<PreferenceShape> make_fixed_preference(const DatasetSource& source);

/// Whether rows of these columns are pairs: they have a rejected completion.
bool are_pairs(const Json& columns, const DatasetSource& source);

/// `label` of a row: true or false, or 0 or 1. Error{format}.
bool label_column(const Json& columns);

}  // namespace powerhouse::training
