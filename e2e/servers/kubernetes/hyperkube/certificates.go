package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How long certificates hold: longer than any cluster of tests lives, shorter than anybody could come to rely on.
const validFor = 30 * 24 * time.Hour

// Who speaks to the API server, and as whom: a common name and its groups, which is how Kubernetes reads certificates.
var identities = []struct {
	name, user string
	groups     []string
}{
	{"admin", "admin", []string{"system:masters"}},
	{"kubelet-client", "kube-apiserver-kubelet-client", []string{"system:masters"}},
	{"controller-manager", "system:kube-controller-manager", nil},
	{"scheduler", "system:kube-scheduler", nil},
	{"proxy", "system:kube-proxy", nil},
}

// certificates writes an authority, the API server's certificate, the key of service account tokens, and a certificate and a
// kubeconfig for each identity into a folder.
func certificates(args []string) error {
	flags := flag.NewFlagSet("certificates", flag.ExitOnError)
	folder := flags.String("folder", "", "where to write")
	server := flags.String("server", "", "the API server's address, as https://127.0.0.1:6443")
	hosts := flags.String("hosts", "", "names and IP addresses of the API server, separated by commas")
	node := flags.String("node", "", "the name of a node that gets an identity too")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *folder == "" || *server == "" || *hosts == "" {
		return errors.New("--folder, --server and --hosts are needed")
	}
	if err := os.MkdirAll(*folder, 0o700); err != nil {
		return err
	}
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	if err := authority.write(*folder, "ca"); err != nil {
		return err
	}
	template := newTemplate("kube-apiserver", nil)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range strings.Split(*hosts, ",") {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if err := authority.sign(*folder, "server", template); err != nil {
		return err
	}
	if err := writeServiceAccountKey(*folder); err != nil {
		return err
	}
	signed := identities
	if *node != "" {
		signed = append(signed, struct {
			name, user string
			groups     []string
		}{"kubelet", "system:node:" + *node, []string{"system:nodes"}})
	}
	for _, identity := range signed {
		template := newTemplate(identity.user, identity.groups)
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if err := authority.sign(*folder, identity.name, template); err != nil {
			return err
		}
		if err := writeKubeconfig(*folder, identity.name, *server); err != nil {
			return err
		}
	}
	return nil
}

// pair is a certificate and its key.
type pair struct {
	certificate *x509.Certificate
	der         []byte
	key         *ecdsa.PrivateKey
}

func newTemplate(name string, groups []string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // the system has no randomness
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: groups},
		// Clocks of one machine agree; a minute is for those that are set back a little.
		NotBefore:             now.Add(-time.Minute),
		NotAfter:              now.Add(validFor),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
}

func newAuthority() (pair, error) {
	template := newTemplate("paraflow-test-authority", nil)
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return pair{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return pair{certificate, der, key}, err
}

func (authority pair) sign(folder, name string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.certificate, key.Public(), authority.key)
	if err != nil {
		return err
	}
	return pair{der: der, key: key}.write(folder, name)
}

func (signed pair) write(folder, name string) error {
	key, err := x509.MarshalPKCS8PrivateKey(signed.key)
	if err != nil {
		return err
	}
	if err := writePEM(folder, name+".key", "PRIVATE KEY", key); err != nil {
		return err
	}
	return writePEM(folder, name+".crt", "CERTIFICATE", signed.der)
}

func writeServiceAccountKey(folder string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(folder, "service-account.key", "EC PRIVATE KEY", private); err != nil {
		return err
	}
	return writePEM(folder, "service-account.pub", "PUBLIC KEY", public)
}

func writePEM(folder, name, kind string, der []byte) error {
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	return os.WriteFile(filepath.Join(folder, name), block, 0o600)
}

// writeKubeconfig names the certificates by their files beside it: who moves the folder moves all of them.
func writeKubeconfig(folder, name, server string) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: paraflow
contexts: [{name: paraflow, context: {cluster: paraflow, user: %[1]s}}]
clusters: [{name: paraflow, cluster: {server: %[2]q, certificate-authority: ca.crt}}]
users: [{name: %[1]s, user: {client-certificate: %[1]s.crt, client-key: %[1]s.key}}]
`, name, server)
	return os.WriteFile(filepath.Join(folder, name+".kubeconfig"), []byte(text), 0o600)
}
