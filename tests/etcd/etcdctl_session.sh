#!/bin/bash
# Do etcdctl's own verbs work against a cluster, as they do against etcd?
# usage: etcdctl_session.sh HOST:PORT,HOST:PORT,...
# All members of a new cluster. Exits with 1 at the first result that is wrong. With CHECK_PERF=s
# (or s,m) in the environment it also runs `etcdctl check perf` of these loads, a minute each.
set -uo pipefail
export ETCDCTL_API=3
[[ $# -eq 1 && -n $1 ]] || { echo "usage: ${0##*/} HOST:PORT,HOST:PORT,..." >&2; exit 2; }
command -v etcdctl >/dev/null ||
  { echo "etcdctl is missing: install the package etcd-client (./dev setup)" >&2; exit 2; }
readonly endpoints=$1
readonly members=${endpoints//,/ }
readonly seconds=60  # that any single step may take
folder=$(mktemp -d)
declare -A started=()

clean_up() {
  local pid
  for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null; done
  rm -rf "$folder"
}
trap clean_up EXIT

etcd() { timeout "$seconds" etcdctl --endpoints "$endpoints" --command-timeout=30s "$@"; }

fail() {
  echo "WRONG: $1" >&2
  printf '  expected: %s\n  got:      %s\n' "$2" "$3" >&2
  [[ ! -s $folder/stderr ]] || { echo "  stderr:"; tail -n 5 "$folder/stderr"; } >&2
  exit 1
}

# expect TEXT VERB... : its whole output is TEXT, and it ends with 0.
expect() {
  local text=$1 got status=0
  shift
  got=$(etcd "$@" 2>"$folder/stderr") || status=$?
  [[ $status -eq 0 && $got == "$text" ]] || fail "etcdctl $*" "$text" "$got (exit code $status)"
}

# expect_match REGEX VERB... : its output matches, and it ends with 0. Sets `got`.
expect_match() {
  local regex=$1 status=0
  shift
  got=$(etcd "$@" 2>"$folder/stderr") || status=$?
  [[ $status -eq 0 && $got =~ $regex ]] || fail "etcdctl $*" "$regex" "$got (exit code $status)"
}

# expect_error TEXT VERB... : it fails, with TEXT on stderr.
expect_error() {
  local text=$1 out status=0
  shift
  out=$(etcd "$@" 2>"$folder/stderr") || status=$?
  [[ $status -ne 0 && $(<"$folder/stderr") == *"$text"* ]] ||
    fail "etcdctl $*" "the error '$text'" "$out $(<"$folder/stderr") (exit code $status)"
}

# expect_txn TEXT INPUT : of a transaction that is read from stdin.
expect_txn() {
  local text=$1 out
  out=$(printf '%b' "$2" | etcd txn 2>"$folder/stderr") || true
  [[ $out == "$text" ]] || fail "etcdctl txn of $2" "$text" "$out"
}

# begin NAME VERB... : runs in the background, with its output in $folder/NAME.
begin() {
  local name=$1
  shift
  : >"$folder/$name"
  setpriv --pdeathsig KILL etcdctl --endpoints "$endpoints" "$@" \
    >"$folder/$name" 2>"$folder/$name.err" </dev/null &
  started[$name]=$!
  disown "$!"  # its end is not worth a line
}

# await NAME REGEX : until the output of that one matches.
await() {
  local deadline=$((SECONDS + seconds))
  until [[ $(<"$folder/$1") =~ $2 ]]; do
    ((SECONDS < deadline)) || fail "output of $1" "$2" "$(<"$folder/$1") $(<"$folder/$1.err")"
    sleep 0.05
  done
}

# await_verb REGEX VERB... : until the output of that verb matches.
await_verb() {
  local regex=$1 deadline=$((SECONDS + seconds)) out
  shift
  until out=$(etcd "$@" 2>"$folder/stderr") && [[ $out =~ $regex ]]; do
    ((SECONDS < deadline)) || fail "etcdctl $*, after a minute" "$regex" "$out"
    sleep 0.1
  done
}

# stop NAME SIGNAL : ends that one, and waits for it. (Where a shell has no terminal, what it starts
# in the background ignores SIGINT.)
stop() {
  local deadline=$((SECONDS + seconds))
  kill -"$2" "${started[$1]}" 2>/dev/null
  while kill -0 "${started[$1]}" 2>/dev/null; do
    ((SECONDS < deadline)) || fail "$1 after SIG$2" "it ends" "still running"
    sleep 0.05
  done
  unset "started[$1]"
}

revision() {
  local text
  text=$(etcd get no-such-key -w json 2>"$folder/stderr")
  [[ $text =~ \"revision\":([0-9]+) ]] || fail "the revision" "a number" "$text"
  echo "${BASH_REMATCH[1]}"
}

keys_and_values() {
  echo "put, get, del"
  expect OK put fruit/apple red
  expect OK put fruit/banana yellow
  expect OK put fruit/cherry dark
  expect OK put fruit/date brown
  expect OK put other 1
  expect $'OK\nother\n1' put other 2 --prev-kv
  expect OK put other --ignore-value
  expect $'other\n2' get other
  expect 2 get other --print-value-only
  expect "" get no-such-key
  expect $'fruit/apple\nred\nfruit/banana\nyellow' get fruit/ --prefix --limit=2
  expect $'fruit/date\nbrown\nfruit/cherry\ndark' get fruit/ --prefix --order=DESCEND --limit=2
  # As it was before dates were known.
  expect $'fruit/cherry\ndark\nfruit/apple\nred' get fruit/ --prefix --sort-by=VALUE \
    --order=ASCEND --limit=2 --rev="$(($(revision) - 4))"
  expect $'fruit/date\nbrown' get fruit/ --prefix --sort-by=MODIFY --order=DESCEND --limit=1
  expect $'fruit/apple\nred' get fruit/ --prefix --sort-by=CREATE --order=ASCEND --limit=1
  expect $'other\n2' get "" --prefix --sort-by=VERSION --order=DESCEND --limit=1
  expect $'fruit/cherry\n\nfruit/date\n\nother' get fruit/cherry --from-key --keys-only
  expect $'fruit/banana\nyellow\nfruit/cherry\ndark' get fruit/banana fruit/date
  expect $'other\n2' get other --consistency=s
  expect_match '"Count" : 4' get fruit/ --prefix --keys-only -w fields
  expect_match '"count":1' get other -w json
  expect_match '"key":"b3RoZXI=".*"version":3,"value":"Mg=="' get other -w json
  expect $'other\n1' get other --rev="$(($(revision) - 2))"
  expect_error "required revision is a future revision" get other --rev="$(($(revision) + 5))"
  expect $'2\nfruit/cherry\ndark\nfruit/date\nbrown' del fruit/cherry fruit/f --prev-kv
  expect 2 del fruit/ --prefix
  expect 0 del fruit/ --prefix
  expect 1 del other --from-key
}

transactions() {
  echo "txn"
  expect OK put t 1
  expect_txn $'SUCCESS\n\nOK\n\nt\n2' \
    'value("t") = "1"\nversion("t") = "1"\n\nput t 2\nget t\n\nget t\n\n'
  expect_txn $'FAILURE\n\nt\n2' 'create("t") = "0"\n\nput t 3\n\nget t\n\n'
  expect_txn $'SUCCESS\n\n1' 'mod("t") > "1"\ncreate("t") < "1000000"\n\ndel t\n\n\n'
  expect_txn $'SUCCESS\n\nOK' 'create("t") = "0"\nversion("t") != "1"\n\nput t 4\n\n\n'
  expect_txn $'FAILURE' 'version("t") > "1"\n\nput t 5\n\n\n'
  expect $'t\n4' get t
  printf 'version("t") = "1"\n\nput t 6\nput t 7\n\n\n' |
    etcd txn >"$folder/out" 2>"$folder/stderr" &&
    fail "a txn with a key twice" "an error" "$(<"$folder/out")"
  [[ $(<"$folder/stderr") == *"duplicate key given in txn request"* ]] ||
    fail "a txn with a key twice" "duplicate key" "$(<"$folder/stderr")"
  expect 1 del t
}

watches() {
  echo "watch"
  local first
  first=$(($(revision) + 1))
  begin all watch w/ --prefix --rev="$first" --prev-kv
  begin one watch w/b --rev="$first"
  begin run watch w/a --rev="$first" -- \
    sh -c 'echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE'
  expect OK put w/a 1
  expect OK put w/b 2
  expect OK put w/a 3
  expect 1 del w/b
  await all $'^PUT\nw/a\n1\nPUT\nw/b\n2\nPUT\nw/a\n1\nw/a\n3\nDELETE\nw/b\n2\nw/b$'
  await one $'^PUT\nw/b\n2\nDELETE\nw/b$'
  await run $'"PUT" "w/a" "1"\n.*"PUT" "w/a" "3"'
  stop all TERM
  stop one TERM
  stop run TERM
  # Interactive: more watches on one stream, and how far it is.
  : >"$folder/many"
  coproc interactive {
    exec setpriv --pdeathsig KILL etcdctl --endpoints "$endpoints" watch -i \
      >"$folder/many" 2>"$folder/many.err"
  }
  started[many]=$interactive_PID
  disown "$interactive_PID"
  echo "watch w/a --rev=$first" >&"${interactive[1]}"
  echo "watch w/c" >&"${interactive[1]}"
  echo "progress" >&"${interactive[1]}"
  await many $'PUT\nw/a\n1\nPUT\nw/a\n3'
  await many 'progress notify: [0-9]+'
  expect OK put w/c late
  await many $'PUT\nw/c\nlate'
  stop many KILL
  expect 2 del w/ --prefix
}

leases() {
  echo "lease"
  expect_match '^lease ([0-9a-f]+) granted with TTL\(100s\)$' lease grant 100
  [[ $got =~ ([0-9a-f]{8,}) ]]
  local id=${BASH_REMATCH[1]}
  expect OK put leased/1 x --lease="$id"
  expect OK put leased/2 y --lease="$id"
  expect OK put leased/2 z --ignore-lease
  expect_match "^lease $id granted with TTL\(100s\), remaining\((100|[6-9][0-9])s\)$" \
    lease timetolive "$id"
  expect_match "attached keys\(\[leased/[12] leased/[12]\]\)$" lease timetolive "$id" --keys
  expect "lease $id keepalived with TTL(100)" lease keep-alive --once "$id"
  expect_match "found [0-9]+ leases.*$id" lease list
  begin alive lease keep-alive "$id"
  await alive "lease $id keepalived with TTL\(100\)"
  stop alive TERM
  expect "lease $id revoked" lease revoke "$id"
  expect "" get leased/ --prefix
  expect_error "requested lease not found" lease revoke "$id"
  expect_error "requested lease not found" put leased/1 x --lease="$id"
  expect "lease $id already expired" lease timetolive "$id"
  expect_match '^lease ([0-9a-f]+) granted with TTL\(2s\)$' lease grant 2
  [[ $got =~ ([0-9a-f]{8,}) ]]
  expect OK put leased/3 soon --lease="${BASH_REMATCH[1]}"
  await_verb '^$' get leased/3
}

locks() {
  echo "lock"
  expect_match '^ran l/[0-9a-f]+ [0-9]+$' lock l -- sh -c 'echo ran $ETCD_LOCK_KEY $ETCD_LOCK_REV'
  expect "" get l/ --prefix
  begin first lock l
  await first '^l/[0-9a-f]+'
  begin second lock l
  await_verb '"Count" : 2' get l/ --prefix --keys-only -w fields
  [[ ! -s $folder/second ]] || fail "a second lock" "waits" "$(<"$folder/second")"
  stop first TERM
  await second '^l/[0-9a-f]+'
  stop second TERM
  await_verb '"Count" : 0' get l/ --prefix --keys-only -w fields
  # A holder that is killed loses the lock with its lease.
  begin killed lock l --ttl=2
  await killed '^l/[0-9a-f]+'
  begin third lock l
  await_verb '"Count" : 2' get l/ --prefix --keys-only -w fields
  stop killed KILL
  await third '^l/[0-9a-f]+'
  stop third TERM
}

elections() {
  echo "elect"
  begin one elect e one
  await one $'^e/[0-9a-f]+\none'
  begin listener elect -l e
  await listener $'^e/[0-9a-f]+\none'
  begin two elect e two
  await_verb '"Count" : 2' get e/ --prefix --keys-only -w fields
  [[ ! -s $folder/two ]] || fail "a second candidate" "waits" "$(<"$folder/two")"
  stop one TERM
  await two $'^e/[0-9a-f]+\ntwo'
  await listener $'\none\ne/[0-9a-f]+\ntwo'
  stop listener TERM
  stop two TERM
  await_verb '"Count" : 0' get e/ --prefix --keys-only -w fields
}

cluster() {
  echo "member, endpoint"
  local each count=0 got
  for each in $members; do count=$((count + 1)); done
  got=$(etcd member list 2>"$folder/stderr" |
    grep -cE '^[0-9a-f]+, started, [^,]+, http[^,]+, http[^,]+, false$')
  [[ $got -eq $count ]] || fail "member list" "$count started members" "$(etcd member list 2>&1)"
  expect_match '"members":\[' member list -w json
  got=$(etcd endpoint status 2>"$folder/stderr")
  local line='^[^,]+, [0-9a-f]+, [0-9]+\.[0-9]+\.[0-9]+[^,]*, [0-9.]+ [kMG]?B'
  line+=', (true|false), false, [0-9]+, [0-9]+, [0-9]+, $'
  [[ $(grep -cE "$line" <<<"$got") -eq $count ]] || fail "endpoint status" "$count lines" "$got"
  [[ $(awk -F', ' '$5 == "true"' <<<"$got" | wc -l) -eq 1 ]] ||
    fail "endpoint status" "one leader" "$got"
  got=$(etcd endpoint health 2>&1)
  [[ $(grep -c 'is healthy: successfully committed proposal' <<<"$got") -eq $count ]] ||
    fail "endpoint health" "$count healthy endpoints" "$got"
  await_verb "^[^,]+, ([0-9]+)(.[^,]+, \1)*$" endpoint hashkv --rev="$(revision)"
  if ((count > 1)); then
    move_leader
    change_members "$count"
  fi
}

leader_id() { etcd endpoint status 2>"$folder/stderr" | awk -F', ' '$5 == "true" {print $2}'; }

move_leader() {
  echo "move-leader"
  local old new
  old=$(leader_id)
  new=$(etcd endpoint status 2>"$folder/stderr" | awk -F', ' '$5 == "false" {print $2; exit}')
  expect "Leadership transferred from $old to $new" move-leader "$new"
  await_verb ", $new, [^,]+, [^,]+, true, false, " endpoint status
}

change_members() {
  echo "member add, update, promote, remove"
  # etcd refuses until its members have been connected for some seconds.
  await_verb '^Member +[0-9a-f]+ added to cluster' \
    member add extra --learner --peer-urls=http://127.0.0.1:9
  local line id
  line=$(etcd member list 2>"$folder/stderr" | grep 'http://127.0.0.1:9,')
  [[ $line =~ ^([0-9a-f]+),\ unstarted,.*,\ true$ ]] || fail "member list" "a learner" "$line"
  id=${BASH_REMATCH[1]}
  expect_error "learner" member promote "$id"
  expect_match "^Member +$id updated in cluster" member update "$id" --peer-urls=http://127.0.0.1:19
  expect_match "^Member +$id removed from cluster" member remove "$id"
  [[ $(etcd member list 2>"$folder/stderr" | wc -l) -eq $1 ]] ||
    fail "member list after remove" "$1 members" "$(etcd member list 2>&1)"
  expect_error "member not found" member remove "$id"
}

maintenance() {
  echo "compaction, defrag, alarm list, snapshot save"
  local now
  expect OK put c 1
  expect OK put c 2
  expect OK put c 3
  now=$(revision)
  expect "compacted revision $((now - 1))" compaction $((now - 1))
  expect_error "required revision has been compacted" compaction $((now - 1))
  expect_error "required revision has been compacted" get c --rev=$((now - 2))
  expect_error "required revision is a future revision" compaction $((now + 9))
  expect $'c\n2' get c --rev=$((now - 1))
  expect "compacted revision $now" compaction "$now" --physical
  expect_error "required revision has been compacted" watch c --rev=$((now - 2))
  expect_match 'Finished defragmenting etcd member' defrag
  expect "" alarm list
  local first=${endpoints%%,*}
  timeout "$seconds" etcdctl --endpoints "$first" snapshot save "$folder/snapshot" \
    >"$folder/out" 2>"$folder/stderr" || fail "snapshot save" "exit code 0" "$(<"$folder/out")"
  [[ $(<"$folder/out") == "Snapshot saved at $folder/snapshot" && -s $folder/snapshot ]] ||
    fail "snapshot save" "a file" "$(<"$folder/out")"
  expect 1 del c
}

mirror() {
  echo "make-mirror"
  expect OK put from/1 a
  begin mirror make-mirror --prefix from/ --dest-prefix to/ "${endpoints%%,*}"
  await_verb $'to/1\na' get to/ --prefix
  expect OK put from/2 b
  expect 1 del from/1
  await_verb $'^to/2\nb$' get to/ --prefix
  stop mirror KILL
  expect 1 del from/ --prefix
  expect 1 del to/ --prefix
}

check_perf() {
  local load
  for load in ${CHECK_PERF//,/ }; do
    echo "check perf --load=$load"
    timeout 300 etcdctl --endpoints "$endpoints" check perf --load="$load" --prefix=check/ \
      >"$folder/out" 2>"$folder/stderr" || fail "check perf --load=$load" PASS "$(<"$folder/out")"
    grep -E 'PASS|FAIL' "$folder/out"
    expect_match '"Count" : 0' get check/ --prefix --keys-only -w fields
  done
}

keys_and_values
transactions
watches
leases
locks
elections
cluster
maintenance
mirror
[[ -z ${CHECK_PERF:-} ]] || check_perf
echo "etcdctl: all as expected"
