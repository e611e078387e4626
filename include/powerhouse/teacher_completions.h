// Sequence-level distillation (Kim and Rush 2016, arXiv 1606.07947): the teacher writes the answers, and a student is
// fine-tuned on them as on any data. No vocabulary in common is needed.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "powerhouse/causal_lm.h"
#include "powerhouse/export.h"
#include "powerhouse/generation.h"
#include "powerhouse/tokenizer.h"

namespace powerhouse {

struct TeacherCompletionOptions {
  /// Temperature 0 is the teacher's likeliest text as it finds it greedily, the paper's; with 1 the texts are samples
  /// of its distribution. `seed` counts up by prompt; on_token and stop strings as everywhere.
  GenerationOptions generation{};
  /// Prompts are a user's messages and completions an assistant's, through the tokenizer's chat template, and rows are
  /// messages; else both are plain text.
  bool chat = false;
  bool keep_unfinished = false;  ///< also completions that max_new_tokens cut off
};

/// Writes a JSON line {"prompt", "completion"} a prompt, TRL's columns, which Dataset::open reads, atomically; gives
/// the number of rows. Completions without text are left out. Error{usage} for no prompts, Error{numeric, range, io}.
POWERHOUSE_API std::int64_t write_teacher_completions(const CausalLM& teacher, const Tokenizer& tokenizer,
                                                      std::span<const std::string> prompts, const std::string& path,
                                                      const TeacherCompletionOptions& options = {});

}  // namespace powerhouse
