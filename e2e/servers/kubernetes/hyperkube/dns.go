package main

import (
	"context"
	"flag"
	"log"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// dnsServer answers for *.svc.cluster.local from the API server: cluster IPs, headless services, and host names of pods in
// headless services. All other names it forwards, or denies where it has nobody to forward to.
func dnsServer(args []string) error {
	fs := flag.NewFlagSet("dns", flag.ExitOnError)
	kc := fs.String("kubeconfig", "", "how to reach the API server")
	addr := fs.String("listen", "10.244.0.1:53", "where to answer")
	zone := fs.String("zone", "svc.cluster.local.", "whose names are answered")
	upstream := fs.String("upstream", "", "host:port that other names are forwarded to; none: they do not exist")
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", *kc)
	if err != nil {
		return err
	}
	f := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(cfg), 0)
	svcs, slices := f.Core().V1().Services().Lister(), f.Discovery().V1().EndpointSlices().Lister()
	f.Core().V1().Services().Informer()
	f.Discovery().V1().EndpointSlices().Informer()
	f.Start(context.Background().Done())
	f.WaitForCacheSync(context.Background().Done())
	lookup := func(name string) (ips []string, found bool) {
		p := strings.Split(strings.TrimSuffix(name, "."+*zone), ".")
		if len(p) < 2 || len(p) > 3 {
			return nil, false
		}
		host, svc, ns := "", p[len(p)-2], p[len(p)-1]
		if len(p) == 3 {
			host = p[0]
		}
		s, err := svcs.Services(ns).Get(svc)
		if err != nil {
			return nil, false
		}
		if host == "" && s.Spec.ClusterIP != corev1.ClusterIPNone && s.Spec.ClusterIP != "" {
			return []string{s.Spec.ClusterIP}, true
		}
		es, _ := slices.EndpointSlices(ns).List(labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: svc}))
		for _, e := range es {
			for _, ep := range e.Endpoints {
				ready := ep.Conditions.Ready == nil || *ep.Conditions.Ready || s.Spec.PublishNotReadyAddresses
				if ready && (host == "" || (ep.Hostname != nil && *ep.Hostname == host)) {
					ips = append(ips, ep.Addresses...)
				}
			}
		}
		return ips, host == "" || len(ips) > 0
	}
	h := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(r)
		m.Authoritative = true
		q := r.Question[0]
		name := strings.ToLower(q.Name)
		if strings.HasSuffix(name, ".cluster.local.") {
			ips, found := lookup(name)
			if !found {
				m.Rcode = dns.RcodeNameError
			}
			for _, ip := range ips {
				if q.Qtype == dns.TypeA && net.ParseIP(ip).To4() != nil {
					m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(ip)})
				}
			}
		} else if *upstream != "" {
			c := dns.Client{Timeout: 3 * time.Second}
			if a, _, err := c.Exchange(r, *upstream); err == nil {
				w.WriteMsg(a)
				return
			}
			m.Rcode = dns.RcodeServerFailure
		} else {
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})
	failed := make(chan error)
	for _, network := range []string{"udp", "tcp"} {
		go func() { failed <- (&dns.Server{Addr: *addr, Net: network, Handler: h}).ListenAndServe() }()
	}
	log.Print("serving on ", *addr)
	return <-failed
}
