// PanelMemory: room for a plan's packed weights, side by side in large pages where the system has them. A product reads
// its panels from end to end, and the next layer's follow.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace powerhouse {

class PanelMemory {
 public:
  /// Room that begins on a cache line and lives as long as someone holds it. Error{memory} naming `owner`.
  std::shared_ptr<void> take(std::size_t bytes, const std::string& owner);

 private:
  std::shared_ptr<void> slab_;
  std::size_t used_ = 0;
  std::size_t size_ = 0;
};

}  // namespace powerhouse
