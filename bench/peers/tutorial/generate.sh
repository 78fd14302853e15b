#!/bin/sh
# Writes the Go code for demo.Files to DIR (default: demo/, where it is committed).
#
#   make build/protoc/.ready && sh bench/peers/tutorial/generate.sh [DIR]
#
# The plugins are the versions that go.mod pins, and protoc is the one that `make proto` uses.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../../.." && pwd)
mkdir -p "${1:-$here/demo}"
out=$(cd "${1:-$here/demo}" && pwd)
plugins=$repo/build/go-plugins
package=unspool/bench/peers/tutorial/demo

cd "$here"
GOBIN=$plugins go install tool

# The Go package is named here, because the .proto is the tutorial's and has no option for it. The part after the semicolon
# is the package's name in Go.
"$repo/build/protoc/bin/python" -m grpc_tools.protoc --proto_path="$repo/proto" \
  --plugin="$plugins/protoc-gen-go" --plugin="$plugins/protoc-gen-go-grpc" \
  --go_out="$out" --go_opt="module=$package,Munspool/demo/files.proto=$package;demo" \
  --go-grpc_out="$out" --go-grpc_opt="module=$package,Munspool/demo/files.proto=$package;demo" \
  unspool/demo/files.proto
