# Installs the build tree, moves the prefix, and builds and runs an outside project against it without LD_LIBRARY_PATH.
# cmake -D BUILD=<build tree> -D SOURCE=<tests/install> -D SCRATCH=<folder> -D VERSION=<LibTorch's> -D COMPILER=<g++>
#       -D CXX_FLAGS=<flags> -P install_test.cmake
cmake_minimum_required(VERSION 3.25)
include(${SOURCE}/run.cmake)
file(REMOVE_RECURSE ${SCRATCH})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/first)
file(RENAME ${SCRATCH}/first ${SCRATCH}/moved)
outside(${SCRATCH}/moved ${SCRATCH}/build -DCMAKE_CXX_FLAGS=${CXX_FLAGS})
run(${SCRATCH}/moved/bin/powerhouse --version)

# What is installed names neither the source tree nor third parties.
file(GLOB_RECURSE installed ${SCRATCH}/moved/include/*.h ${SCRATCH}/moved/lib*/cmake/*.cmake)
get_filename_component(source_tree ${SOURCE}/../.. ABSOLUTE)
foreach(file IN LISTS installed)
  file(STRINGS ${file} lines REGEX "nlohmann|pcre2|utf8proc|CLI/|${source_tree}/(src|include)")
  if(lines)
    message(FATAL_ERROR "${file} is not for others: ${lines}")
  endif()
endforeach()

# Another LibTorch is refused in one sentence, not at link time; so is one with GCC 4's strings.
function(refused what version abi expected)
  file(REMOVE_RECURSE ${SCRATCH}/other ${SCRATCH}/refused)
  foreach(header IN ITEMS ATen/core/Tensor.h torch/headeronly/version.h)
    file(WRITE ${SCRATCH}/other/include/${header} "")
  endforeach()
  string(REGEX MATCH "([0-9]+)\\.([0-9]+)\\.([0-9]+)" version "${version}")
  file(WRITE ${SCRATCH}/other/include/torch/headeronly/version.h "#define TORCH_VERSION_MAJOR ${CMAKE_MATCH_1}\n"
    "#define TORCH_VERSION_MINOR ${CMAKE_MATCH_2}\n#define TORCH_VERSION_PATCH ${CMAKE_MATCH_3}\n")
  file(WRITE ${SCRATCH}/other/lib/libc10.so "_ZN3c105ErrorC1E${abi}")
  file(WRITE ${SCRATCH}/other/lib/libtorch_cpu.so "")
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE}/find_package -B ${SCRATCH}/refused -G Ninja
    -DCMAKE_PREFIX_PATH=${SCRATCH}/moved -DLibTorch_ROOT=${SCRATCH}/other
    RESULT_VARIABLE result ERROR_VARIABLE text OUTPUT_QUIET)
  string(REGEX REPLACE "[ \n]+" " " text "${text}")
  if(result EQUAL 0 OR NOT text MATCHES "${expected}")
    message(FATAL_ERROR "${what} was not refused clearly: ${text}")
  endif()
endfunction()
refused("another LibTorch" 2.10.0 "St7__cxx1112" "was built against LibTorch [0-9.]+ \\(found: version 2.10.0 in ")
refused("an old LibTorch" 2.1.0 "St7__cxx1112" "was built against LibTorch")
refused("the old ABI" ${VERSION} "Ss" "old C\\+\\+ ABI")
file(REMOVE_RECURSE ${SCRATCH})
