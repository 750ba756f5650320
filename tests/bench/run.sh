#!/bin/bash
# Measures raftkv against its goals and prints a table. Nothing fails by a figure: a busy machine is no bug.
# usage: run.sh BUILD_DIR [throughput|latency|reads|failover|encryption|backup [MIB]|log|memory|range_delete [KEYS]|soak [SECONDS]]...   (all but soak)
exec python3 -B "$(dirname "$(readlink -f "$0")")/measure.py" "$@"
