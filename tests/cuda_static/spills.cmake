# Compiles a file of CUDA kernels and holds every kernel of it to no stack and no spilled register:
# cmake -D NVCC=<nvcc> -D ROOT=<repository> -D SOURCE=<file> -D ARCH=80 -D OUT=<cubin> -P spills.cmake
set(family ${ARCH})  # of whose PTX the library makes the architecture's code (kernels/cuda/CMakeLists.txt)
if(ARCH EQUAL 89 OR (ARCH EQUAL 90 AND NOT SOURCE MATCHES "few_rows|early"))
  set(family 80)
elseif(ARCH EQUAL 120)
  set(family 100)
endif()
execute_process(
  COMMAND ${NVCC} -std=c++20 -O3 -gencode=arch=compute_${family},code=sm_${ARCH} -I${ROOT} -Xptxas -v -cubin
    -o ${OUT} ${ROOT}/${SOURCE}
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${output}")
endif()
string(REGEX MATCHALL "Compiling entry function" kernels "${output}")
list(LENGTH kernels count)
if(count EQUAL 0)
  message(FATAL_ERROR "${SOURCE} holds no kernel:\n${output}")
endif()
string(REGEX MATCH "[ \n][1-9][0-9]* bytes (stack frame|spill stores|spill loads)" found "${output}")
if(found)
  message(FATAL_ERROR "${SOURCE} for sm_${ARCH} spills:\n${output}")
endif()
message(STATUS "${SOURCE} for sm_${ARCH}: ${count} kernels, no stack, no spilled register")
