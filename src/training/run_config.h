// The keys of run.yaml as a table: one row an honoured key, with the field it fills, its bounds and what it means.
// Reading, checking and --print-defaults are loops over these rows.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "powerhouse/error.h"
#include "powerhouse/training_run.h"
#include "training/yaml.h"

namespace powerhouse {

/// Reads a value that is more than a scalar or a list of texts, and shows the field's value as YAML.
struct KeyReader {
  void (*read)(TrainingRun& run, const YamlValue& value, const std::string& field);
  bool (*given)(const TrainingRun& run) = nullptr;  // of keys with methods
};

using RunField = std::variant<bool TrainingRun::*, std::int64_t TrainingRun::*, std::uint64_t TrainingRun::*,
                              double TrainingRun::*, std::string TrainingRun::*, std::optional<bool> TrainingRun::*,
                              std::optional<std::int64_t> TrainingRun::*, std::optional<double> TrainingRun::*,
                              std::vector<std::string> TrainingRun::*, std::optional<bool> OnlineRun::*,
                              std::optional<std::int64_t> OnlineRun::*, std::optional<double> OnlineRun::*,
                              std::string OnlineRun::*, std::vector<std::string> OnlineRun::*, KeyReader>;

constexpr double kUnbounded = std::numeric_limits<double>::max();

struct RunKey {
  std::string_view name;
  RunField field;
  std::string_view help;
  double low = 0;
  double high = kUnbounded;
  std::string_view choices{};  // of a text: "a|b|c"
  std::string_view methods{};  // of online_keys: which `rl` have it
};

/// What checks of several keys together are made of.
struct RunChecks {
  const TrainingRun& run;
  const std::string& origin;

  /// Error{format} naming origin and field.
  void refuse(bool wrong, std::string_view field, const std::string& message) const {
    if (wrong) throw Error(ErrorKind::format, message, {.file = origin, .field = std::string(field)});
  }
};

/// In the order of --print-defaults.
std::span<const RunKey> run_keys();
/// All of them but those of distillation (run_distillation.h) and of grpo, rloo and ppo (run_online.h).
std::span<const RunKey> common_keys();
/// Keys of `datasets` entries, for the nearest one of an unknown key.
std::vector<DatasetSource> read_dataset_sources(const YamlValue& value, const std::string& field);

/// Error{format} naming `origin` for keys that exclude each other, and those that would do nothing.
void check_together(const TrainingRun& run, const std::string& origin);
/// Whether `word` is one of "a|b|c".
bool has_word(std::string_view words, std::string_view word);
/// Whether there are rows to evaluate on.
bool holds_back(const TrainingRun& run);

/// What DatasetOptions and DatasetSource take, of Axolotl's chat_template and chat_template_jinja: a format's name or
/// nothing as they are, or the template's source, which `jinja` is or the file that it names. Error{format} where the
/// two do not fit together or the template is none, Error{not_found} where there is no such file or format; `field`
/// says which of the two keys is wrong.
std::string chat_template_source(const std::string& name, const std::string& jinja);

/// Axolotl's keys that change nothing here, and those that ask for what is not built, each with what to say of it.
struct OtherKey {
  std::string_view name;
  std::string_view why;
  std::string_view done_anyway{};  // of what is not built: a value that asks for nothing
};
const OtherKey* key_without_effect(std::string_view name);
const OtherKey* unsupported_key(std::string_view name);
/// All names of the three classes.
std::vector<std::string_view> known_keys();

/// The candidate nearest to `name` by edit distance (Levenshtein).
std::string nearest_key(std::string_view name, std::span<const std::string_view> candidates);

}  // namespace powerhouse
