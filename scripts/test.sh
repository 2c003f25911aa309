#!/usr/bin/env bash
# Runs every test, or the named sections (scripts/test.sh --list). Needs a Rust toolchain; as root on Debian
# it installs the rest by itself.
#
# Cargo compiles everything only once: `clippy` and `docs` check the dependencies with the same features, and
# `rust` and the sections with a node build them with the same features.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Each line is a section: its name, to which a function `run_NAME` belongs, and what it does.
sections='
format      the format of the Rust code
clippy      clippy, with warnings denied
docs        the links of the documentation of the crates
rust        every Rust test
scripts     the survey of the rooms, on workspaces made up for it
verifier    the verifier of blocks, on ledgers of real Fabric peers
dashboards  dashboards and alerts, as files
example     a node: the example loads countries, and once more without effect
mango       a node: rich queries, by nano, CouchDB'\''s own client
blocks      a node: its blocks, over HTTP, by Fabric'\''s message definitions
page        a node: its page, in a browser
ca          the CA of a node, by the clients of Fabric CA, on to submitting with what they enrolled
chaincode   chaincode on npm'\''s fabric-shim, deployed, called, upgraded and killed; the examples by themselves
kafka       three nodes whose channel a topic of a real Apache Kafka orders, with brokers and nodes that die
clients     applications of Fabric, on its client libraries for Node, Go and Java; and a hostile caller of gRPC
openssl     a node: its certificates, by openssl
stop        a node: it stops when told to, and its data is sound
files       a node that stopped: its block files, by Fabric'\''s message definitions
hostile     a hostile caller, for two minutes, against a node with 2 GiB of memory
openapi     the description of the API, by schemathesis
prometheus  dashboards and alerts, against a real Prometheus, under load
alerts      every alert, by causing its condition
'
names() { sed -n 's/^\([a-z]\{1,\}\) .*/\1/p' <<<"$sections"; }

wanted=("$@")
if [ "${1:-}" = --list ]; then
  sed '/^$/d' <<<"$sections"
  exit
fi
for name in "${wanted[@]}"; do
  if ! names | grep -qx -- "$name"; then
    echo "scripts/test.sh: there is no section '$name'; --list prints them" >&2
    exit 2
  fi
