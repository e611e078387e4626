// PanelPacker: packs the weights of a plan. Matrices are handed out with room for their panels while the plan is laid
// out; what fills it is done at the end for all of them, in one fork: a thread that the system keeps away for a moment
// holds up nobody, as the others take the next panels.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "ops/panel_memory.h"

namespace powerhouse {

class PanelPacker {
 public:
  /// Room that lives as long as someone holds it. Error{memory} naming `owner`.
  std::shared_ptr<void> take(std::size_t bytes, const std::string& owner) { return memory_.take(bytes, owner); }
  /// To be done by `run`: pack(panel) for each of `panels`, on any thread; when all are there, done().
  void add(std::int64_t panels, std::function<void(std::int64_t panel)> pack, std::function<void()> done);
  /// Does what was added, on all threads.
  void run();

 private:
  struct Work {
    std::int64_t first_piece = 0;
    std::int64_t panels = 0;
    std::function<void(std::int64_t)> pack{};
    std::function<void()> done{};
    std::atomic<std::int64_t> panels_left{0};
  };
  void run_piece(std::int64_t piece);

  PanelMemory memory_;
  std::deque<Work> work_;
  std::int64_t pieces_ = 0;
};

}  // namespace powerhouse
