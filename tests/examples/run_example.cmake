# Runs an example on the real model and looks for what it must print.
cmake_minimum_required(VERSION 3.25)
if("$ENV{POWERHOUSE_TEST_MODEL}" STREQUAL "")
  message(STATUS "SKIPPED: POWERHOUSE_TEST_MODEL names no model")
  return()
endif()
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/example_input.txt "What is the capital of France?\n")
set(rows "")
set(pairs "")
foreach(number RANGE 1 20)
  math(EXPR sum "${number} + ${number}")
  string(APPEND rows "{\"prompt\": \"What is ${number} plus ${number}?\", \"completion\": \"${sum}\"}\n")
  string(APPEND pairs "{\"prompt\": \"What is ${number} plus ${number}?\", \"chosen\": \" ${sum}\", \"rejected\": \" blue\"}\n")
endforeach()
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/questions.jsonl "${rows}")
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/pairs.jsonl "${pairs}")
list(REMOVE_AT ARGUMENTS 0) # what is expected
execute_process(COMMAND ${PROGRAM} $ENV{POWERHOUSE_TEST_MODEL} ${ARGUMENTS}
  WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR} INPUT_FILE ${CMAKE_CURRENT_BINARY_DIR}/example_input.txt
  OUTPUT_VARIABLE output RESULT_VARIABLE result ERROR_VARIABLE errors)
message("${output}${errors}")
if(NOT result EQUAL 0 OR NOT output MATCHES "${EXPECTED}")
  message(FATAL_ERROR "exit ${result}; expected to find: ${EXPECTED}")
endif()
