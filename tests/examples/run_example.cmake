# Runs an example on the real model and looks for what it must print.
cmake_minimum_required(VERSION 3.25)
if("$ENV{POWERHOUSE_TEST_MODEL}" STREQUAL "")
  message(STATUS "SKIPPED: POWERHOUSE_TEST_MODEL names no model")
  return()
endif()
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/example_input.txt "What is the capital of France?\n")
execute_process(COMMAND ${PROGRAM} $ENV{POWERHOUSE_TEST_MODEL} INPUT_FILE ${CMAKE_CURRENT_BINARY_DIR}/example_input.txt
  OUTPUT_VARIABLE output RESULT_VARIABLE result ERROR_VARIABLE errors)
message("${output}${errors}")
if(NOT result EQUAL 0 OR NOT output MATCHES "${EXPECTED}")
  message(FATAL_ERROR "exit ${result}; expected to find: ${EXPECTED}")
endif()
