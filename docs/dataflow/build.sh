#!/bin/sh
# Builds the worker image from a commit of this checkout, and pushes it if asked to:
#   docs/dataflow/build.sh europe-north1-docker.pkg.dev/PROJECT/REPOSITORY/llama-corpus [--push]
# The tag is the commit. Further words go to `docker buildx build`.
set -eu

image=${1:?give the name of the image, without a tag}
shift
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
commit=$(git -C "$root" rev-parse --short=12 HEAD)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

# From the commit, not from the working tree: what the tag says is what is inside.
mkdir "$context/source"
git -C "$root" archive HEAD | tar -x -C "$context/source"
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH
python3 -m pip wheel --quiet --no-deps --wheel-dir "$context/wheels" "$context/source"
cp "$context/source/docs/dataflow/Dockerfile" "$context/source/docs/dataflow/worker.lock" "$context"
cp "$context/source/stages/language_model/kenlm_tools.py" "$context"
rm -rf "$context/source"

docker buildx build --platform linux/amd64 --tag "$image:$commit" \
    --build-arg SOURCE_DATE_EPOCH --provenance=false "$@" "$context"
echo "$image:$commit"
