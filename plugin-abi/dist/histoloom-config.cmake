# find_package(histoloom) gives the target histoloom::histoloom, for C and (with histoloom.hpp) C++17, and the folder
# histoloom_MODELS_DIR, which the library also finds by itself. Relocatable: everything is found from where this file lies.
get_filename_component(_histoloom_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET histoloom::histoloom)
  add_library(histoloom::histoloom SHARED IMPORTED)
  set_target_properties(histoloom::histoloom PROPERTIES
    IMPORTED_LOCATION "${_histoloom_prefix}/lib/libhistoloom.so"
    IMPORTED_SONAME "libhistoloom.so"
    INTERFACE_INCLUDE_DIRECTORIES "${_histoloom_prefix}/include")
endif()
set(histoloom_MODELS_DIR "${_histoloom_prefix}/share/histoloom/models")
unset(_histoloom_prefix)
