// Command hyperkube is a whole Kubernetes in one binary: every server component, etcd, kubectl, a small DNS server, and what
// makes the certificates that they trust each other by. The name that it is called by, or its first argument, chooses one.
//
// One binary, because each of these brings most of the same packages along: together they take a fifth of the time to
// build and of the space.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // time zones of CronJobs, where the machine has none

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	name := filepath.Base(os.Args[0])
	if name == "hyperkube" {
		if len(os.Args) < 2 {
			fail("usage: hyperkube COMPONENT [flags]")
		}
		name = os.Args[1]
		os.Args = os.Args[1:]
	}
	var component *cobra.Command
	switch name {
	case "certificates":
		if err := certificates(os.Args[1:]); err != nil {
			fail("certificates: %v", err)
		}
		return
	case "dns":
		if err := dnsServer(os.Args[1:]); err != nil {
			fail("dns: %v", err)
		}
		return
	case "etcd":
		etcdmain.Main(os.Args)
		return
	case "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err)
		}
		return
	case "kube-apiserver":
		component = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		component = controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		component = scheduler.NewSchedulerCommand()
	case "kubelet":
		component = kubelet.NewKubeletCommand(context.Background())
	case "kube-proxy":
		component = proxy.NewProxyCommand()
	default:
		fail("no component %q", name)
	}
	os.Exit(cli.Run(component))
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "hyperkube: "+format+"\n", arguments...)
	os.Exit(2)
}
