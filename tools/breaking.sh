#!/bin/sh
# Fails if a client or server of the last release would not understand this protocol: `breaking.sh [BUF]`, run from the root.
# buf.yaml says which changes are breaking. The last release is the highest tag `vX.Y.Z` among the ancestors of this commit.
set -eu
buf=${1:-buf}

tags=$(git -c versionsort.suffix=- tag --list 'v[0-9]*' --merged HEAD --sort=-version:refname)
if [ -z "$tags" ]; then
  echo "buf breaking: no release tag here, so there is nothing that could be broken"
  exit 0
fi
tag=$(printf '%s\n' "$tags" | sed -n 1p)
echo "buf breaking: against $tag"

was=$(mktemp -d)
trap 'rm -rf "$was"' EXIT
git archive --format=tar --output="$was/was.tar" "$tag" buf.yaml proto
"$buf" breaking --against "$was/was.tar"
echo "buf breaking: nothing that $tag understands is broken"
