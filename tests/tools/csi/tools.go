//go:build tools

// Package tools names the packages that go.mod and go.sum pin. It is never compiled: the build tag keeps it
// out, and `go mod tidy` reads it all the same.
package tools

import (
	_ "github.com/container-storage-interface/spec/lib/go/csi"
	_ "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity"
	_ "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)
