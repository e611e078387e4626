// Conversion between element types: the load path widens quantized blocks to a float32 tile and converts that.
#pragma once

#include <cstdint>

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/kernels.h"

namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE {
namespace {

void convert(const ConvertParams& params, std::int64_t begin, std::int64_t end) {
  visit(params.source_type, [&](auto source_tag) {
    visit(params.destination_type, [&](auto destination_tag) {
      const auto* const source = static_cast<const typename decltype(source_tag)::Type*>(params.source);
      auto* const destination = static_cast<typename decltype(destination_tag)::Type*>(params.destination);
      for (std::int64_t i = begin; i < end; i += kWidth) {
        const int count = lanes(end, i);
        write(destination + i, read(source + i, count), count);
      }
    });
  });
}

}  // namespace
}  // namespace powerhouse::cpu::POWERHOUSE_ISA_NAMESPACE
