# The program text in a document is that of a file that is built: cmake -D DOCUMENT=... -D SOURCE=... -P docs_code.cmake
cmake_minimum_required(VERSION 3.25)
file(READ ${SOURCE} source)
file(READ ${DOCUMENT} document)
string(FIND "${document}" "```cpp\n${source}```" place)
if(place EQUAL -1)
  message(FATAL_ERROR "${DOCUMENT} does not show ${SOURCE} as it is")
endif()
