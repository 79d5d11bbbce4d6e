#!/usr/bin/env bash
# Builds the real control plane and its clients from public Go modules into e2e/.cache/bin/<tool>-<version>.
# What is there already is skipped; a lock keeps two callers from building at once.
# usage: build.sh [control-plane|kubectl|etcd|kwok|helm]...   (default: all)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$here/../.cache/bin
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)

version_in() { awk -v m="$2" '$1 == m { print substr($2, 2) } $1 == "require" && $2 == m { print substr($3, 2) }' "$here/$1/go.mod" | head -n 1; }
k8s=$(version_in kubernetes k8s.io/kubernetes)
etcd=$(version_in etcd go.etcd.io/etcd/server/v3)
kwok=$(version_in kwok sigs.k8s.io/kwok)
helm=$(version_in helm helm.sh/helm/v3)

# build MODULE PACKAGE NAME LDFLAGS
build() {
  local out=$bin/$3 started=$SECONDS
  if [ -x "$out" ]; then return; fi
  if ! command -v go >/dev/null; then
    echo "e2e/tools: Go is missing, needed to build $3: install Go 1.26 or newer (https://go.dev/dl) and put its bin folder on PATH," \
      "or point KUBEBUILDER_ASSETS at a folder with etcd, kube-apiserver and kubectl" >&2
    exit 1
  fi
  echo "e2e/tools: building $3" >&2
  (cd "$here/$1" && CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" go build -trimpath -ldflags "-s -w $4" -o "$out.new" "$2")
  mv "$out.new" "$out"
  echo "e2e/tools: $3: $((SECONDS - started)) s" >&2
}

exec 9>"$bin/.lock"
flock 9

cv=k8s.io/component-base/version
stamp="-X $cv.gitVersion=v$k8s -X $cv.gitMajor=${k8s%%.*} -X $cv.gitMinor=$(cut -d. -f2 <<<"$k8s") -X $cv.gitTreeState=clean"
hv=helm.sh/helm/v3/internal/version

if [ $# -eq 0 ]; then set -- etcd control-plane kubectl kwok helm; fi
for tool in "$@"; do
  case $tool in
    control-plane) build kubernetes ./control-plane "control-plane-$k8s" "$stamp" ;;
    kubectl) build kubernetes ./kubectl "kubectl-$k8s" "$stamp" ;;
    etcd) build etcd . "etcd-$etcd" "" ;;
    kwok) build kwok sigs.k8s.io/kwok/cmd/kwok "kwok-$kwok" "-X sigs.k8s.io/kwok/pkg/consts.Version=v$kwok" ;;
    helm) build helm helm.sh/helm/v3/cmd/helm "helm-$helm" "-X $hv.version=v$helm -X $hv.gitTreeState=clean" ;;
    *)
      echo "e2e/tools: no tool named $tool: control-plane, kubectl, etcd, kwok, helm" >&2
      exit 2
      ;;
  esac
done
