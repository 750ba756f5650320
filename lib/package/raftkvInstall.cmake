# cmake --install: library, public headers, CMake package, pkg-config file and program.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/raftkv)

install(TARGETS raftkv EXPORT raftkvTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/lib/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
install(EXPORT raftkvTargets NAMESPACE raftkv:: DESTINATION ${package_dir})
if(TARGET raftkv_program)
  install(TARGETS raftkv_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

write_basic_package_version_file(${PROJECT_BINARY_DIR}/raftkvConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
configure_file(${PROJECT_SOURCE_DIR}/lib/package/raftkvConfig.cmake.in
  ${PROJECT_BINARY_DIR}/raftkvConfig.cmake @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/raftkvConfigVersion.cmake
  ${PROJECT_BINARY_DIR}/raftkvConfig.cmake
  ${PROJECT_SOURCE_DIR}/third_party/raftkvDependencies.cmake DESTINATION ${package_dir})

file(RELATIVE_PATH prefix_from_pkgconfig /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
set(raftkv_pc_etcd)
if(RAFTKV_ETCD)
  set(raftkv_pc_etcd " libnghttp2")
endif()
configure_file(${PROJECT_SOURCE_DIR}/lib/package/raftkv.pc.in ${PROJECT_BINARY_DIR}/raftkv.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/raftkv.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
