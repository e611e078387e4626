// Speculative decoding: what drafts, and how much.
#pragma once

#include <powerhouse/powerhouse.h>
#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace cli {

struct SpeculationFlags {
  std::int64_t lookup_ngram = 0, draft_layers = 0;  ///< 0: not that drafter
  std::int64_t branches = 1;
  std::string draft_model;
  powerhouse::SpeculativeOptions options;
  bool always = false;
  bool max_given = false;

  void add(CLI::App& command);
  /// Refuses what says how to draft where nothing drafts.
  void check() const;
  bool named() const { return lookup_ngram > 0 || draft_layers > 0 || !draft_model.empty(); }
  /// As `generate`, with drafts.
  powerhouse::SpeculativeResult run(powerhouse::Session& session, powerhouse::SequenceId sequence,
                                    const powerhouse::Tokenizer& tokenizer, const std::vector<std::int64_t>& ids,
                                    const powerhouse::GenerationOptions& generation) const;
};

}  // namespace cli
