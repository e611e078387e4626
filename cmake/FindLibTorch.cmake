# Finds LibTorch and makes LibTorch::cpu (c10 and torch_cpu), and LibTorch::cuda where it has CUDA (c10_cuda and
# torch_cuda beside them). Powerhouse links the first alone and opens the other at run time.
#
# The wheel's own TorchConfig.cmake refuses to configure without a CUDA toolkit, so the imported targets are made here.
# Looked at, in this order: LibTorch_ROOT (a folder with include/ and lib/: a LibTorch archive or a wheel's torch/),
# the path of the build that made an installed package, then the `torch` of a Python on the PATH.

set(_libtorch_candidates "")
foreach(_root IN ITEMS "${LibTorch_ROOT}" "$ENV{LibTorch_ROOT}")
  if(_root)
    list(APPEND _libtorch_candidates "${_root}" "${_root}/torch")
  endif()
endforeach()
if(PROJECT_NAME STREQUAL "Powerhouse" AND PROJECT_SOURCE_DIR)
  list(APPEND _libtorch_candidates "${PROJECT_SOURCE_DIR}/build/libtorch/torch")
endif()
if(POWERHOUSE_BUILD_LIBTORCH)
  list(APPEND _libtorch_candidates "${POWERHOUSE_BUILD_LIBTORCH}")
endif()

# A build tree remembers what it found: a LibTorch_ROOT given since then counts more.
if(LibTorch_ROOT AND LibTorch_INCLUDE_DIR)
  cmake_path(IS_PREFIX LibTorch_ROOT "${LibTorch_INCLUDE_DIR}" NORMALIZE _libtorch_same)
  if(NOT _libtorch_same)
    unset(LibTorch_INCLUDE_DIR CACHE)
    unset(LibTorch_c10_LIBRARY CACHE)
    unset(LibTorch_torch_cpu_LIBRARY CACHE)
  endif()
