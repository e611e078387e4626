// Strategies that decode by contrast: context-aware, contrastive-decoding and dola.
#pragma once

#include <powerhouse/powerhouse.h>
#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

struct ContrastFlags {
  std::string context;
  std::string amateur;
  std::string dola_layers = "high";
  float alpha = 0, tau = 1;
  bool alpha_given = false;

  void add(CLI::App& command);
  /// Whether a strategy is one of them.
  static bool is_named(std::string_view strategy);
  /// Error{usage} for flags that belong to another strategy, or that one of them lacks.
  void check(std::string_view strategy) const;
  /// Continues `ids` by one of them; `with_context` are those of the context and the prompt behind it. Only DoLa tells
  /// premature layers.
  powerhouse::DolaResult run(std::string_view strategy, const powerhouse::CausalLM& model,
                             const powerhouse::Tokenizer& tokenizer, const std::vector<std::int64_t>& ids,
                             const std::vector<std::int64_t>& with_context,
                             const powerhouse::GenerationOptions& options) const;
};

}  // namespace cli
