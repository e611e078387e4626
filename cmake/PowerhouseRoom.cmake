# One object library a room. A torch-free room never sees LibTorch's include path, so that it cannot use it.

add_library(powerhouse_options INTERFACE)
target_compile_features(powerhouse_options INTERFACE cxx_std_20)
target_include_directories(powerhouse_options INTERFACE
  ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
target_compile_options(powerhouse_options INTERFACE -Wall -Wextra -Wpedantic -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 sees overlapping or endless copies in every "a" + std::string (GCC bug 105651).
  target_compile_options(powerhouse_options INTERFACE -Wno-restrict -Wno-stringop-overflow)
endif()
if(POWERHOUSE_WERROR)
  target_compile_options(powerhouse_options INTERFACE -Werror)
endif()
if(POWERHOUSE_SANITIZE)
  # The whole tree: a program that loads a sanitized library has to bring the sanitizer's runtime.
  add_compile_options(-fsanitize=${POWERHOUSE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${POWERHOUSE_SANITIZE})
endif()

if(POWERHOUSE_BUILD_FUZZERS)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "The fuzzers need clang: cmake --preset fuzz.")
  endif()
  # The rooms tell the fuzzer which of their branches an input took.
  target_compile_options(powerhouse_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# powerhouse_precompile(<name> [TORCH] HEADER <file> FLAGS <-fPIC or -fPIE ...> [LINK <target>...]): one precompiled
# header for many targets, each of which says target_precompile_headers(<target> REUSE_FROM <name>) and has to be compiled
# with the same flags.
function(powerhouse_precompile name)
  cmake_parse_arguments(PCH "TORCH" "HEADER" "FLAGS;LINK" ${ARGN})
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/${name}.cpp CONTENT "")
  add_library(${name} OBJECT ${PROJECT_BINARY_DIR}/${name}.cpp)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${name} PRIVATE ${PCH_FLAGS})
  target_link_libraries(${name} PRIVATE powerhouse_options ${PCH_LINK})
  if(PCH_TORCH)
    target_compile_definitions(${name} PRIVATE AT_PER_OPERATOR_HEADERS TORCH_ASSERT_ONLY_METHOD_OPERATORS)
    target_link_libraries(${name} PRIVATE LibTorch::cpu)
  endif()
  target_precompile_headers(${name} PRIVATE ${PROJECT_SOURCE_DIR}/${PCH_HEADER})
endfunction()

# powerhouse_room(<name> [TORCH] SOURCES <file>... [LINK <target>...])
function(powerhouse_room name)
  cmake_parse_arguments(ROOM "TORCH" "" "SOURCES;LINK" ${ARGN})
  add_library(powerhouse_${name} OBJECT ${ROOM_SOURCES})
  target_link_libraries(powerhouse_${name} PUBLIC powerhouse_options ${ROOM_LINK})
  if(ROOM_TORCH)
    # Per-operator headers, and an error for anyone who includes all of ATen: 5 s a file instead of 12.
    target_compile_definitions(powerhouse_${name} PRIVATE AT_PER_OPERATOR_HEADERS TORCH_ASSERT_ONLY_METHOD_OPERATORS)
    target_link_libraries(powerhouse_${name} PUBLIC LibTorch::cpu)
    target_precompile_headers(powerhouse_${name} REUSE_FROM powerhouse_pch)
  elseif(NOT name MATCHES "^(kernels|support$)")  # which have flags of their own
    target_precompile_headers(powerhouse_${name} REUSE_FROM powerhouse_standard_pch)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
      target_compile_options(powerhouse_${name} PRIVATE -Wno-array-bounds -Wno-stringop-overread)  # that bug again
    endif()
  endif()
  set_property(GLOBAL APPEND PROPERTY POWERHOUSE_ROOMS powerhouse_${name})
endfunction()

# What tests are compiled with: more optimization would take longer than it saves.
set(POWERHOUSE_TEST_FLAGS $<$<CONFIG:Release>:-O1>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND POWERHOUSE_TEST_FLAGS -Wno-array-bounds)  # that bug once more
endif()

# powerhouse_test(<name> SOURCES <file>... LINK <target>... [LABELS <label>...] [PROCESSES <n>]): one binary, one CTest per
# test case; or n that share its cases (PROCESSES), where many short ones would spend their time loading LibTorch.
function(powerhouse_test name)
  cmake_parse_arguments(TEST "TORCH" "PROCESSES" "SOURCES;LINK;LABELS" ${ARGN})
  if(TEST_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "powerhouse_test(${name}) does not know: ${TEST_UNPARSED_ARGUMENTS}")
  endif()
  add_executable(${name} ${TEST_SOURCES})
  target_link_libraries(${name} PRIVATE ${TEST_LINK} GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_options(${name} PRIVATE ${POWERHOUSE_TEST_FLAGS})
  target_compile_definitions(${name} PRIVATE
    POWERHOUSE_FIXTURES="${PROJECT_SOURCE_DIR}/tests/fixtures" POWERHOUSE_BINARY_DIR="${PROJECT_BINARY_DIR}")
  if(TEST_TORCH)
    target_compile_definitions(${name} PRIVATE AT_PER_OPERATOR_HEADERS TORCH_ASSERT_ONLY_METHOD_OPERATORS)
    target_precompile_headers(${name} REUSE_FROM powerhouse_torch_test_pch)
  else()
    target_precompile_headers(${name} REUSE_FROM powerhouse_test_pch)
  endif()
  if(NOT TEST_LABELS)
    set(TEST_LABELS fast)
  endif()
  if(TEST_PROCESSES)
    foreach(process RANGE 1 ${TEST_PROCESSES})
      math(EXPR index "${process} - 1")
      add_test(NAME ${name}_${process} COMMAND ${name} --gtest_brief=1)
      set_tests_properties(${name}_${process} PROPERTIES LABELS "${TEST_LABELS}" TIMEOUT 600
        ENVIRONMENT "GTEST_TOTAL_SHARDS=${TEST_PROCESSES};GTEST_SHARD_INDEX=${index}")
    endforeach()
    return()
  endif()
  include(GoogleTest)
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES LABELS "${TEST_LABELS}" TIMEOUT 300)
endfunction()
