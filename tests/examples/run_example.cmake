# Runs an example on the real model, in a folder of its own, and looks for what it must print.
cmake_minimum_required(VERSION 3.25)
if("$ENV{POWERHOUSE_TEST_MODEL}" STREQUAL "")
  message(STATUS "SKIPPED: POWERHOUSE_TEST_MODEL names no model")
  return()
endif()
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH})
file(WRITE ${SCRATCH}/example_input.txt "What is the capital of France?\n")
set(rows "")
foreach(number RANGE 1 20)
  math(EXPR sum "${number} + ${number}")
  string(APPEND rows "{\"prompt\": \"What is ${number} plus ${number}?\", \"completion\": \"${sum}\"}\n")
endforeach()
file(WRITE ${SCRATCH}/questions.jsonl "${rows}")
list(REMOVE_AT ARGUMENTS 0) # what is expected
execute_process(COMMAND ${PROGRAM} $ENV{POWERHOUSE_TEST_MODEL} ${ARGUMENTS}
  WORKING_DIRECTORY ${SCRATCH} INPUT_FILE ${SCRATCH}/example_input.txt
  OUTPUT_VARIABLE output RESULT_VARIABLE result ERROR_VARIABLE errors)
message("${output}${errors}")
if(NOT result EQUAL 0 OR NOT output MATCHES "${EXPECTED}")
  message(FATAL_ERROR "exit ${result}; expected to find: ${EXPECTED}")
endif()
