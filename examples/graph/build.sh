#!/bin/sh
# Builds prepare.wasm and report.wasm. Needs, on Debian 12: apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32
set -eu
cd "$(dirname "$0")"
for name in prepare report; do
    clang --target=wasm32-wasi -std=gnu11 -O2 -ffp-contract=off -Wall -Wextra -Werror -Wl,--strip-debug \
        -o "${1:-.}/$name.wasm" "$name.c"
done
