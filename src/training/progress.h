// What a person sees of a run: on a terminal a bar that is drawn over, elsewhere a line now and then.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "powerhouse/log.h"
#include "powerhouse/trainer.h"

namespace powerhouse {

/// "1:02:03", "2:03".
std::string duration_text(double seconds);
/// "step 12/300 [####......] loss 1.234, 567 tokens/s, 2:03 left".
std::string progress_text(const TrainingStep& step, std::int64_t total_steps, double seconds_left, int bar_width);

class Progress {
 public:
  Progress(bool enabled, std::int64_t first_step, std::int64_t total_steps, std::int64_t logging_steps);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void step(const TrainingStep& step);
  void evaluation(const Evaluation& evaluation);
  /// A message that stays; the bar is drawn again below it.
  void note(LogLevel level, const std::string& text);

 private:
  void clear();

  bool enabled_;
  bool terminal_;
  bool drawn_ = false;
  std::int64_t first_step_, total_steps_, logging_steps_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_drawn_{};
};

}  // namespace powerhouse
