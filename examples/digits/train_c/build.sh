#!/bin/sh
# Builds train.wasm from train.c. Needs, on Debian 12: apt-get install clang lld wasi-libc libclang-rt-14-dev-wasm32
# A reactor has no main: it is a library whose functions the host calls. Names stay in, so that a trap says where.
set -eu
cd "$(dirname "$0")"
exec clang --target=wasm32-wasi -mexec-model=reactor -std=gnu11 -O2 -ffp-contract=off -Wall -Wextra -Werror \
    -Wl,--strip-debug -o "${1:-train.wasm}" train.c -lm
