# What the install tests share.
set(ENV{LD_LIBRARY_PATH} "")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "${command}\n${output}")
  endif()
  message("${output}")
endfunction()

# Builds and runs the outside project that finds Powerhouse in a prefix.
function(outside prefix build)
  run(${CMAKE_COMMAND} -S ${SOURCE}/find_package -B ${build} -G Ninja -DCMAKE_BUILD_TYPE=Release
    -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_PREFIX_PATH=${prefix} ${ARGN})
  run(${CMAKE_COMMAND} --build ${build})
  run(${build}/outside)
endfunction()
