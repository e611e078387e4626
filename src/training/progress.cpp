#include "training/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace powerhouse {
namespace {

constexpr int kBarWidth = 24;
constexpr auto kRedraw = std::chrono::milliseconds(100);

std::string fixed(double number, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, number);
  return text;
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<long long>(std::clamp(seconds, 0.0, 1e9) + 0.5);
  char text[64];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  }
  return text;
}

std::string progress_text(const TrainingStep& step, std::int64_t total_steps, double seconds_left, int bar_width) {
  std::string text = "step " + std::to_string(step.step) + "/" + std::to_string(total_steps);
  if (bar_width > 0) {
    const auto full = static_cast<std::size_t>(bar_width * step.step / std::max<std::int64_t>(1, total_steps));
    const auto width = static_cast<std::size_t>(bar_width);
    text += " [" + std::string(std::min(full, width), '#') + std::string(width - std::min(full, width), '.') + "]";
  }
  text += step.skipped.empty() ? " loss " + fixed(step.loss, 4) : " skipped: " + step.skipped;
  text += ", " + fixed(step.tokens_per_second, 0) + " tokens/s, " + duration_text(seconds_left) + " left";
  return text;
}

Progress::Progress(bool enabled, std::int64_t first_step, std::int64_t total_steps, std::int64_t logging_steps)
    : enabled_(enabled),
      terminal_(enabled && ::isatty(STDERR_FILENO) != 0),
      first_step_(first_step),
      total_steps_(total_steps),
      logging_steps_(std::max<std::int64_t>(1, logging_steps)) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\n", stderr);
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

void Progress::step(const TrainingStep& step) {
  if (!enabled_) return;
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  const auto done = static_cast<double>(step.step - first_step_);
  const double left = done > 0 ? seconds / done * static_cast<double>(total_steps_ - step.step) : 0;
  if (terminal_) {
    if (drawn_ && now - last_drawn_ < kRedraw && step.step < total_steps_) return;
    clear();
    std::fputs(progress_text(step, total_steps_, left, kBarWidth).c_str(), stderr);
    std::fflush(stderr);
    drawn_ = true;
    last_drawn_ = now;
  } else if (step.step % logging_steps_ == 0 || step.step == total_steps_ || step.step == first_step_ + 1) {
    log(LogLevel::info, progress_text(step, total_steps_, left, 0));
  }
}

void Progress::evaluation(const Evaluation& evaluation) {
  note(LogLevel::info, "step " + std::to_string(evaluation.step) + ": eval_loss " + fixed(evaluation.eval_loss, 4) +
                           (evaluation.best ? " (the best)" : ""));
}

void Progress::note(LogLevel level, const std::string& text) {
  if (!enabled_ && level == LogLevel::info) return;
  clear();
  log(level, text);
}

}  // namespace powerhouse
