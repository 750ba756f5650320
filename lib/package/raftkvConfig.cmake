# find_package(raftkv) gives raftkv::raftkv.
include(${CMAKE_CURRENT_LIST_DIR}/raftkvDependencies.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/raftkvTargets.cmake)
