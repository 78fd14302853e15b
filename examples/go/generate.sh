#!/bin/sh
# Writes the Go code for unspool.v1 to DIR (default: unspoolv1/, where it is committed).
#
#   make build/protoc/.ready && sh examples/go/generate.sh [DIR]
#
# The plugins are the versions that go.mod pins, and protoc is the one that `make proto` uses.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
mkdir -p "${1:-$here/unspoolv1}"
out=$(cd "${1:-$here/unspoolv1}" && pwd)
plugins=$repo/build/go-plugins
package=unspool/examples/go/unspoolv1

cd "$here"
GOBIN=$plugins go install tool

# The Go package is set here and not by an option in the .proto, because each program decides where its generated code goes.
"$repo/build/protoc/bin/python" -m grpc_tools.protoc --proto_path="$repo/proto" \
  --plugin="$plugins/protoc-gen-go" --plugin="$plugins/protoc-gen-go-grpc" \
  --go_out="$out" --go_opt="module=$package,Munspool/v1/file_service.proto=$package" \
  --go-grpc_out="$out" --go-grpc_opt="module=$package,Munspool/v1/file_service.proto=$package" \
  unspool/v1/file_service.proto
