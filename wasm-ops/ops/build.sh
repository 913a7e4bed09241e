#!/bin/sh
# Rebuilds the ops that ship, and the examples, byte for byte. Needs Debian 12's clang-16, lld-16 (C) and rustc with its WebAssembly
# library (Rust): apt-get install clang-16 lld-16 rustc libstd-rust-dev-wasm32. Neither the build nor the tests of Histoloom need them, for
# the .wasm files are in the repository.
#   build.sh [OUT]   writes OUT/<name>/<name>.wasm; OUT is this folder unless given
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
cc=${CLANG:-clang-16} rustc=${RUSTC_1_63:-/usr/bin/rustc} ld=${WASM_LD:-wasm-ld-16}
# all the memory an op may have from the start: a size that never changes is compared with faster, and what is not touched costs nothing
memory=--initial-memory=67108864,--max-memory=67108864
cd "$here"
for source in */*.c; do
    name=$(basename "$source" .c)
    mkdir -p "$out/$name"
    "$cc" --target=wasm32 -std=c11 -O2 -msimd128 -mbulk-memory -mno-reference-types -ffreestanding -nostdlib -fno-ident \
        -ffile-prefix-map="$here"=. -I../guest -Wall -Wextra -Werror -Wno-unused-function \
        -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536,$memory -o "$out/$name/$name.wasm" "$source"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# the same folder names on every machine: they go into the hashes of names
flags="--edition 2021 --target wasm32-unknown-unknown -C opt-level=3 -C panic=abort -C codegen-units=1 -C debuginfo=0
    -C target-feature=+simd128,+bulk-memory,+nontrapping-fptoint -C embed-bitcode=yes"
# shellcheck disable=SC2086 # the flags are words
"$rustc" $flags --remap-path-prefix "$here/.."=. --crate-name histoloom_op --crate-type rlib --out-dir "$work" ../guest/src/lib.rs
for source in */*.rs; do
    name=$(basename "$source" .rs)
    mkdir -p "$out/$name"
    # shellcheck disable=SC2086
    "$rustc" $flags --remap-path-prefix "$here"=. -C lto=fat -C linker="$ld" -C linker-flavor=wasm-ld -C strip=symbols \
        -C link-arg=--stack-first -C link-arg=-zstack-size=65536 $(for m in $(echo $memory | tr , ' '); do echo "-C link-arg=$m"; done) --extern histoloom_op="$work/libhistoloom_op.rlib" \
        --crate-name "$name" --crate-type cdylib -o "$out/$name/$name.wasm" "$source"
done
sha256sum "$out"/*/*.wasm 2>/dev/null || true
