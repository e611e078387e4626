# Installs the build tree, moves the prefix, and builds and runs an outside project against it without LD_LIBRARY_PATH.
# cmake -D BUILD=<build tree> -D SOURCE=<tests/install> -D SCRATCH=<folder> -D LIBTORCH=<root> -P install_test.cmake
cmake_minimum_required(VERSION 3.25)
set(ENV{LD_LIBRARY_PATH} "")
file(REMOVE_RECURSE ${SCRATCH})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/first COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
file(RENAME ${SCRATCH}/first ${SCRATCH}/moved)
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/find_package -B ${SCRATCH}/build -G Ninja
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=${SCRATCH}/moved -DCMAKE_CXX_FLAGS=${CXX_FLAGS} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${SCRATCH}/build COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${SCRATCH}/build/outside COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${SCRATCH}/moved/bin/powerhouse --version COMMAND_ERROR_IS_FATAL ANY)

# Another LibTorch is refused in one sentence, not at link time.
file(MAKE_DIRECTORY ${SCRATCH}/other/include/ATen/core ${SCRATCH}/other/include/torch/headeronly ${SCRATCH}/other/lib)
file(WRITE ${SCRATCH}/other/include/ATen/core/Tensor.h "")
file(WRITE ${SCRATCH}/other/include/torch/headeronly/version.h
  "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 1\n#define TORCH_VERSION_PATCH 0\n")
file(WRITE ${SCRATCH}/other/lib/libc10.so "")
file(WRITE ${SCRATCH}/other/lib/libtorch_cpu.so "")
execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/find_package -B ${SCRATCH}/refused -G Ninja
  -DCMAKE_PREFIX_PATH=${SCRATCH}/moved -DLibTorch_ROOT=${SCRATCH}/other
  RESULT_VARIABLE result ERROR_VARIABLE text OUTPUT_QUIET)
string(REGEX REPLACE "[ \n]+" " " text "${text}")
if(result EQUAL 0 OR NOT text MATCHES "was built against LibTorch")
  message(FATAL_ERROR "a wrong LibTorch was not refused clearly: ${text}")
endif()
file(REMOVE_RECURSE ${SCRATCH})
