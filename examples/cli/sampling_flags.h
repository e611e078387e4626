// How tokens are chosen, as flags: one for each field of GenerationOptions and SamplingOptions.
#pragma once

#include <powerhouse/powerhouse.h>
#include <CLI/CLI.hpp>

namespace cli {

/// Adds them to `command`, bound to `options`. Once all is parsed, `--sampler-order llama.cpp` brings llama.cpp's
/// defaults for what was not named.
void add_sampling(CLI::App& command, powerhouse::GenerationOptions& options);

}  // namespace cli
