// Command control-plane is kube-apiserver, kube-controller-manager and kube-scheduler in one binary: the first
// argument (or the name it is started by) picks the part. One link instead of three saves minutes on two cores.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	name := strings.SplitN(filepath.Base(os.Args[0]), "-1.", 2)[0]
	command := part(name)
	if command == nil && len(os.Args) > 1 {
		name = os.Args[1]
		command = part(name)
		os.Args = append([]string{name}, os.Args[2:]...)
	}
	if command == nil {
		fmt.Fprintln(os.Stderr, "usage: control-plane kube-apiserver|kube-controller-manager|kube-scheduler [flags]")
		os.Exit(2)
	}
	os.Exit(cli.Run(command))
}

// part builds only the command asked for: each one registers its own global flags and feature gates.
func part(name string) *cobra.Command {
	switch name {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	default:
		return nil
	}
}
