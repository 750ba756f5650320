# How every target is compiled, and the two functions that make a layer out of a folder.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
# NDEBUG stays undefined: Debian's RocksDB is built without it, and its headers look at it.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release or Debug" FORCE)
endif()

# Only time is saved by these two: a build without them is the same build.
find_program(RAFTKV_CCACHE ccache)
if(RAFTKV_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The sloppiness is what ccache's manual asks for with precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    ${RAFTKV_CCACHE})
endif()
find_program(RAFTKV_LLD ld.lld)
if(RAFTKV_LLD)
  add_link_options(-fuse-ld=lld)
endif()

# raftkv_options: warnings, sanitizer and include folders of our own code.
add_library(raftkv_options INTERFACE)
target_compile_options(raftkv_options INTERFACE -Wall -Wextra -Wpedantic -Werror)
# A failed check names its file as the repository does.
target_compile_options(raftkv_options INTERFACE -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)
target_include_directories(raftkv_options INTERFACE
  ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/lib/include)
# Generated code is not ours to mend: its headers raise no warning.
target_include_directories(raftkv_options SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/gen)
target_link_libraries(raftkv_options INTERFACE ${RAFTKV_LINK_LIBRARIES})
if(RAFTKV_SANITIZE)
  set(sanitize_flags -fsanitize=${RAFTKV_SANITIZE} -fno-omit-frame-pointer)
  if(RAFTKV_SANITIZE STREQUAL "undefined")
    # vptr needs type information of classes inside libraries that have none.
    list(APPEND sanitize_flags -fno-sanitize-recover=all -fno-sanitize=vptr)
  endif()
  target_compile_options(raftkv_options INTERFACE ${sanitize_flags})
  target_link_options(raftkv_options INTERFACE ${sanitize_flags})
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of g++ 12 at -O2: the first two inside its own standard library (GCC bugs 105329,
  # 105562), the third at every continuation of a KJ promise. clang builds with all of them.
  target_compile_options(raftkv_options INTERFACE
    -Wno-restrict -Wno-maybe-uninitialized -Wno-array-bounds)
  if(RAFTKV_SANITIZE STREQUAL "thread")
    target_compile_options(raftkv_options INTERFACE -Wno-tsan)  # atomic_thread_fence in KJ
  endif()
elseif(RAFTKV_PCH)
  # ccache can reuse a file only if clang does not write the header's time into it.
  target_compile_options(raftkv_options INTERFACE
    "SHELL:-Xclang -fno-pch-timestamp" -Wno-unused-command-line-argument)
endif()

configure_file(${PROJECT_SOURCE_DIR}/cmake/build_version.h.in
  ${PROJECT_BINARY_DIR}/gen/lib/base/build_version.h)
file(WRITE ${PROJECT_BINARY_DIR}/gen/empty.cc.in "// A folder without sources yet.\n")
configure_file(${PROJECT_BINARY_DIR}/gen/empty.cc.in ${PROJECT_BINARY_DIR}/gen/empty.cc COPYONLY)

# All generated headers exist before anything that may include one is compiled.
add_custom_target(raftkv_schemas)
file(GLOB_RECURSE RAFTKV_SCHEMAS CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/lib/*.capnp ${PROJECT_SOURCE_DIR}/storage/*.capnp
  ${PROJECT_SOURCE_DIR}/rpc/*.capnp)
set(CAPNPC_SRC_PREFIX ${PROJECT_SOURCE_DIR})
set(CAPNPC_OUTPUT_DIR ${PROJECT_BINARY_DIR}/gen)

# raftkv_add_layer(NAME PATTERN...): object library raftkv_NAME of all *.cc and *.capnp that match
# the patterns (without the ending) below the current folder.
function(raftkv_add_layer name)
  set(sources)
  set(schemas)
  foreach(pattern ${ARGN})
    file(GLOB_RECURSE found_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${pattern}.cc)
    file(GLOB_RECURSE found_schemas CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${pattern}.capnp)
    list(APPEND sources ${found_sources})
    list(APPEND schemas ${found_schemas})
  endforeach()
  set(generated_sources)
  if(schemas)
    capnp_generate_cpp(generated_sources generated_headers ${schemas})
    foreach(generated ${generated_sources})
      # One schema may import another.
      add_custom_command(OUTPUT ${generated} APPEND DEPENDS ${RAFTKV_SCHEMAS})
    endforeach()
    set_source_files_properties(${generated_sources} PROPERTIES
      COMPILE_OPTIONS -w SKIP_PRECOMPILE_HEADERS ON)
    add_custom_target(raftkv_${name}_schemas DEPENDS ${generated_sources} ${generated_headers})
    add_dependencies(raftkv_schemas raftkv_${name}_schemas)
  endif()
  if(NOT sources AND NOT generated_sources)
    set(sources ${PROJECT_BINARY_DIR}/gen/empty.cc)
  endif()
  add_library(raftkv_${name} OBJECT ${sources} ${generated_sources})
  target_link_libraries(raftkv_${name} PUBLIC raftkv_options)
  add_dependencies(raftkv_${name} raftkv_schemas)
endfunction()

# raftkv_precompile(TARGET HEADER...): only in folders where a heavy header is in nearly every file.
function(raftkv_precompile target)
  if(RAFTKV_PCH)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()
