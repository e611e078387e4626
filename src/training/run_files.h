// What a run writes beside checkpoints: logs, TensorBoard events, the report and the manifest; and what it shows.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "powerhouse/dataset_report.h"
#include "powerhouse/trainer.h"
#include "training/event_file.h"
#include "training/html_report.h"
#include "training/progress.h"
#include "training/row_log.h"

namespace powerhouse {

class RunFiles {
 public:
  /// Without an output_dir nothing is written. Logs keep the rows of steps up to `first_step`; of a new run, none.
  RunFiles(const TrainingOptions& options, std::int64_t first_step, bool resumed, std::int64_t total_steps,
           Facts facts);

  void step(const TrainingStep& step, const std::vector<RowPlace>& rows);
  void evaluation(const Evaluation& evaluation);
  /// Something that happened: {"step": ..., "event": ..., ...}, and a line for the person.
  void event(std::int64_t step, const std::string& name, JsonObject details, const std::string& line);
  /// Draws report.html from the log.
  void write_report() const;

 private:
  std::string folder_;
  Facts facts_;
  Progress progress_;
  std::unique_ptr<RowLog> log_, order_;
  std::unique_ptr<EventFile> events_;
};

/// run.json: what the run was made from.
void write_manifest(const std::string& output_dir, const CausalLM& model, const TrainingOptions& options,
                    const std::string& run_id, const std::string& data_fingerprint, std::int64_t total_steps);

/// "a.jsonl:3, a.jsonl:7 and 5 more".
std::string rows_text(const std::vector<RowPlace>& rows);

}  // namespace powerhouse
