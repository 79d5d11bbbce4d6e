#!/usr/bin/env bash
# What `make demo` and `make test` need besides Rust and Go: git and sshd for the tests, mold for quick links.
# usage: setup.sh [cargo-deny]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
missing=()
command -v git >/dev/null || missing+=(git)
command -v cc >/dev/null || missing+=(build-essential)
command -v setpriv >/dev/null || missing+=(util-linux)
[ -x /usr/sbin/sshd ] || missing+=(openssh-server)
optional=()
command -v mold >/dev/null || optional+=(mold)

if [ $((${#missing[@]} + ${#optional[@]})) -gt 0 ]; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    # No service is to be started by installing its package.
    apt-get update -q && apt-get install -q -y --no-install-recommends "${missing[@]}" "${optional[@]}"
  elif [ ${#missing[@]} -gt 0 ]; then
    echo "missing: ${missing[*]}. Install them, for example: sudo apt-get install ${missing[*]}" >&2
    exit 1
  else
    echo "note: mold is not installed, linking takes longer" >&2
  fi
fi
if ! command -v cargo >/dev/null; then
  echo "missing: Rust 1.95, https://rustup.rs" >&2
  exit 1
fi

if [ "${1:-}" = cargo-deny ]; then
  version=0.20.2
  root=$here/.cache/cargo-tools
  if ! "$root/bin/cargo-deny" --version 2>/dev/null | grep -q " $version\$"; then
    cargo install --locked --quiet --root "$root" --version "$version" cargo-deny
  fi
fi
