#include "ops/dequantize.h"

#include "kernels/cpu/kernels.h"
#include "ops/tensors.h"
#include "support/thread_team.h"

namespace powerhouse {

at::Tensor dequantized_rows(const Weight& weight, std::int64_t first, std::int64_t count, at::ScalarType type) {
  const std::int64_t columns = weight.stored()->shape.back();
  at::Tensor rows = empty_tensor({count, columns}, type);
  auto* const out = static_cast<std::byte*>(rows.mutable_data_ptr());
  const Element element = to_element(type);
  const auto convert = cpu::kernels().convert;
  parallel_for(count, std::max<std::int64_t>(1, 4096 / std::max<std::int64_t>(1, columns)),
               [&](std::int64_t begin, std::int64_t end) {
                 std::vector<float> values(static_cast<std::size_t>(columns));
                 for (std::int64_t row = begin; row < end; ++row) {
                   weight.read_row(first + row, values.data());
                   convert({.destination_type = element,
                            .source = values.data(),
                            .destination = out + row * columns * element_bytes(element)},
                           0, columns);
                 }
               });
  return rows;
}

at::Tensor dequantized(const Weight& weight, at::ScalarType type) {
  const auto& shape = weight.stored()->shape;
  std::int64_t rows = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return dequantized_rows(weight, 0, rows, type).view(shape);
}

}  // namespace powerhouse
