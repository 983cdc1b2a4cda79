#!/usr/bin/env bash
# Build the Docker image of this checkout, tagged with its commit, and print the tag.
#   bash scripts/image.sh         the whole lab: recsys-lab:COMMIT
#   bash scripts/image.sh serve   the server alone, on the CPU: recsys-lab-serve:COMMIT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1:-}" in
  "") name=recsys-lab target=() ;;
  serve) name=recsys-lab-serve target=(--target serve) ;;
  *) echo "image.sh: got '$1', expected nothing or 'serve'" >&2 && exit 2 ;;
esac
commit="$(git rev-parse HEAD)"
tag="$name:${commit:0:12}"
if [ -n "$(git status --porcelain -- src configs pyproject.toml constraints.txt Dockerfile)" ]; then
  commit="$commit-dirty" tag="$tag-dirty"
fi
docker build --build-arg "COMMIT=$commit" "${target[@]}" --tag "$tag" . >&2
echo "$tag"