done
if [ ${#wanted[@]} -eq 0 ]; then
  mapfile -t wanted < <(names)
fi
chosen() { [[ " ${wanted[*]} " == *" $1 "* ]]; }

work=$(mktemp -d)
data=$work/data
node_pid=
asked_node=
current='the tools'
finish() {
  status=$?
  if [ -n "$node_pid" ] && kill -0 "$node_pid" 2>/dev/null; then
    kill "$node_pid" 2>/dev/null || true
    wait "$node_pid" 2>/dev/null || true
  fi
  # Of the section that failed what it printed itself stays last, unless it was about this node.
  if [ "$status" -ne 0 ] && [ "$asked_node" = "$current" ] && [ -s "$work/node.log" ]; then
    printf '\nWhat the node printed last:\n'
    tail -n 50 "$work/node.log"
  fi
  rm -rf "$work"
  [ "$status" -eq 0 ] || printf '\nFAILED: %s\n' "$current"
}
trap finish EXIT

# ---- What the sections need.

# Puts a package on the list of what is missing, if one of these sections was chosen and the check after `--` fails.
missing=()
needs() {
  local package=$1 section used=
  shift
  while [ "$1" != -- ]; do
    section=$1
    shift
    if chosen "$section"; then used=1; fi
  done
  shift
  if [ -n "$used" ] && ! "$@" >/dev/null 2>&1; then missing+=("$package"); fi
}
has() { command -v "$@"; }

tools() {
  local compiled=(clippy docs rust example mango blocks page ca chaincode kafka clients openssl stop files hostile openapi prometheus alerts)
  local node=(rust scripts verifier dashboards example mango blocks page ca chaincode kafka clients openssl stop files hostile openapi prometheus alerts)
  # Rust links with it; ring and jemalloc are built with it.
  needs gcc "${compiled[@]}" -- has cc
  needs libc6-dev "${compiled[@]}" -- has cc
  # The client of Kafka is C, with a C++ part that is built beside it.
  needs g++ "${compiled[@]}" -- has c++
  needs default-jre-headless kafka -- has java
  needs maven kafka -- has mvn
  needs iproute2 kafka -- has ip
  needs libfaketime kafka -- bash -c 'compgen -G "/usr/lib/*/faketime/libfaketime.so.1"'
  needs make "${compiled[@]}" -- has make
  needs nodejs "${node[@]}" -- has node
  needs npm "${node[@]}" -- has npm
  needs curl rust -- has curl
  needs openssl openssl ca clients -- has openssl
  if ! has go >/dev/null && [ -x /usr/local/go/bin/go ]; then PATH=$PATH:/usr/local/go/bin; fi
  needs golang-go clients -- has go
  needs maven clients -- has mvn
  needs default-jdk-headless clients -- has javac
  needs procps chaincode -- has ps
  needs prometheus prometheus alerts -- has promtool
  needs prometheus prometheus alerts -- has prometheus
  # It installs schemathesis and k6.
  needs python3-venv openapi prometheus -- python3 -c 'import ensurepip'
  # It fails system calls of the node, one at a time.
  needs strace rust alerts -- has strace
  # It opens /docs.
  needs chromium page -- has "${CHROMIUM:-chromium}"
  needs util-linux rust hostile alerts -- has unshare
  if [ ${#missing[@]} -gt 0 ]; then install; fi
  # rustup's minimal profile lacks these two.
  if chosen format; then cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt; fi
  if chosen clippy; then cargo clippy --version >/dev/null 2>&1 || rustup component add clippy; fi
  cargo --version
  if has node >/dev/null; then
    echo "node $(node --version)"
    node -e 'process.exit(process.versions.node.split(".")[0] >= 18 ? 0 : 1)' || { echo 'Node 18 or newer is needed' >&2; exit 1; }
  fi
}

install() {
  if [ "$(id -u)" -ne 0 ] || ! has apt-get >/dev/null; then
    echo "please install: ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -qq
  # prometheus is for the tests alone: as a service it would take a port and run on. RUNLEVEL keeps
  # Debian's maintainer scripts from starting it; if something started it, it is stopped.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  if [[ " ${missing[*]} " == *' prometheus '* ]] && [ -d /run/systemd/system ]; then
    systemctl disable --now prometheus 2>/dev/null || true
  fi
}

declare -A installed=()
packages() {
  [ -z "${installed[$1]:-}" ] || return 0
  npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund
  installed[$1]=1
}

# The binary. `--examples` gives its dependencies the same features as the tests do.
quire=
binary() {
  [ -z "$quire" ] || return 0
  cargo build --workspace --bins --examples
  quire=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug/quire
}

# One node serves all sections that need a node, until `stop`.
url=
running_node() {
  asked_node=$current
  [ -z "$node_pid" ] || return 0
  binary
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
}

# The node, with some data in it.
loaded=
loaded_node() {
  running_node
  [ -z "$loaded" ] || return 0
  packages examples/world-countries
  node examples/world-countries/main.mjs --url "$url"
  loaded=1
}

stopped=
stopped_node() {
  [ -z "$stopped" ] || return 0
  loaded_node
  kill -TERM "$node_pid"
  wait "$node_pid"
  node_pid=
  stopped=1
}

# ---- The sections.

run_format() { cargo fmt --all --check; }
run_clippy() { cargo clippy --workspace --all-targets -- -D warnings; }
# `--examples` is for the features, as with the binary.
run_docs() { RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --lib --bins --examples; }
run_rust() { cargo test --workspace; }

run_scripts() { node --test scripts/; }

run_verifier() {
  packages tests/fabric-decode
  (cd tests/fabric-decode && node --test)
}

run_dashboards() {
  packages tests/observability
  (cd tests/observability && node --test)
}

run_example() {
  loaded_node
  node examples/world-countries/main.mjs --url "$url" >"$work/again"
  grep '^0 written, 250 were there already' "$work/again"
}

run_mango() {
  loaded_node
  packages tests/mango-client
  node tests/mango-client/main.mjs --url "$url"
}

run_blocks() {
  loaded_node
  packages tests/fabric-decode
  node tests/fabric-decode/main.mjs --url "$url" --channel main
}

run_page() {
  running_node
  node tests/browser/main.mjs --url "$url"
}

run_ca() {
  binary
  packages tests/fabric-ca-clients
  node tests/fabric-ca-clients/main.mjs --quire "$quire"
}

run_chaincode() {
  binary
  packages examples/transfers
  npm test --prefix examples/transfers
  node tests/chaincode/main.mjs --quire "$quire"
  # Go's toolchain and modules are not everywhere.
  cp -r examples/transfers-go "$work/transfers-go"
  if has go >/dev/null && (cd "$work/transfers-go" && go mod tidy); then
    (cd "$work/transfers-go" && go vet ./... && go test ./...)
  else
    printf '\n**** SKIPPED: the tests of examples/transfers-go, for there is no Go here, or no modules of Fabric for it\n\n'
  fi
}

run_kafka() {
  binary
  if ! mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory="$work/kafka-libs"; then
    printf '\n**** SKIPPED: Kafka cannot be had from Maven Central\n\n'
    return 0
  fi
  node tests/kafka/main.mjs --quire "$quire" --libs "$work/kafka-libs"
  packages examples/transfers
  node tests/kafka/organizations.mjs --quire "$quire" --libs "$work/kafka-libs" --chaincode examples/transfers
  node tests/kafka/joining.mjs --quire "$quire" --libs "$work/kafka-libs" --chaincode examples/transfers
  packages examples/world-countries
  node examples/network/main.mjs --quire "$quire" --libs "$work/kafka-libs" --check
  if [ "$(id -u)" -eq 0 ] && unshare --net --mount true; then
    node tests/kafka/chaos.mjs --quire "$quire" --libs "$work/kafka-libs" --seconds 120
  else
    printf '\n**** SKIPPED: the chaos of nodes and brokers, for it makes namespaces of network and mounts, which needs root\n\n'
  fi
}

run_clients() {
  binary
  packages tests/fabric-clients
  node tests/fabric-clients/main.mjs --quire "$quire"
  node tests/fabric-clients/network.mjs --quire "$quire"
  node tests/fabric-clients/hostile.mjs --quire "$quire"
  local clients=()
  # The libraries are not everywhere.
  if (cd tests/fabric-clients/go && go vet ./... && go build -o "$work/fabric-client" .); then
    clients+=(--client "Go=exec $work/fabric-client")
  else
    printf '\n**** SKIPPED: the client library for Go, for there is no Go here that builds it, or no module of it\n\n'
  fi
  cp -r tests/fabric-clients/java "$work/fabric-client-java"
  if (cd "$work/fabric-client-java" && mvn -q -B compile dependency:build-classpath -Dmdep.outputFile=target/classpath); then
    local java=$work/fabric-client-java/target
    clients+=(--client "Java=exec java -cp $java/classes:$(cat "$java/classpath") Main")
  else
    printf '\n**** SKIPPED: the client library for Java, for there is no Maven here that builds it, or no artifact of it\n\n'
  fi
  if [ ${#clients[@]} -gt 0 ]; then
    packages examples/transfers
    node tests/fabric-clients/languages.mjs --quire "$quire" "${clients[@]}"
  fi
}

run_openssl() {
  running_node
  openssl verify -CAfile "$data/organization/msp/cacerts/ca-cert.pem" "$data"/identities/*/msp/signcerts/cert.pem
}

run_stop() {
  stopped_node
  "$quire" check --data "$data"
}

run_files() {
  stopped_node
  packages tests/fabric-decode
  node tests/fabric-decode/main.mjs --blockfiles "$data" --channel main
}

run_hostile() {
  binary
  node tests/hostile/main.mjs --quire "$quire"
}

run_openapi() {
  binary
  node tests/openapi/main.mjs --quire "$quire"
}

run_prometheus() {
  binary
  packages tests/observability
  node tests/observability/main.mjs --quire "$quire"
}

run_alerts() {
  binary
  packages ledger/tests/pouchdb
  packages tests/observability
  node tests/observability/fire.mjs --quire "$quire"
}

# ---- The run.

printf '==== the tools\n'
tools
for name in $(names); do
  if chosen "$name"; then
    current=$(grep "^$name " <<<"$sections" | tr -s ' ')
    printf '\n==== %s\n' "$current"
    began=$SECONDS
    "run_$name"
    printf '==== %s took %s s\n' "$name" "$((SECONDS - began))"
  fi
done
if [ $# -eq 0 ]; then
  printf '\n==== all passed\n'
else
  printf '\n==== passed: %s\n' "$*"
fi
