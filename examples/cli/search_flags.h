// --strategy and what belongs to it: searches that give more than one text, or choose tokens otherwise than `generate`.
#pragma once

#include <powerhouse/powerhouse.h>
#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace cli {

struct SearchFlags {
  std::string strategy = "sample";
  powerhouse::BeamSearchOptions beams{.num_beams = 4};
  std::string early_stopping = "false";
  std::vector<std::string> force_words;
  float penalty_alpha = 0.6f;

  void add(CLI::App& command);
  /// Refuses flags of another strategy than the one that is named, and that one without what it needs.
  void check() const;
  /// Whether --strategy names a search: those of beams, or contrastive.
  bool named() const { return strategy.ends_with("beam") || strategy == "contrastive"; }
  /// Continues `ids` by it, and writes what it finds: texts, the best first, or JSON.
  void run(powerhouse::Session& session, powerhouse::SequenceId sequence, const powerhouse::Tokenizer& tokenizer,
           const std::vector<std::int64_t>& ids, const powerhouse::GenerationOptions& options, bool json) const;

 private:
  /// A flag, and the strategy that it belongs to; "beam": every one of beams.
  struct Belonging {
    const CLI::Option* flag;
    std::string strategy;
  };
  std::vector<Belonging> belongings_;

  bool names(const std::string& one) const { return one == "beam" ? strategy.ends_with("beam") : strategy == one; }
  void run_contrastive(powerhouse::Session& session, const powerhouse::Tokenizer& tokenizer,
                       const std::vector<std::int64_t>& ids, const powerhouse::GenerationOptions& options,
                       bool json) const;
  powerhouse::BeamSearchOptions beam_options(const powerhouse::Tokenizer& tokenizer,
                                             const powerhouse::GenerationOptions& options) const;
};

}  // namespace cli
