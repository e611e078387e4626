// Ctrl-C in a conversation: it ends the answer that is being written, else the program. SIGTERM and a closed terminal
// end the program. In a training run all of them end the run, which saves a checkpoint, and a second one the program.
//
// The signals are blocked in every thread (the library's, made later, inherit that) and taken by one that waits for
// them, so that an answer can be cancelled at any moment, in the middle of a long prompt too, with no work done in a
// handler.
#pragma once

#include <array>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

namespace cli {

/// One a program, made before the model is loaded.
class Interrupts {
 public:
  enum class Ends { at_once, gently };  ///< what SIGTERM and a closed terminal do to what is going on

  explicit Interrupts(Ends ends = Ends::at_once);
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  ~Interrupts();

  /// From now on Ctrl-C stops this token, until `end_answer`.
  std::stop_token begin_answer();
  void end_answer();

 private:
  void watch();

  Ends ends_;
  std::mutex mutex_;
  std::optional<std::stop_source> answer_;
  bool done_ = false;
  std::thread watcher_;
};

}  // namespace cli
