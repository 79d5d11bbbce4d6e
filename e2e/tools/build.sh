#!/usr/bin/env bash
# Builds the real control plane and its clients from public Go modules into e2e/.cache/bin/<tool>-<version>.
# What is there already is skipped; a lock keeps two callers from building at once.
# usage: build.sh [control-plane|kubectl|etcd|kwok|helm|control-plane-oldest]...   (default: all but the last)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$here/../.cache/bin
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)

version_in() { awk -v m="$2" '$1 == m { print substr($2, 2) } $1 == "require" && $2 == m { print substr($3, 2) }' "$here/$1" | head -n 1; }
k8s=$(version_in kubernetes/go.mod k8s.io/kubernetes)
oldest=$(version_in kubernetes/oldest.mod k8s.io/kubernetes)
etcd=$(version_in etcd/go.mod go.etcd.io/etcd/server/v3)
kwok=$(version_in kwok/go.mod sigs.k8s.io/kwok)
helm=$(version_in helm/go.mod helm.sh/helm/v3)

# build MODULE PACKAGE NAME LDFLAGS [MODFILE]
build() {
  local out=$bin/$3 started=$SECONDS
  if [ -x "$out" ]; then return; fi
  if ! command -v go >/dev/null; then
    echo "e2e/tools: Go is missing, needed to build $3: install Go 1.26 or newer (https://go.dev/dl) and put its bin folder on PATH," \
      "or point KUBEBUILDER_ASSETS at a folder with etcd, kube-apiserver and kubectl" >&2
    exit 1
  fi
  echo "e2e/tools: building $3" >&2
  (cd "$here/$1" && CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" go build -modfile="${5:-go.mod}" -trimpath -ldflags "-s -w $4" -o "$out.new" "$2")
  mv "$out.new" "$out"
  echo "e2e/tools: $3: $((SECONDS - started)) s" >&2
}

exec 9>"$bin/.lock"
flock 9

cv=k8s.io/component-base/version
stamp() { echo "-X $cv.gitVersion=v$1 -X $cv.gitMajor=${1%%.*} -X $cv.gitMinor=$(cut -d. -f2 <<<"$1") -X $cv.gitTreeState=clean"; }
hv=helm.sh/helm/v3/internal/version

if [ $# -eq 0 ]; then set -- etcd control-plane kubectl kwok helm; fi
for tool in "$@"; do
  case $tool in
    control-plane) build kubernetes ./control-plane "control-plane-$k8s" "$(stamp "$k8s")" ;;
    control-plane-oldest) build kubernetes ./control-plane "control-plane-$oldest" "$(stamp "$oldest")" oldest.mod ;;
    kubectl) build kubernetes ./kubectl "kubectl-$k8s" "$(stamp "$k8s")" ;;
    etcd) build etcd . "etcd-$etcd" "" ;;
    kwok) build kwok sigs.k8s.io/kwok/cmd/kwok "kwok-$kwok" "-X sigs.k8s.io/kwok/pkg/consts.Version=v$kwok" ;;
    helm) build helm helm.sh/helm/v3/cmd/helm "helm-$helm" "-X $hv.version=v$helm -X $hv.gitTreeState=clean" ;;
    *)
      echo "e2e/tools: no tool named $tool: control-plane, kubectl, etcd, kwok, helm, control-plane-oldest" >&2
      exit 2
      ;;
  esac
done
