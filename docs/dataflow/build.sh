#!/bin/sh
# Builds the worker image from a commit of this checkout, and pushes it if asked to:
#   docs/dataflow/build.sh europe-north1-docker.pkg.dev/PROJECT/REPOSITORY/llama-corpus [--push]
# The tag is the commit. Further words go to `docker buildx build`. Needs git and Docker only: the
# image's own Python builds the wheel, since a part of it is C.
set -eu

image=${1:?give the name of the image, without a tag}
shift
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
commit=$(git -C "$root" rev-parse --short=12 HEAD)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

# From the commit, not from the working tree: what the tag says is what is inside.
git -C "$root" archive --output "$context/source.tar" HEAD
for file in docs/dataflow/Dockerfile docs/dataflow/worker.lock stages/language_model/kenlm_tools.py
do
    tar -xOf "$context/source.tar" "$file" > "$context/$(basename "$file")"
done
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH

docker buildx build --platform linux/amd64 --tag "$image:$commit" \
    --build-arg SOURCE_DATE_EPOCH --provenance=false "$@" "$context" >&2
echo "$image:$commit"
