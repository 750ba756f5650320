#!/bin/bash
# Installs BUILD_DIR to a temporary prefix, builds tests/embed against it the way a stranger would
# (find_package, then pkg-config), and runs it. usage: run.sh BUILD_DIR
set -euo pipefail
source_dir=$(dirname "$(readlink -f "$0")")
build_dir=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

from_cache() { sed -n "s/^$1:[A-Z]*=//p" "$build_dir/CMakeCache.txt"; }
compiler=$(from_cache CMAKE_CXX_COMPILER)
sanitize=$(from_cache RAFTKV_SANITIZE)
flags=${sanitize:+-fsanitize=$sanitize}

cmake --install "$build_dir" --prefix "$work/prefix" >"$work/log"
cmake -S "$source_dir" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS="$flags" >>"$work/log"
cmake --build "$work/build"
"$work/build/embed" "$work/data"

pc=$(find "$work/prefix" -name raftkv.pc -printf '%h')
PKG_CONFIG_PATH=$pc pkg-config --exists --print-errors raftkv
"$compiler" $flags "$source_dir/main.cc" $(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs raftkv) \
  -o "$work/embed_by_pkg_config"
"$work/embed_by_pkg_config" "$work/data_by_pkg_config"
test -x "$work/prefix/bin/raftkv"
echo "embed: ok"
