#!/usr/bin/env bash
# Builds the node as it is deployed: compiles it once to count what runs, puts it under load, and compiles it
# again by the counts. Prints where the binary is, and leaves the counts beside it: target/quire.profdata.
# This takes a quarter of an hour on two processors; docs/performance.md says what it gains.
#
# Needs an llvm-profdata that can read what this compiler counts: `rustup component add llvm-tools`, or
# Debian's llvm-19. LLVM_PROFDATA can name another one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
profdata=
for candidate in "${LLVM_PROFDATA:-}" "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" \
  llvm-profdata-22 llvm-profdata-21 llvm-profdata-20 llvm-profdata-19; do
  profdata=$(command -v "$candidate" || true)
  [ -z "$profdata" ] || break
done
[ -n "$profdata" ] || { echo 'please run: rustup component add llvm-tools' >&2; exit 1; }

work=$(mktemp -d)
node_pid=
finish() {
  status=$?
  if [ -n "$node_pid" ]; then
    kill "$node_pid" 2>/dev/null || true
    wait "$node_pid" 2>/dev/null || true
  fi
  if [ "$status" -ne 0 ] && [ -s "$work/node.log" ]; then
    tail -n 20 "$work"/*.log >&2
  fi
  rm -rf "$work"
}
trap finish EXIT

# A target is named so that RUSTFLAGS apply to it alone: build scripts and macros are not counted.
build() {
  cargo build --release --locked --target "$host" -p quire --bin quire "$@"
}
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
quire=$target/$host/release/quire
bench=$target/$host/release/examples/bench

# This uses the same cargo profile: another profile renames every function, and no counts would match.
RUSTFLAGS=-Cprofile-generate build --example bench

export LLVM_PROFILE_FILE=$work/counts/%p.profraw
start() {
  "$quire" run --data "$work/data" --listen 127.0.0.1:0 >"$work/node.log" 2>&1 &
  node_pid=$!
  url=
  for _ in $(seq 300); do
    url=$(grep -o -m 1 'http://127\.0\.0\.1:[0-9]*' "$work/node.log" | head -n 1 || true)
    [ -z "$url" ] || return 0
    kill -0 "$node_pid"
    sleep 0.1
  done
  echo 'it printed no address' >&2
  exit 1
}
stop() {
  kill -TERM "$node_pid"
  wait "$node_pid"
  node_pid=
}
load() {
  LLVM_PROFILE_FILE=/dev/null "$bench" --url "$url" --dir "$work" "$@" >"$work/bench.log" 2>&1
}

start
load --requests 500 --seconds 5
load --find 10000 --seconds 3
stop
"$quire" check --data "$work/data" >"$work/check.log"
start
stop
"$profdata" merge --output "$work/quire.profdata" "$work/counts"

# The folder is new each time, so that cargo does not reuse what was compiled by older counts.
RUSTFLAGS="-Cprofile-use=$work/quire.profdata" build
cp "$work/quire.profdata" "$target/quire.profdata"
echo "$quire"
