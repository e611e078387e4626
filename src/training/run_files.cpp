#include "training/run_files.h"

#include <algorithm>
#include <ctime>

#include "powerhouse/device.h"
#include "powerhouse/version.h"
#include "support/atomic_write.h"

namespace powerhouse {
namespace {

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

JsonObject row_of(const TrainingStep& step) {
  JsonObject row;
  row["step"] = step.step;
  row["epoch"] = step.epoch;
  row["loss"] = step.loss;  // null where it is not finite
  row["learning_rate"] = step.learning_rate;
  row["grad_norm"] = step.grad_norm;
  row["tokens"] = step.tokens;
  row["target_tokens"] = step.target_tokens;
  row["tokens_per_second"] = step.tokens_per_second;
  row["peak_memory_bytes"] = Json(static_cast<std::uint64_t>(step.peak_memory_bytes));
  for (const auto& [name, value] : step.metrics) row[name] = value;
  if (!step.skipped.empty()) row["skipped"] = step.skipped;
  return row;
}

JsonObject row_of(const Evaluation& evaluation) {
  JsonObject row;
  row["step"] = evaluation.step;
  row["epoch"] = evaluation.epoch;
  row["eval_loss"] = evaluation.eval_loss;
  row["eval_target_tokens"] = evaluation.target_tokens;
  row["eval_seconds"] = evaluation.seconds;
  for (const auto& [name, value] : evaluation.metrics) row["eval_" + name] = value;
  return row;
}

}  // namespace

RunFiles::RunFiles(const TrainingOptions& options, std::int64_t first_step, bool resumed, std::int64_t total_steps,
                   Facts facts)
    : folder_(options.output_dir),
      facts_(std::move(facts)),
      progress_(options.progress, first_step, total_steps, options.logging_steps) {
  if (folder_.empty()) return;
  const std::int64_t keep = resumed ? first_step : -1;
  log_ = std::make_unique<RowLog>(folder_ + "/train_log.jsonl", keep);
  order_ = std::make_unique<RowLog>(folder_ + "/data_order.jsonl", keep);
  if (options.tensorboard) events_ = std::make_unique<EventFile>(folder_ + "/runs");
}

void RunFiles::step(const TrainingStep& step, const std::vector<RowPlace>& rows) {
  progress_.step(step);
  if (log_) log_->write(row_of(step));
  if (order_) {
    JsonObject row;
    row["step"] = step.step;
    Json::Array places;
    for (const RowPlace& place : rows) places.emplace_back(place.file + ":" + std::to_string(place.line));
    row["rows"] = std::move(places);
    order_->write(row);
  }
  if (events_) {
    Scalars scalars{{"train/loss", step.loss},
                    {"train/learning_rate", step.learning_rate},
                    {"train/grad_norm", step.grad_norm},
                    {"train/epoch", step.epoch},
                    {"train/tokens_per_second", step.tokens_per_second}};
    for (const auto& [name, value] : step.metrics) scalars.emplace_back("train/" + name, value);
    events_->write(step.step, scalars);
  }
}

void RunFiles::evaluation(const Evaluation& evaluation) {
  progress_.evaluation(evaluation);
  if (log_) log_->write(row_of(evaluation));
  if (!events_) return;
  Scalars scalars{{"eval/loss", evaluation.eval_loss}};
  for (const auto& [name, value] : evaluation.metrics) scalars.emplace_back("eval/" + name, value);
  events_->write(evaluation.step, scalars);
}

void RunFiles::event(std::int64_t step, const std::string& name, JsonObject details, const std::string& line) {
  progress_.note(LogLevel::warning, line);
  if (!log_) return;
  JsonObject row;
  row["step"] = step;
  row["event"] = name;
  for (const auto& [key, value] : details) row[key] = value;
  log_->write(row);
}

void RunFiles::write_report() const {
  if (!log_) return;
  write_atomically(folder_ + "/report.html", html_report("Training run", facts_, read_rows(log_->path())));
}

void write_manifest(const std::string& output_dir, const CausalLM& model, const TrainingOptions& options,
                    const std::string& run_id, const std::string& data_fingerprint, std::int64_t total_steps) {
  JsonObject manifest;
  manifest["powerhouse"] = version();
  manifest["run_id"] = run_id;
  manifest["started"] = utc_now();
  manifest["architecture"] = model.config().architecture;
  manifest["dtype"] = to_string(model.dtype());
  manifest["data_fingerprint"] = data_fingerprint;
  manifest["total_steps"] = total_steps;
  manifest["seed"] = Json(static_cast<std::uint64_t>(options.seed));
  manifest["threads"] = threads();
  manifest["cpu"] = cpu_name();
  manifest["instruction_set"] = kernel_instruction_set();
  if (!options.manifest.empty()) manifest["run"] = Json::parse(options.manifest, "TrainingOptions::manifest");
  write_atomically(output_dir + "/run.json", Json(std::move(manifest)).dump(2) + "\n");
}

std::string rows_text(const std::vector<RowPlace>& rows) {
  constexpr std::size_t kMost = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(rows.size(), kMost); ++i) {
    text += (i == 0 ? "" : ", ") + rows[i].file + ":" + std::to_string(rows[i].line);
  }
  if (rows.size() > kMost) text += " and " + std::to_string(rows.size() - kMost) + " more";
  return text;
}

}  // namespace powerhouse
