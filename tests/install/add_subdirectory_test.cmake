# An outside project that takes the sources in, as a static library; then that library installed and found by another.
# Objects that BUILD, the tree the tests were built in, has made by the same commands are not made again: what a guest
# compiles otherwise, it compiles.
# cmake -D POWERHOUSE=<repository> -D SOURCE=<tests/install> -D SCRATCH=<folder> -D LIBTORCH=<root> -D COMPILER=<g++>
#       -D BUILD=<build tree> -D BUILD_TYPE=<its> -D UNITY=<its> -D BATCH=<files> -P add_subdirectory_test.cmake
cmake_minimum_required(VERSION 3.25)
include(${SOURCE}/run.cmake)
file(REMOVE_RECURSE ${SCRATCH})
file(STRINGS ${BUILD}/compile_commands.json commands REGEX "^ *\"command\": ")
list(TRANSFORM commands REPLACE "^ *\"command\": \"(.*)\",$" "\\1")
list(TRANSFORM commands REPLACE "${BUILD}" "@")
list(JOIN commands "\n" commands)
file(WRITE ${SCRATCH}/commands "${commands}\n")
set(ENV{REUSE_COMMANDS} ${SCRATCH}/commands)
set(ENV{REUSE_HOST} ${BUILD})
set(ENV{REUSE_GUEST} ${SCRATCH}/build/powerhouse)
set(ENV{REUSE_LOG} ${SCRATCH}/reused)
set(unity "")
if(UNITY)
  set(unity -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=${BATCH})
endif()
run(${CMAKE_COMMAND} -S ${SOURCE}/add_subdirectory -B ${SCRATCH}/build -G Ninja -DCMAKE_BUILD_TYPE=${BUILD_TYPE}
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_COMPILER_LAUNCHER=${SOURCE}/reuse_object.sh
  -DPOWERHOUSE_SOURCE=${POWERHOUSE} -DLibTorch_ROOT=${LIBTORCH} -DBUILD_SHARED_LIBS=OFF -DPOWERHOUSE_INSTALL=ON
  ${unity})
run(${CMAKE_COMMAND} --build ${SCRATCH}/build)
run(${SCRATCH}/build/outside)

# A guest brings the library alone: no tests, no examples, none of its settings in the host.
foreach(unwanted IN ITEMS powerhouse/tests powerhouse/examples bin)
  if(EXISTS ${SCRATCH}/build/${unwanted})
    message(FATAL_ERROR "a subproject made ${unwanted}")
  endif()
endforeach()

run(${CMAKE_COMMAND} --install ${SCRATCH}/build --prefix ${SCRATCH}/prefix)
outside(${SCRATCH}/prefix ${SCRATCH}/found)
file(REMOVE_RECURSE ${SCRATCH})
