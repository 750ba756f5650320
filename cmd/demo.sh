#!/bin/bash
# Shows raftkv at work: three real processes, a write, a killed leader, and the value is still there.
# usage: demo.sh PROGRAM. On a terminal it then stays until Ctrl-C; otherwise it cleans up and exits.
set -euo pipefail
program=$(readlink -f "${1:?usage: demo.sh PROGRAM}")
folder=$(mktemp -d "${TMPDIR:-/tmp}/raftkv-demo-XXXXXX")
declare -A pid address http

finish() {
  local status=$? name
  trap - EXIT INT TERM
  for name in "${!pid[@]}"; do kill "${pid[$name]}" 2>/dev/null || true; done
  for name in "${!pid[@]}"; do wait "${pid[$name]}" 2>/dev/null || true; done
  rm -rf "$folder"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "demo: $1" >&2
  local name
  for name in n1 n2 n3; do
    [[ ! -f $folder/$name.log ]] || { echo "--- end of $name's log"; tail -n 5 "$folder/$name.log"; } >&2
  done
  exit 1
}

step() { printf '\n%s\n' "$*"; }
# Shows the command as one would type it, and runs it.
raftkv() {
  printf '  $ raftkv %s\n' "$*"
  "$program" "$@" --timeout 15s | sed 's/^/    /'
}

port_in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Three ports for peers and clients and three for HTTP, as in the documentation if they are free.
choose_ports() {
  local base name i
  for base in 7000 7100 7200 7300 7400 17000 17100 17200; do
    i=0
    for name in n1 n2 n3; do
      i=$((i + 1))
      if port_in_use $((base + i)) || port_in_use $((base + 1000 + i)); then continue 2; fi
      address[$name]=127.0.0.1:$((base + i))
      http[$name]=127.0.0.1:$((base + 1000 + i))
    done
    return
  done
  fail "no free ports"
}

start() {
  "$program" serve --name "$1" --data-dir "$folder/$1" --listen "${address[$1]}" \
    --cluster "$cluster" --http "${http[$1]}" >"$folder/$1.out" 2>"$folder/$1.log" &
  pid[$1]=$!
}

wait_ready() {
  local deadline=$((SECONDS + 20))
  until grep -q '^ready ' "$folder/$1.out"; do
    kill -0 "${pid[$1]}" 2>/dev/null || fail "$1 ended at once"
    ((SECONDS < deadline)) || fail "$1 does not get ready"
    sleep 0.05
  done
  echo "  $(cat "$folder/$1.out")   (pid ${pid[$1]})"
}

# The name of the leader as a living member knows it; empty if it knows none.
ask_leader() {
  "$program" endpoint status --endpoints "$1" --timeout 1s -w json 2>/dev/null |
    sed -n 's/.*"leader":"\([^"]*\)".*/\1/p'
}
# Sets `leader`, once the member at address $1 knows one that is not $2.
wait_leader() {
  local deadline=$((SECONDS + 20))
  while true; do
    leader=$(ask_leader "$1" || true)
    [[ -z $leader || $leader == "$2" ]] || return 0
    ((SECONDS < deadline)) || fail "no leader"
    sleep 0.05
  done
}

choose_ports
cluster="n1=${address[n1]},n2=${address[n2]},n3=${address[n3]}"
step "Three members of one cluster, each a process with its own folder in $folder:"
for name in n1 n2 n3; do start $name; done
for name in n1 n2 n3; do wait_ready $name; done
wait_leader "${address[n1]}" ""
old=$leader
echo "  $old leads"

step "A value written through n1, and read back through n2:"
raftkv put greeting "hello, world" --endpoints "${address[n1]}" || fail "the put failed"
raftkv get greeting --endpoints "${address[n2]}" || fail "the get failed"

step "The leader dies:"
echo "  \$ kill -9 ${pid[$old]}   # $old"
{ kill -9 "${pid[$old]}" && wait "${pid[$old]}"; } 2>/dev/null || true  # the shell would report it
unset "pid[$old]"

survivors=("${!pid[@]}")
step "The value is still there, read through the survivor ${survivors[0]}:"
raftkv get greeting --fail-if-missing --endpoints "${address[${survivors[0]}]}" || fail "the get failed"
[[ $("$program" get greeting --print-value-only --endpoints "${address[${survivors[1]}]}") == "hello, world" ]] ||
  fail "the value is lost"
wait_leader "${address[${survivors[0]}]}" "$old"
echo "  the new leader is $leader"

step "Metrics in the Prometheus text format:"
for name in "${survivors[@]}"; do
  echo "  http://${http[$name]}/metrics   ($name)"
done

if [[ -t 0 && -t 1 ]]; then
  endpoints=$(for name in "${survivors[@]}"; do echo "${address[$name]}"; done | paste -sd,)
  step "The cluster runs until Ctrl-C. Try, in another terminal:"
  echo "  $program --endpoints $endpoints endpoint status -w table"
  echo "  $program --endpoints $endpoints put key value"
  trap 'exit 0' INT
  wait || true
fi
