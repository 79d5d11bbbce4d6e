//go:build tools

// Package helm pins the helm release the harness builds.
package helm

import _ "helm.sh/helm/v3/cmd/helm"
