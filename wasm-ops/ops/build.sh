#!/bin/sh
# Rebuilds the ops that ship, byte for byte. Needs Debian 12's clang-16 and lld-16 (apt-get install clang-16 lld-16); neither the
# build nor the tests of Histoloom need them, for the .wasm files are in the repository.
#   build.sh [OUT]   writes OUT/<name>/<name>.wasm; OUT is this folder unless given
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
cc=${CLANG:-clang-16}
cd "$here"
for source in */*.c; do
    name=$(basename "$source" .c)
    mkdir -p "$out/$name"
    "$cc" --target=wasm32 -std=c11 -O2 -msimd128 -mbulk-memory -mno-reference-types -ffreestanding -nostdlib -fno-ident \
        -ffile-prefix-map="$here"=. -I../guest -Wall -Wextra -Werror -Wno-unused-function \
        -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536 -o "$out/$name/$name.wasm" "$source"
done
sha256sum "$out"/*/*.wasm 2>/dev/null || true
