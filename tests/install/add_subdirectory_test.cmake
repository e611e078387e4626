# An outside project that takes the sources in, as a static library; then that library installed and found by another.
# cmake -D POWERHOUSE=<repository> -D SOURCE=<tests/install> -D SCRATCH=<folder> -D LIBTORCH=<root> -D COMPILER=<g++>
#       -D LAUNCHER=<ccache or nothing> -P add_subdirectory_test.cmake
cmake_minimum_required(VERSION 3.25)
include(${SOURCE}/run.cmake)
run(${CMAKE_COMMAND} -S ${SOURCE}/add_subdirectory -B ${SCRATCH}/build -G Ninja -DCMAKE_BUILD_TYPE=Release
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -DPOWERHOUSE_SOURCE=${POWERHOUSE}
  -DLibTorch_ROOT=${LIBTORCH} -DBUILD_SHARED_LIBS=OFF -DPOWERHOUSE_INSTALL=ON)
run(${CMAKE_COMMAND} --build ${SCRATCH}/build)
run(${SCRATCH}/build/outside)

# A guest brings the library alone: no tests, no examples, none of its settings in the host.
foreach(unwanted IN ITEMS powerhouse/tests powerhouse/examples bin)
  if(EXISTS ${SCRATCH}/build/${unwanted})
    message(FATAL_ERROR "a subproject made ${unwanted}")
  endif()
endforeach()

file(REMOVE_RECURSE ${SCRATCH}/prefix ${SCRATCH}/found)
run(${CMAKE_COMMAND} --install ${SCRATCH}/build --prefix ${SCRATCH}/prefix)
outside(${SCRATCH}/prefix ${SCRATCH}/found)
