// --json-schema, --grammar, --regex, --choices: what an answer may be.
#pragma once

#include <powerhouse/powerhouse.h>
#include <CLI/CLI.hpp>

#include <optional>
#include <string>

namespace cli {

struct ConstraintFlags {
  std::string json_schema, grammar, regex, choices;
  bool compact_json = false;

  void add(CLI::App& command);
  /// The constraint that the flags name, if any. Errors name the flag.
  std::optional<powerhouse::Constraint> constraint(const powerhouse::Tokenizer& tokenizer) const;
};

}  // namespace cli
