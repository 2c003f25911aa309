#!/usr/bin/env bash
# Every test there is. Needs a Rust toolchain; as root on Debian it installs the rest by itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
node_pid=
section='start'
finish() {
  status=$?
  if [ -n "$node_pid" ] && kill -0 "$node_pid" 2>/dev/null; then
    kill "$node_pid" 2>/dev/null || true
    wait "$node_pid" 2>/dev/null || true
  fi
  if [ "$status" -ne 0 ] && [ -s "$work/node.log" ]; then
    printf '\nWhat the node printed last:\n'
    tail -n 50 "$work/node.log"
  fi
  rm -rf "$work"
  [ "$status" -eq 0 ] || printf '\nFAILED: %s\n' "$section"
}
trap finish EXIT

section() {
  section=$1
  printf '\n==== %s\n' "$section"
}

section 'tools'
missing=()
command -v curl >/dev/null || missing+=(curl)
command -v openssl >/dev/null || missing+=(openssl)
# Rust links with it; ring and jemalloc are built by it.
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v make >/dev/null || missing+=(make)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
# Fails system calls of the node, one at a time.
command -v strace >/dev/null || missing+=(strace)
# Opens /docs.
command -v "${CHROMIUM:-chromium}" >/dev/null || missing+=(chromium)
command -v unshare >/dev/null || missing+=(util-linux)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "please install: ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -qq
  # prometheus is for the tests alone: as a service it would take a port and run on. RUNLEVEL keeps Debian's
  # maintainer scripts from starting it; where something did, it is stopped.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  if [[ " ${missing[*]} " == *' prometheus '* ]] && [ -d /run/systemd/system ]; then
    systemctl disable --now prometheus 2>/dev/null || true
  fi
fi
# rustup's minimal profile lacks these two.
for component in rustfmt clippy; do
  cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
done
cargo --version
echo "node $(node --version), npm $(npm --version), $(curl --version | head -n 1 | cut -d' ' -f1-2), $(openssl version)"
node -e 'process.exit(process.versions.node.split(".")[0] >= 18 ? 0 : 1)' || { echo 'Node 18 or newer is needed' >&2; exit 1; }

section 'format'
cargo fmt --all --check

section 'clippy'
cargo clippy --workspace --all-targets -- -D warnings

section 'links of the documentation'
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

section 'tests of the workspace'
cargo test --workspace

section 'packages of the node scripts'
for folder in examples/world-countries tests/fabric-decode tests/observability tests/mango-client ledger/tests/pouchdb; do
  npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund
done

section 'the verifier of blocks, on ledgers of real Fabric peers'
(cd tests/fabric-decode && node --test)

section 'dashboards and alerts, as files'
(cd tests/observability && node --test)

section 'a node'
cargo build -p quire
target=$(cargo metadata --format-version 1 --no-deps | node -p 'JSON.parse(fs.readFileSync(0)).target_directory')
quire=$target/debug/quire
data=$work/data
"$quire" run --data "$data" --listen 127.0.0.1:0 >"$work/node.log" 2>&1 &
node_pid=$!
url=
for _ in $(seq 300); do
  url=$(grep -o -m 1 'http://127\.0\.0\.1:[0-9]*' "$work/node.log" | head -n 1 || true)
  [ -z "$url" ] || break
  kill -0 "$node_pid"
  sleep 0.1
done
[ -n "$url" ] || { echo 'it printed no address' >&2; exit 1; }
echo "$url"

section 'the example loads countries, and once more without effect'
node examples/world-countries/main.mjs --url "$url"
node examples/world-countries/main.mjs --url "$url" >"$work/again"
grep '^0 written, 250 were there already' "$work/again"

section 'rich queries, by nano, CouchDB'\''s own client'
node tests/mango-client/main.mjs --url "$url"

section 'its blocks, over HTTP, by Fabric'\''s message definitions'
node tests/fabric-decode/main.mjs --url "$url" --channel main

section 'its page, in a browser'
node tests/browser/main.mjs --url "$url"

section 'its certificates, by openssl'
openssl verify -CAfile "$data/organization/msp/cacerts/ca-cert.pem" "$data"/identities/*/msp/signcerts/cert.pem

section 'it stops when told to'
kill -TERM "$node_pid"
wait "$node_pid"
node_pid=
section='start'
"$quire" check --data "$data"

section 'its block files, by Fabric'\''s message definitions'
node tests/fabric-decode/main.mjs --blockfiles "$data" --channel main

section 'a hostile caller, for two minutes, against a node with 2 GiB of memory'
node tests/hostile/main.mjs --quire "$quire"

section 'the description of the API, by schemathesis'
node tests/openapi/main.mjs --quire "$quire"

section 'dashboards and alerts, against a real Prometheus, under k6 smoke'
node tests/observability/main.mjs --quire "$quire"

section 'every alert, by causing its condition'
node tests/observability/fire.mjs --quire "$quire"

printf '\n==== all passed\n'
