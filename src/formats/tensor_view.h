// A tensor inside a file: its name, shape and format, and where its bytes are mapped. No LibTorch here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/common/blocks.h"
#include "support/mapped_file.h"

namespace powerhouse {

struct TensorView {
  std::string name;
  BlockFormat format = BlockFormat::f32;
  std::vector<std::int64_t> shape;  // outermost first: [rows, columns]; GGUF's order is reversed on reading
  const std::byte* data = nullptr;  // inside `file`
  std::size_t bytes = 0;
  std::shared_ptr<const MappedFile> file;  // keeps the bytes mapped

  std::int64_t elements() const {
    std::int64_t count = 1;
    for (const std::int64_t dimension : shape) count *= dimension;  // checked when the file was read
    return count;
  }
};

}  // namespace powerhouse