endif()
find_path(LibTorch_INCLUDE_DIR ATen/core/Tensor.h PATHS ${_libtorch_candidates} PATH_SUFFIXES include NO_DEFAULT_PATH)
if(NOT LibTorch_INCLUDE_DIR)
  find_program(LibTorch_PYTHON NAMES python3 python)
  if(LibTorch_PYTHON)
    execute_process(
      COMMAND "${LibTorch_PYTHON}" -c
        "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
      OUTPUT_VARIABLE _libtorch_python_root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(_libtorch_python_root)
      list(APPEND _libtorch_candidates "${_libtorch_python_root}")
      find_path(LibTorch_INCLUDE_DIR ATen/core/Tensor.h PATHS "${_libtorch_python_root}" PATH_SUFFIXES include
        NO_DEFAULT_PATH)
    endif()
  endif()
endif()

if(LibTorch_INCLUDE_DIR)
  get_filename_component(LibTorch_PREFIX "${LibTorch_INCLUDE_DIR}" DIRECTORY)
  foreach(_name IN ITEMS c10 torch_cpu)
    find_library(LibTorch_${_name}_LIBRARY ${_name} PATHS "${LibTorch_PREFIX}/lib" NO_DEFAULT_PATH)
  endforeach()
  # torch/headeronly/version.h carries the version since 2.9, torch/csrc/api/include/torch/version.h before.
  foreach(_header IN ITEMS torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(NOT LibTorch_VERSION AND EXISTS "${LibTorch_INCLUDE_DIR}/${_header}")
      set(_libtorch_parts "")
      foreach(_part IN ITEMS MAJOR MINOR PATCH)
        file(STRINGS "${LibTorch_INCLUDE_DIR}/${_header}" _line REGEX "define TORCH_VERSION_${_part} +[0-9]+")
        string(REGEX MATCH "[0-9]+$" _number "${_line}")
        list(APPEND _libtorch_parts "${_number}")
      endforeach()
      string(REPLACE ";" "." LibTorch_VERSION "${_libtorch_parts}")
    endif()
  endforeach()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_INCLUDE_DIR LibTorch_c10_LIBRARY LibTorch_torch_cpu_LIBRARY
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "Set LibTorch_ROOT to a LibTorch folder, or run scripts/setup.sh.")

# What would otherwise be a page of undefined references: a version whose headers lack what we use, or the string of
# GCC 4 in every signature (the C++11 one is the only one since 2.7).
if(LibTorch_FOUND)
  file(STRINGS "${LibTorch_c10_LIBRARY}" _libtorch_abi REGEX "__cxx11" LIMIT_COUNT 1)
  if(LibTorch_VERSION VERSION_LESS 2.7)
    set(_libtorch_fault "is version ${LibTorch_VERSION}; Powerhouse needs 2.7 or newer")
  elseif(NOT _libtorch_abi)
    set(_libtorch_fault "was built with the old C++ ABI (_GLIBCXX_USE_CXX11_ABI=0); Powerhouse needs the C++11 ABI")
  endif()
  if(_libtorch_fault)
    set(LibTorch_FOUND FALSE)
    set(LibTorch_NOT_FOUND_MESSAGE "The LibTorch in ${LibTorch_PREFIX} ${_libtorch_fault}.")
    if(LibTorch_FIND_REQUIRED)
      message(FATAL_ERROR "${LibTorch_NOT_FOUND_MESSAGE}")
    endif()
  endif()
endif()

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  # The wheel's libtorch_cpu.so needs libcudart and libcupti even without a GPU; they lie in the neighbour
  # nvidia/cu13/lib of site-packages.
  set(_libtorch_rpath "${LibTorch_PREFIX}/lib")
  get_filename_component(_libtorch_site "${LibTorch_PREFIX}" DIRECTORY)
  if(EXISTS "${_libtorch_site}/nvidia/cu13/lib")
    list(APPEND _libtorch_rpath "${_libtorch_site}/nvidia/cu13/lib")
  endif()
  add_library(LibTorch::c10 SHARED IMPORTED GLOBAL)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION "${LibTorch_c10_LIBRARY}")
  add_library(LibTorch::torch_cpu SHARED IMPORTED GLOBAL)
  set_target_properties(LibTorch::torch_cpu PROPERTIES IMPORTED_LOCATION "${LibTorch_torch_cpu_LIBRARY}")
  set(_libtorch_link_directories ${_libtorch_rpath})
  list(TRANSFORM _libtorch_link_directories PREPEND "-Wl,-rpath-link,")
  add_library(LibTorch::cpu INTERFACE IMPORTED GLOBAL)
  set_target_properties(LibTorch::cpu PROPERTIES
    INTERFACE_LINK_LIBRARIES "LibTorch::torch_cpu;LibTorch::c10"
    INTERFACE_LINK_OPTIONS "${_libtorch_link_directories}"
    INTERFACE_INCLUDE_DIRECTORIES
      "${LibTorch_INCLUDE_DIR};${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  set(LibTorch_RPATH "${_libtorch_rpath}")
  if(EXISTS "${LibTorch_PREFIX}/lib/libtorch_cuda.so" AND EXISTS "${LibTorch_PREFIX}/lib/libc10_cuda.so")
    foreach(_name IN ITEMS c10_cuda torch_cuda)
      add_library(LibTorch::${_name} SHARED IMPORTED GLOBAL)
      set_target_properties(LibTorch::${_name} PROPERTIES IMPORTED_LOCATION "${LibTorch_PREFIX}/lib/lib${_name}.so")
    endforeach()
    file(GLOB _libtorch_nvidia "${_libtorch_site}/nvidia/*/lib")
    list(TRANSFORM _libtorch_nvidia PREPEND "-Wl,-rpath-link,")
    # Programs name no symbol of torch_cuda, which registers itself: the linker must keep it all the same.
    add_library(LibTorch::cuda INTERFACE IMPORTED GLOBAL)
    set_target_properties(LibTorch::cuda PROPERTIES
      INTERFACE_LINK_LIBRARIES "LibTorch::cpu;LibTorch::c10_cuda;-Wl,--push-state,--no-as-needed;LibTorch::torch_cuda;-Wl,--pop-state"
      INTERFACE_LINK_OPTIONS "${_libtorch_nvidia}")
  endif()
endif()
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_c10_LIBRARY LibTorch_torch_cpu_LIBRARY LibTorch_PYTHON)
