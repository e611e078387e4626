// report.html: the curves of a run in one file that needs nothing else, no script and no other server. Drawn from the
// rows of train_log.jsonl, so that a resumed run shows all of itself.
#pragma once

#include <span>
#include <string>

#include "support/html_chart.h"
#include "support/json.h"

namespace powerhouse {

/// The page: loss of training (with a running mean) and held-back rows, learning rate, gradient norm, tokens a second,
/// peak memory, and a table of facts.
std::string html_report(const std::string& title, const Facts& facts, std::span<const Json> rows);

}  // namespace powerhouse
