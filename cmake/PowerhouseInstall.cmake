# install(): the library, its headers, the command line, and a CMake package that finds LibTorch again.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Powerhouse)

# The library finds LibTorch where it was built against it, and the command line finds the library beside itself: the
# prefix may move, LibTorch may not.
set_target_properties(powerhouse PROPERTIES INSTALL_RPATH "$ORIGIN;${LibTorch_RPATH}")

if(TARGET powerhouse_cuda)
  install(TARGETS powerhouse_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(TARGETS powerhouse EXPORT PowerhouseTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT PowerhouseTargets NAMESPACE Powerhouse:: DESTINATION ${package_dir})
get_target_property(POWERHOUSE_STATIC_DEPENDENCIES powerhouse POWERHOUSE_STATIC_DEPENDENCIES)
if(NOT POWERHOUSE_STATIC_DEPENDENCIES)
  set(POWERHOUSE_STATIC_DEPENDENCIES "")
endif()
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/PowerhouseConfig.cmake.in
  ${PROJECT_BINARY_DIR}/PowerhouseConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/PowerhouseConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/PowerhouseConfig.cmake ${PROJECT_BINARY_DIR}/PowerhouseConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/FindLibTorch.cmake DESTINATION ${package_dir})
if(TARGET powerhouse_cli)
  set_target_properties(powerhouse_cli PROPERTIES
    INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR};${LibTorch_RPATH}")
  install(TARGETS powerhouse_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
