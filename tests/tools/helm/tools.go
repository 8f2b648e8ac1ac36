//go:build tools

// Package tools names the program that go.mod and go.sum pin. It is never compiled: the build tag keeps it out, and
// `go mod tidy` reads it all the same.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
