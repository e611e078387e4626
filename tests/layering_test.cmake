# The layering check must pass on the tree and fail on planted violations:
# cmake -D ROOT=<repository> -D SCRATCH=<folder> -P layering_test.cmake
cmake_minimum_required(VERSION 3.25)

function(check root expected)
  execute_process(COMMAND ${CMAKE_COMMAND} -D ROOT=${root} -P ${ROOT}/tests/layering.cmake
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(expected STREQUAL "clean" AND NOT result EQUAL 0)
    message(FATAL_ERROR "${output}")
  elseif(expected STREQUAL "caught" AND result EQUAL 0)
    message(FATAL_ERROR "a planted violation was not caught: ${ARGN}")
  endif()
endfunction()

check(${ROOT} clean)
set(planted
  "src/text/a.cpp|#include \"model/decoder.h\""
  "src/formats/a.cpp|#include <ATen/core/Tensor.h>"
  "src/formats/a.cpp|#include \"powerhouse/causal_lm.h\""
  "src/model/a.cpp|#include \"generation/sampler.h\""
  "src/model/a.cpp|#include \"../ops/linear.h\""
  "src/text/a.cpp|#include <nlohmann/json.hpp>"
  "src/garden/a.cpp|#include \"support/json.h\""
  "include/powerhouse/a.h|#include <torch/torch.h>"
  "include/powerhouse/tensor.h|#include <ATen/core/Tensor.h>"
  "examples/cli/a.cpp|#include <ATen/ATen.h>"
  "include/powerhouse/a.h|#include \"support/json.h\""
  "include/powerhouse/tokenizer.h|#include \"powerhouse/tensor.h\""
  "kernels/cpu/a.cpp|#include \"powerhouse/error.h\""
  "kernels/cuda/a.cuh|#include \"kernels/reference/rope.h\""
  "kernels/cuda/a.cu|  asm volatile(\"bar.sync 0\")"
  "src/ops/a.cpp|#include \"kernels/cuda/rope.cuh\""
  "examples/a.cpp|#include \"model/decoder.h\"")
foreach(plant IN LISTS planted)
  string(REGEX REPLACE "\\|.*" "" file "${plant}")
  string(REGEX REPLACE "^[^|]*\\|" "" line "${plant}")
  file(REMOVE_RECURSE ${SCRATCH})
  file(WRITE ${SCRATCH}/${file} "${line}\n")
  check(${SCRATCH} caught ${plant})
endforeach()

# Each room by itself is right; all the same there are two classes of one name.
file(REMOVE_RECURSE ${SCRATCH})
file(WRITE ${SCRATCH}/src/text/a.h "namespace powerhouse {\nclass Decoder final {\n")
file(WRITE ${SCRATCH}/src/model/a.cpp "namespace powerhouse {\nnamespace {\nclass Decoder {\n}  // namespace\n")
check(${SCRATCH} clean)
file(APPEND ${SCRATCH}/src/model/a.cpp "struct Decoder {\n")
check(${SCRATCH} caught "two classes of one name")
file(REMOVE_RECURSE ${SCRATCH})
